"""Exports a run: writes a temporary file or folder, checks it against the network, and renames it if it agrees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from classicnets import files
from classicnets.export import network_file, pages, triton
from classicnets.export.result import Exported
from classicnets.export.source import ExportSource
from classicnets.export.targets import check_target
from classicnets.spec import ExportOptions


def export(source: ExportSource, path: Path, options: ExportOptions, *others: ExportSource) -> Exported:
    """Write the trained network of a run as one file, as a web page, or as a model of Triton.

    Args:
        source: the run.
        path: the file, or the folder of the page or model.
        options: how it is exported.
        *others: runs whose networks the page shows, too.

    Raises:
        CheckFailed: CN106 if outputs are not finite, CN102 if the outputs of the file differ from those of the network,
            CN103 if int8 costs too much accuracy, CN104 if nothing fits into the size budget, CN105 if torch cannot
            export the network, CN107 if a page would be too large.
        DataError: CN302 if int8 or a size budget needs images that are not available.
        MachineError: CN401 if the file cannot be written, CN403 if a package is missing.
    """
    check_target(path, options)
    if options.format == "web":
        return pages.export_page([source, *others], path, options)
    if options.format == "triton":
        return triton.export_model(source, path, options)
    try:
        with files.temporary_file(path) as part:
            exported = network_file.write_network(part, source, options)
            files.move_into_place(part, path)
    except OSError as error:
        raise files.cannot_write(path, error, option="-o") from error
    return replace(exported, path=path)
