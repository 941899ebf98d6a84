"""The settings of a run, from run.json: what identifies them, how they are shown, and the command that repeats them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from classicnets.options import option_fields, option_words
from classicnets.recipes.resolve import SETTINGS
from classicnets.recipes.setting_values import typed
from classicnets.runs.net_spec import NetSpec
from classicnets.spec import RunSpec
from classicnets.text import _, command
from classicnets.values import Recipe

SEEDS = 5  # runs that a command trains, so that a difference can be told from chance
_DIGITS = 12  # of a digest, as shown
_VERSIONS = ("classicnets", "torch", "python", "numpy")
_OPTIONS = ("on_bad_image", "parallel", "local_batch_norm", "deterministic")  # of a RunSpec, that change the training


def identity(facts: Mapping[str, Any], argument: int) -> tuple[Any, ...]:
    """Return what runs have in common that differ only in the seed; to be compared with `==`.

    Args:
        facts: the contents of run.json.
        argument: tells modules apart that were passed in Python, because run.json does not describe them.
    """
    net, spec = NetSpec(**facts["net"]), RunSpec.from_facts(facts)
    return (
        replace(net, path=""),
        argument if net.kind == "object" else None,
        _values(facts),
        facts["recipe"]["source"],
        {name: getattr(spec, name) for name in _OPTIONS},
        (facts["device"], facts["limit"], facts["weights"]),
        facts["data_name"],
        (facts["fingerprint"], facts["classes"]),
        _versions(facts).get("torch"),
    )


def have_same_data(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Return whether two runs had the same images; large data sets are recognized by the sizes of their files."""
    known, other = ({facts.get(key) for key in ("fingerprint", "size_fingerprint")} - {None, ""}
                    for facts in (first, second))  # fmt: skip
    return bool(known & other)


def shown(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of a run as they are shown, by name, without its seed."""
    net, spec, versions = NetSpec(**facts["net"]), RunSpec.from_facts(facts), _versions(facts)
    return {
        _("network"): replace(net, variation={}).display_name,
        code_label(): net.sha256[:_DIGITS],
        **{f"net.{key}": str(value) for key, value in net.variation.items()},
        _("recipe"): facts["recipe"]["source"],
        **_values(facts),
        _("initial weights"): facts["weights"],
        _("data"): facts["data_name"],
        _("fingerprint of the data"): facts["fingerprint"][:_DIGITS],
        "limit": "" if facts["limit"] is None else f"{facts['limit']:,}",
        "device": facts["device"],
        "parallel": spec.parallel or "",
        "local_batch_norm": typed(spec.local_batch_norm),
        "on_bad_image": spec.on_bad_image,
        "deterministic": typed(spec.deterministic),
        "threads": str(facts["threads"]) if facts.get("threads") else "",
        _("processor"): str(facts.get("machine", {}).get("processor", "")),
        **{name: str(versions.get(name, "")) for name in _VERSIONS},
    }


def code_label() -> str:
    """Return the name of the setting for the text of one's own network."""
    return _("code of the network")


def train_command(facts: Mapping[str, Any], *, seeds: int | None = None, variation: bool = True) -> str:
    """Return the command that trains a run again; for a module, the call in Python.

    Args:
        facts: the contents of run.json.
        seeds: the number of seeds, from 0 on; None trains one run, with the seed of this one.
        variation: whether the network has the replaced layers of this run; else it is the original one.
    """
    net, spec = NetSpec(**facts["net"]), RunSpec.from_facts(facts)
    skipped = {"net", "settings", "variation", *(["seed"] if seeds else [])}
    values = {f.name: getattr(spec, f.name) for f in option_fields(RunSpec) if f.name not in skipped}
    values |= {"data": facts["data"] if spec.data else None, "weights": facts["weights"] or None}
    defaults = {f.name: f.default for f in option_fields(RunSpec)}
    values = {key: value for key, value in values.items() if value != defaults[key]}
    settings = {key: value for key, value in spec.settings.items() if not key.startswith("net.")}
    replaced = net.variation if variation else {}
    if net.kind == "object" or isinstance(spec.recipe, Recipe):
        arguments = {**values, **settings, **({"variation": replaced} if replaced else {})}
        if seeds:
            arguments["seeds"] = seeds
        words = [
            "net" if net.kind == "object" else repr(net.argument),
            *(f"{key}={'recipe' if isinstance(value, Recipe) else repr(value)}" for key, value in arguments.items()),
        ]
        function = "cn.train_seeds" if seeds else "cn.train"
        return _("in Python: {function}({words})", function=function, words=", ".join(words))
    if changes := {**{f"net.{key}": value for key, value in replaced.items()}, **settings}:
        values["settings"] = changes
    several = ["--seeds", str(seeds)] if seeds else []
    return command("classicnets", "train", _argument(net, spec), *option_words(values, RunSpec), *several)


def _argument(net: NetSpec, spec: RunSpec) -> str | Path:
    """NET of the command: as it was typed, if that is still the same file from here, else with its full path."""
    if net.kind == "file" and spec.net and Path(spec.net.rpartition(":")[0]).is_file():
        content = Path(spec.net.rpartition(":")[0]).read_bytes()
        if hashlib.sha256(content).hexdigest() == net.sha256:
            return spec.net
    return net.argument


def _values(facts: Mapping[str, Any]) -> dict[str, str]:
    """The settings of the recipe, as they are typed."""
    recipe = Recipe.from_dict(facts["recipe"])
    return {key: typed(getattr(recipe, key)) for key in SETTINGS}


def _versions(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    versions: Mapping[str, Any] = facts.get("machine", {}).get("versions", {})
    return versions
