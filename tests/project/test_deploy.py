"""The page on deployment shows the files of examples/deploy as they are, and links all of them."""

from __future__ import annotations

import re

import make

EXAMPLES = make.DOCS.parent / "examples/deploy"
PAGE = (make.DOCS / "deploy.md").read_text(encoding="utf-8")


def test_shown_files_are_those_of_the_examples() -> None:
    shown = re.findall(r"```(?:dockerfile|yaml)\n(.*?)```", PAGE, re.DOTALL)
    files = [file.read_text(encoding="utf-8") for file in EXAMPLES.iterdir()]
    assert len(shown) == 3 and all(text in files for text in shown)


def test_every_file_is_linked() -> None:
    linked = set(re.findall(r"\]\(\.\./examples/deploy/([\w.-]+)\)", PAGE))
    assert linked == {file.name for file in EXAMPLES.iterdir()}


def test_the_container_does_not_run_as_root() -> None:
    lines = (EXAMPLES / "Dockerfile").read_text(encoding="utf-8").splitlines()
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER 10001"] and lines.index(users[0]) < len(lines) - 1
    for name in ("kubernetes.yaml", "kserve-classicnets.yaml"):
        assert "CLASSICNETS_TOKEN" in (EXAMPLES / name).read_text(encoding="utf-8")
