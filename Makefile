# Two commands: `make run` sets up and trains LeNet on Fashion-MNIST; `make test` sets up and runs the tests.
# `make quick` runs the smoke tests in under a minute; `make check` checks style, types and spelling; `make cover` measures coverage.
# `make fuzz` damages each kind of file in twenty times as many ways as `make test` does, and kills processes of a shared run
# in all ways.
# `make example` goes from a folder of images to one exported file, in build/example.
# `make test-phones` tests the format for phones with ExecuTorch, in an environment of its own over .venv.
# `make docs` builds the website into build/site; open build/site/index.html.
# `make web` builds the page of `export --format web` into the package (Node.js 20); `make web-check` checks its sources.
# `make bench` measures the speed, in some twelve minutes, and writes docs/performance.md.
# Linux without an NVIDIA GPU: `make run TORCH_BACKEND=cpu` installs torch's small CPU build.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PARTS  := pyproject.toml setup.py constraints.txt $(wildcard src/classicnets/locale/*/LC_MESSAGES/*.po)
ARGS   ?=
TORCH_BACKEND ?=
# uv has its own name for pip's folder of local wheels
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.PHONY: run example test test-phones quick fuzz check cover docs bench web web-check clean

run: $(VENV)/.base
	$(VENV)/bin/classicnets train lenet_d2l $(ARGS)

example: $(VENV)/.export
	rm -rf build/example
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" sh examples/from_folder_to_file.sh build/example

test: $(VENV)/.dev
	$(PY) -m pytest $(ARGS)

test-phones: build/executorch/.installed
	PYTHONPATH=src build/executorch/bin/python -m pytest -n 0 $(ARGS) tests/export/test_executorch.py

quick: $(VENV)/.dev
	$(PY) -m pytest @tests/quick.txt $(ARGS)

fuzz: $(VENV)/.dev
	CLASSICNETS_FUZZ=2000 CLASSICNETS_DEATHS=all $(PY) -m pytest $(wildcard tests/*/test_*_mutations.py) \
	  tests/parallel/test_launched_runs.py $(ARGS)

check: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/codespell

cover: $(VENV)/.dev
	$(PY) -m pytest --cov --cov-report=term-missing:skip-covered --cov-report=html $(ARGS)

docs: $(VENV)/.docs
	$(PY) docs/make.py --site build/docs
	$(VENV)/bin/zensical build --clean --strict
	$(PY) docs/make.py --check build/site

web: web/node_modules/.package-lock.json
	cd web && npm run build

web-check: web/node_modules/.package-lock.json
	cd web && npm run check

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci

bench: $(VENV)/.export
	$(PY) benchmarks/suite.py $(ARGS); failed=$$?; $(PY) docs/make.py performance.md && exit $$failed

clean:
	rm -rf $(VENV) build dist web/node_modules web/build *.egg-info src/*.egg-info htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache
	find src tests benchmarks studies docs examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q -c constraints.txt uv 2>/dev/null || true

$(VENV)/.base: $(PY) $(PARTS)
	$(call install,-e .)
	touch $@

$(VENV)/.export: $(PY) $(PARTS)
	$(call install,-e '.[export]')
	touch $@ $(VENV)/.base

$(VENV)/.dev: $(PY) $(PARTS)
	$(call install,-e '.[dev]')
	touch $@ $(VENV)/.base

$(VENV)/.docs: $(PY) $(PARTS)
	$(call install,-e '.[docs]')
	touch $@ $(VENV)/.base

# the packages of $(VENV), and of those that ExecuTorch declares only the ones that the format needs
build/executorch/.installed: $(VENV)/.dev
	$(PY) -m venv --without-pip build/executorch
	build/executorch/bin/python -c "import pathlib, sys, sysconfig; \
	  pathlib.Path(sysconfig.get_path('purelib'), 'base.pth').write_text(sys.argv[1])" \
	  "$$($(PY) -c "import sysconfig; print(sysconfig.get_path('purelib'))")"
	$(PY) -m uv pip install -q -p build/executorch/bin/python --no-deps -c constraints.txt \
	  executorch ruamel.yaml tabulate torchao
	touch $@

# uv if it is available (much faster), otherwise pip
define install
@echo "installing classicnets and what it needs into $(VENV) ..."
@$(PY) -m uv pip install -q -p $(PY) -c constraints.txt $(if $(TORCH_BACKEND),--torch-backend=$(TORCH_BACKEND)) $(1) \
 || $(PY) -m pip install -q -c constraints.txt $(1)
endef
