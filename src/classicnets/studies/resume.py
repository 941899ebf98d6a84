"""Opens the folder of a study again, to train the runs without a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from classicnets import machine
from classicnets.errors import UsageError
from classicnets.files import cannot_write, folder_beside, move_folder_into_place
from classicnets.runs import data as run_data
from classicnets.runs.folder import RunFolder
from classicnets.strict_json import dump
from classicnets.studies import classic
from classicnets.studies import definition as definitions
from classicnets.studies.classic import ClassicRun
from classicnets.studies.definition import Definition, flat
from classicnets.studies.folder import Key, StudyFolder, run_name
from classicnets.studies.results import rows_of
from classicnets.text import _, command
from classicnets.training.begin import begin, fill, read
from classicnets.training.plan import plan_of_run
from classicnets.training.results import more_training


def reopen(
    path: str | Path,
    nets: Mapping[str, nn.Module] | None = None,
    data: str | None = None,
    *,
    trust: bool = False,
) -> StudyFolder:
    """Open the folder of a study, or of several seeds, to train the runs without a result.

    Args:
        path: The folder.
        nets: The modules by arm, if the runs were started with some.
        data: Where the data of the runs lies now, if it has moved.
        trust: Whether code of the runs may be run that was not run on this machine before.

    Raises:
        UsageError: CN207, a network cannot be built, or all runs of an arm were removed; CN208, all runs are complete;
            CN212, code is not trusted; CN218, the study was edited, or started with other versions.
        DataError: CN302, the data is not there; CN306, `data` is not that of the runs.
        MachineError: CN401, a run folder that was removed cannot be created.
    """
    study = StudyFolder(Path(path), nets or {}, trust)
    facts, missing = study.read(), study.missing()
    if not missing and "result" in facts and not any("error" in row for row in rows_of(facts)):
        raise _complete(study, facts)
    if facts["definition"] is not None:
        _check_unchanged(study, facts)
        for key, run in missing.items():
            if not run.path.is_dir():
                _restore(study, facts, key, data)
    for (arm, _seed), run in missing.items():
        if isinstance(run, RunFolder):
            if arm:
                _check_module(study, arm, run)
            plan_of_run(run, study.nets.get(arm), trust=trust)
    _locate_data(study, data)
    return study


def _complete(study: StudyFolder, facts: Mapping[str, Any]) -> UsageError:
    """The error that says that there is nothing to train."""
    run = next(iter(study.runs().values()))
    hint: str | tuple[str, ...] = more_training(run.path, run.read())
    if facts["definition"] is not None:
        hint = (command("classicnets", "study", "show", study.path), _anew(study, facts))
    return UsageError("CN208", _("all runs are complete"), where=str(study.path), hint=hint)


def _anew(study: StudyFolder, facts: Mapping[str, Any], *, edited: bool = False) -> str:
    """The hint that starts the study anew: from its file, or from the copy of it that was edited."""
    file = facts["definition"].get("file", "")
    if edited or (file not in definitions.presets() and not Path(file).is_file()):
        file = study.toml
    if file == study.toml and not study.toml.is_file():  # it was passed in Python
        return _("{call}   # starts it anew; the finished runs stay", call="cn.study({...})")
    return _(
        "{command}   # starts it anew; the finished runs stay", command=command("classicnets", "study", "run", file)
    )


def _restore(study: StudyFolder, facts: Mapping[str, Any], key: Key, data: str | None) -> None:
    """Create a run folder that was removed, as the start of the study did, from another run of the same arm.

    Raises UsageError CN207 if there is none.
    """
    (arm, seed), runs, path = key, study.runs(), study.path / run_name(*key)
    other = next((run for each, run in runs.items() if each[0] == arm and run.file.is_file()), None)
    if other is None:
        raise UsageError(
            "CN207",
            _("the run folders of the arm {arm} are missing", arm=arm),
            where=str(path),
            why=_("a run folder is only made again from another one of the same arm"),
            hint=(_("copy the folder back"), _anew(study, facts)),
        )
    try:
        path.parent.mkdir(exist_ok=True)
        with folder_beside(path) as part:
            if isinstance(other, ClassicRun):
                classic.fill(part, other.spec().with_seed(seed))
            else:
                _check_module(study, arm, other)
                plan = plan_of_run(other, study.nets.get(arm), trust=study.trust)
                place = run_data.locate(other, data, study.resume_command)
                splits = read(replace(plan, data=place), lambda _: None)
                run_data.check(other, splits, place, study.resume_command)
                fill(part, *begin(plan.with_seed(seed), splits, facts["command"], facts["threads"]), splits)
            move_folder_into_place(part, path)
    except OSError as error:
        raise cannot_write(path, error) from error


def _check_module(study: StudyFolder, arm: str, run: RunFolder) -> None:
    """Refuse to build a network that was a module in Python. Raises UsageError CN207."""
    if arm in study.nets or run.described_net().kind != "object":
        return
    raise UsageError(
        "CN207",
        _("the network of the arm {arm} was passed in Python, so a command cannot build it", arm=arm),
        where=str(run.path),
        hint=f"cn.study({str(study.path)!r}, nets={{{arm!r}: net}})",
    )


def _check_unchanged(study: StudyFolder, facts: Mapping[str, Any]) -> None:
    """Refuse to train runs that could not be compared with the finished ones. Raises UsageError CN218."""
    begun = Definition.from_dict(facts["definition"])
    if study.toml.is_file():
        edited = replace(definitions.read(study.toml).with_seeds(len(begun.seeds)), file=begun.file).to_dict()
        if changes := _changes(begun.to_dict(), edited):
            raise UsageError(
                "CN218",
                _("the study was edited after it was started: {keys}", keys=", ".join(changes)),
                where=str(study.toml),
                why="\n".join(
                    [
                        _("the finished runs belong to the study as it was, so the others would not be comparable"),
                        *changes.values(),
                    ]
                ),
                hint=(
                    _anew(study, facts, edited=True),
                    _(
                        "{command}   # after undoing the change of {keys}",
                        command=command(*study.resume_command),
                        keys=", ".join(changes),
                    ),
                ),
            )
    then, today = facts["machine"]["versions"], machine.versions()
    if changed := [name for name in ("classicnets", "torch") if then.get(name) != today[name]]:
        raise UsageError(
            "CN218",
            _("the study was started with {versions}", versions=_named(changed, then)),
            where=str(study.path),
            why=_("this is {versions}, which may compute other numbers", versions=_named(changed, today)),
            hint=(command("pip", "install", *(f"{name}=={then.get(name)}" for name in changed)), _anew(study, facts)),
        )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """What differs between two definitions: a sentence for each key, by the key with its table: [arms.max] lr."""
    return {
        key: _(
            "{key} was {before}, and is now {after}", key=key, before=_value(old.get(key)), after=_value(new.get(key))
        )
        for old, new in [(_by_key(before), _by_key(after))]
        for key in {**old, **new}
        if old.get(key, ...) != new.get(key, ...)
    }


def _by_key(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a definition by their keys, those of tables with the table before them."""
    tables = {"[base]": values["base"], **{f"[arms.{name}]": arm for name, arm in values["arms"].items()}}
    return {
        **{key: value for key, value in values.items() if key not in {"base", "arms"}},
        **{f"{table} {key}": value for table, each in tables.items() for key, value in flat(each).items()},
        **{table: "{}" for table, each in tables.items() if not each},
    }


def _value(value: object) -> str:
    return _("missing") if value is None else dump(value)


def _named(packages: Sequence[str], versions: Mapping[str, str]) -> str:
    return ", ".join(
        _("{name} {version}", name=name, version=versions.get(name) or _("of an unknown version")) for name in packages
    )


def _locate_data(study: StudyFolder, data: str | None) -> None:
    """Check that the data of the missing runs is there.

    With `data`, the data must be the same there; all runs with this data then remember where it is.
    """
    retry = study.resume_command
    for (arm, _seed), run in study.missing().items():
        if not isinstance(run, RunFolder):
            continue
        place, before = run_data.locate(run, data, retry), run.read()["data"]
        if data is not None:
            plan = plan_of_run(run, study.nets.get(arm), trust=study.trust)
            run_data.check(run, read(replace(plan, data=place), lambda _: None), place, retry)
            for each in study.runs().values():
                if isinstance(each, ClassicRun):
                    each.move_data(before, place)
                elif each.read()["data"] == before:
                    run_data.remember(each, place)
            return
