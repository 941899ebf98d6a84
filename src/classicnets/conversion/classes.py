"""The names of the classes of converted weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from classicnets.conversion.network import Network
from classicnets.errors import DataError, UsageError
from classicnets.images.names import class_name
from classicnets.spec import ConvertOptions
from classicnets.text import _, command

_MAX_BYTES = 16 * 2**20
_SYNSET = re.compile(r"n\d{8}\s+")  # of WordNet, before the names of ImageNet's classes


def classes_of(network: Network, options: ConvertOptions, known: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the classes, as many as the network has, or is to have with a new head.

    Args:
        network: the network.
        options: "classes" is the file of the names.
        known: those of the file of weights, if it has any; otherwise the classes get numbers.

    Raises:
        DataError: what `read_classes` raises, and CN306 if there are not as many names as outputs.
        UsageError: CN206 if a new head has no names.
    """
    count = network.spec.num_classes
    if options.new_head and not options.classes:
        raise UsageError(
            "CN206",
            _("a new last layer needs the names of its classes"),
            where="--new-head",
            hint=command("--new-head", "--classes", "classes.txt"),
        )
    if not options.classes:
        return tuple(known) if len(known) == count else tuple(map(str, range(count)))
    classes = read_classes(Path(options.classes))
    if len(classes) != count and not options.new_head:
        raise DataError(
            "CN306",
            _(
                "{file} has {n:,} names, and the network {count:,} outputs",
                file=options.classes,
                n=len(classes),
                count=count,
            ),
            where=command("--classes", options.classes),
            hint=_("{option}   # a new last layer, to be trained", option=command("--new-head")),
        )
    return classes


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the names of classes, one on each line; the numbers of ImageNet's synsets before the names are left out.

    Names that two synsets have, such as "crane", keep their numbers.

    Raises:
        DataError: CN305 if the file cannot be read or has no names, CN306 if two classes have the same name.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError("CN305", _("the file is too large for a list of classes"), where=str(path))
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or _("it is not text in UTF-8")
        raise DataError(
            "CN305",
            _("the names of the classes cannot be read"),
            where=str(path),
            why=why,
            hint=command("ls", path.parent),
        ) from error
    names = [class_name(line.strip()) for line in lines if line.strip()]
    short = [_SYNSET.sub("", name) for name in names]
    if all(map(_SYNSET.match, names)):
        names = [name if short.count(brief) > 1 else brief for name, brief in zip(names, short, strict=True)]
    if not names:
        raise DataError("CN305", _("the file has no names of classes"), where=str(path))
    if len({*names}) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DataError(
            "CN306",
            _("two classes have the same name: {name}", name=twice),
            where=str(path),
            hint=_("give each class a name of its own, one on each line"),
        )
    return tuple(names)
