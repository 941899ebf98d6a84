"""Where an export is written: the suffix of its format, and whether the place can be used."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from classicnets import files
from classicnets.errors import UsageError
from classicnets.export import triton, web
from classicnets.export.formats import FORMATS
from classicnets.inspection.shapes import trace
from classicnets.spec import ExportOptions
from classicnets.text import _, command
from classicnets.values import Preprocess

_PAGE_SUFFIX = ".html"


def target(path: Path, options: ExportOptions) -> Path:
    """The path with the suffix of the format, by which `classicnets predict` recognizes the file; a folder has none.

    Raises:
        UsageError: CN206 if the suffix is that of another format.
    """
    suffix = _suffix(options)
    suffixes = {_PAGE_SUFFIX, *(form.suffix for form in FORMATS.values())} - {""}
    if path.suffix.lower() in suffixes - {suffix}:
        if options.format == "web" and not suffix:
            raise UsageError(
                "CN206",
                _("{name} has the suffix of another format", name=path.name),
                where=str(path),
                why=_("a web page is a folder of files, or with --single-file one .html file"),
                hint=(
                    command("-o", path.with_suffix("")),
                    command("-o", path.with_suffix(_PAGE_SUFFIX), "--single-file"),
                ),
            )
        raise UsageError(
            "CN206",
            _("{name} has the suffix of another format", name=path.name),
            where=str(path),
            why=_("the format is {format}, whose files end with {suffix}", format=options.format, suffix=suffix)
            if suffix
            else _("the format is {format}, which is a folder of files", format=options.format),
            hint=command("-o", path.with_suffix(suffix)),
        )
    if not suffix:
        return path if path.name.strip(".") else path.resolve()
    return path if path.suffix.lower() == suffix else path.with_name(path.name + suffix)


def _suffix(options: ExportOptions) -> str:
    """The suffix of the file; "" for a folder."""
    return _PAGE_SUFFIX if options.single_file else FORMATS[options.format].suffix


def check_target(path: Path, options: ExportOptions) -> None:
    """Checks, before any work is done, that the file can be written and that the packages are there.

    Raises:
        MachineError: CN401 if the file cannot be written, CN403 if a package is missing.
        UsageError: CN206 if a folder would replace something else.
    """
    if options.format == "web":
        check_replaceable = web.check_replaceable_file if options.single_file else web.check_replaceable
        check_replaceable(path)
        web.require_page()
    if options.format == "triton":
        triton.check_replaceable(path)
    FORMATS[options.format].require_packages()
    files.check_target(path, option="-o", is_folder=options.is_folder)


def check_size(net: nn.Module, preprocess: Preprocess, options: ExportOptions) -> None:
    """Raise CheckFailed CN107 if the network is too large for a web page, before its data is read."""
    if options.format == "web":
        web.check_size(net, preprocess, trace(net, preprocess.shape), as_int8=options.int8)
