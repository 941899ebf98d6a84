"""Starts a study, or several seeds of one plan: reads the data and creates the folders of all runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from classicnets import machine
from classicnets.errors import UsageError
from classicnets.files import write_whole
from classicnets.runs import folder
from classicnets.spec import Output
from classicnets.studies import classic
from classicnets.studies.arms import Arm
from classicnets.studies.classic_spec import ClassicSpec
from classicnets.studies.definition import Definition
from classicnets.studies.folder import ONLY_ARM, StudyFolder, run_name
from classicnets.studies.images import Images
from classicnets.studies.parallel import Parallelism, choose_for_all
from classicnets.studies.statistics import BOOTSTRAP_LEAST
from classicnets.text import _, plural
from classicnets.training.begin import Say, begin, command_line, fill, now, training_and_validation
from classicnets.training.plan import Plan

_OF_ONE_ARM = ("net", "recipe", "origins", "as_published", "data_name", "limit")  # facts of its runs in study.json


def start_seeds(
    plan: Plan, seeds: Sequence[int], output: Output, say: Say, *, parallel_runs: int | None = None
) -> StudyFolder:
    """Create the folders of the runs of one plan with several seeds; see `start`."""
    if not seeds:
        raise UsageError("CN204", _("at least one seed is needed"), hint="--seeds 5")
    study = _create({ONLY_ARM: plan}, seeds, output, say, parallel_runs, {"definition": None, "arms": {ONLY_ARM: {}}})
    for line in plan.lines():
        if not line.startswith("device"):
            say(line)
    say(
        _(
            "device  {device}, {precision}, {parallelism}",
            device=plan.device,
            precision=plan.recipe.precision,
            parallelism=Parallelism.of_study(study.read()),
        )
    )
    say(
        _(
            "seeds   {n} runs with seeds {seeds}, in {folder}",
            n=len(seeds),
            seeds=", ".join(map(str, seeds)),
            folder=study.path,
        )
    )
    return study


def start(
    definition: Definition,
    arms: Mapping[str, Arm],
    output: Output,
    say: Say,
    *,
    toml: str = "",
    parallel_runs: int | None = None,
) -> StudyFolder:
    """Read the data, choose the number of runs in parallel and create all folders; train nothing.

    Args:
        definition: The study.
        arms: Its arms, as `arms.resolve` returns them.
        output: Where the folder is created.
        say: Receives what is trained, and notes about the data.
        toml: The text of its file, if it has one.
        parallel_runs: Number of runs in parallel (default: chosen by timing a few steps).

    Raises:
        UsageError: CN204, `parallel_runs` is not valid.
        DataError: The data is not available.
        MachineError: CN401, the folder cannot be written; CN403, SciPy is not installed.
    """
    machine.require("scipy", extra="study")  # its absence shows before hours of training, not after them
    described = definition.to_dict()
    facts = {
        "definition": described,
        "arms": {name: arm.to_dict(_described(definition, name, arm, described)) for name, arm in arms.items()},
    }
    plans = {name: arm.plan for name, arm in arms.items()}
    study = _create(plans, definition.seeds, output, say, parallel_runs, facts, toml)
    say(_("study   {question}", question=_(definition.question)))
    for name, arm in arms.items():
        say(_("arm     {name}: {description}", name=name, description=arm))
        if arm.matched is not None:
            say(_("        {line}", line=arm.matched.line(next(iter(arms)))))
    say(_("runs    {parallelism}", parallelism=Parallelism.of_study(study.read())))
    for note in notes(definition):
        say(_("note    {note}", note=note))
    say(
        plural(
            "folder  {folder}: {n} run; all arms have the same seeds",
            "folder  {folder}: {n} runs; all arms have the same seeds",
            len(study.runs()),
            folder=study.path,
        )
    )
    return study


def _described(definition: Definition, name: str, arm: Arm, described: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an arm changes; a module says how large it is, because many have the same type."""
    changed: dict[str, Any] = described["arms"][name]
    if isinstance(definition.arms[name].get("net"), nn.Module) and isinstance(arm.plan, Plan):
        parameters = arm.plan.table.parameters
        return {**changed, "net": _("{type} of {n:,} parameters", type=changed["net"], n=parameters)}
    return changed


