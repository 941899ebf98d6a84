"""The built page in the package: complete, unchanged, and built from the sources in web/."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

import classicnets

WEB = Path(__file__).parents[2] / "web"
PAGE = Path(classicnets.__file__).parent / "export" / "page"
SOURCES = ("package-lock.json", "package.json", "page", "scripts", "src", "styles", "tsconfig.json", "vite.config.ts")
MANIFEST = json.loads((PAGE / "manifest.json").read_text())


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", sorted(MANIFEST["files"]))
def test_file_is_as_it_was_built(name: str) -> None:
    assert digest((PAGE / name).read_bytes()) == MANIFEST["files"][name]


def test_nothing_else_is_in_the_folder() -> None:
    assert {file.name for file in PAGE.iterdir()} == {*MANIFEST["files"], "manifest.json"}


def test_page_is_built_from_the_sources() -> None:
    paths = [WEB / name for name in SOURCES]
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    names = sorted(file.relative_to(WEB).as_posix() for file in files)
    lines = "".join(f"{name} {digest((WEB / name).read_bytes())}\n" for name in names)
    assert digest(lines.encode()) == MANIFEST["sources"], "run `make web`"


def test_runtime_is_the_version_that_the_sources_name() -> None:
    package = json.loads((WEB / "package.json").read_text())
    assert package["dependencies"] == {"onnxruntime-web": MANIFEST["onnxruntime_web"]}


def test_page_refers_to_no_other_server() -> None:
    html = (PAGE / "index.html").read_text("utf-8")
    style = (PAGE / "page.css").read_text("utf-8")
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", html + style)


def test_lock_file_names_no_host() -> None:
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert len(packages) > 5 and not [name for name, facts in packages.items() if "resolved" in facts]
