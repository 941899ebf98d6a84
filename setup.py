"""Compiles the catalogs of translations (.po) whenever the package is built, also for an editable install."""

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from setuptools import setup
from setuptools.command.build_py import build_py


class BuildPy(build_py):
    """Writes a .mo beside each .po first."""

    def run(self) -> None:
        for path in Path("src/classicnets/locale").rglob("*.po"):
            with path.open("rb") as source, path.with_suffix(".mo").open("wb") as target:
                write_mo(target, read_po(source))
        super().run()


setup(cmdclass={"build_py": BuildPy})