def notes(definition: Definition) -> list[str]:
    """Return what keeps a study from an answer, as its user should know before it is trained."""
    if not definition.compare:
        return [_("this study compares nothing, so it has no answer; compare needs two arms")]
    if len(definition.seeds) >= BOOTSTRAP_LEAST:
        return []
    return [
        plural(
            "{n} seed for each arm shows large differences only, or none; from {enough} seeds on, there is a bootstrap"
            " interval, too",
            "{n} seeds for each arm show large differences only, or none; from {enough} seeds on, there is a bootstrap"
            " interval, too",
            len(definition.seeds),
            enough=BOOTSTRAP_LEAST,
        )
    ]


def _create(
    arms: Mapping[str, Plan | ClassicSpec],
    seeds: Sequence[int],
    output: Output,
    say: Say,
    parallel_runs: int | None,
    more_facts: Mapping[str, Any],
    toml: str = "",
) -> StudyFolder:
    """Create the folder of a study with all its run folders.

    Args:
        arms: What is trained, by arm.
        seeds: The seed of each run of an arm.
        output: Where the folder is created.
        say: Receives notes about the data.
        parallel_runs: Number of runs in parallel, if the user has set it.
        more_facts: The definition and the arms in study.json.
        toml: The text of its file.
    """
    folder.check_root(Path(output.runs))
    images = Images(say)
    plans = {arm: images.survey(plan) for arm, plan in arms.items() if isinstance(plan, Plan)}
    first = next(iter(plans.values()), None)
    if first is not None:
        machine.set_threads(first.spec.threads)
    # The data of all arms is read before anything is timed or written, and only that of one arm is kept.
    data_names, fingerprints, counts = list[str](), list[str](), dict[str, int]()
    for arm, plan in plans.items():
        splits = images.read(plan)
        data_names.append(splits.name)
        fingerprints.append(splits.fingerprint)
        counts[arm] = len(training_and_validation(splits, plan)[0])
    parallelism = choose_for_all(plans, len(seeds) * len(arms), parallel_runs, say)
    facts: dict[str, Any] = {
        "command": command_line(),
        "started_at": now(),
        "seeds": [*seeds],
        **parallelism.to_dict(),
        "device": first.device if first is not None else "cpu",
        "fingerprint": next(iter(fingerprints), ""),
        "machine": {**machine.describe(), "cpu_capability": machine.torch_facts()["cpu_capability"]},
        "definition": more_facts["definition"],
        "arms": {arm: {**each, "train_images": counts.get(arm)} for arm, each in more_facts["arms"].items()},
    }

    def fill_study(part: Path) -> None:
        for arm, spec in arms.items():
            for seed in seeds:
                path = part / run_name(arm, seed)
                path.parent.mkdir(exist_ok=True)
                if isinstance(spec, ClassicSpec):
                    classic.fill(path, spec.with_seed(seed))
                    continue
                splits = images.read(plans[arm])
                plan, of_run = begin(plans[arm].with_seed(seed), splits, facts["command"], parallelism.threads)
                fill(path, plan, of_run, splits)
                if arm == ONLY_ARM:
                    facts.update({key: of_run[key] for key in _OF_ONE_ARM})
        if toml:
            write_whole(part / "study.toml", toml.encode())
        StudyFolder(part).write(facts)

    definition = facts["definition"]
    label = f"study-{definition['name']}" if definition else f"{plans[ONLY_ARM].net_spec.label}-{data_names[0]}-seeds"
    nets = {arm: plan.net for arm, plan in plans.items() if plan.net is not None}
    return StudyFolder(folder.make(Path(output.runs), label, fill_study), nets, trust=True)
