"""The result of a study, from its finished runs: their metrics, their statistics, and the reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from classicnets import machine, strict_json
from classicnets.studies import seeds
from classicnets.studies.classic import ClassicRun
from classicnets.studies.definition import Definition
from classicnets.studies.folder import ONLY_ARM, Key, StudyFolder, StudyRun, run_name
from classicnets.studies.images import Images
from classicnets.studies.measured import at_most, measured, measured_classic
from classicnets.studies.measures import measure
from classicnets.studies.summary import summarize
from classicnets.text import _
from classicnets.training.begin import now
from classicnets.training.plan import Plan, plan_of_run


@dataclass(frozen=True)
class StudyResults:
    """What the reports need: the folder, study.json with the result, and the plan of several seeds."""

    folder: StudyFolder
    facts: dict[str, Any]
    plan: Plan | None = None


Report = Callable[[StudyResults], None]


def rows_of(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the runs in the result of study.json."""
    rows: list[dict[str, Any]] = facts["result"]["runs" if facts["definition"] is None else "rows"]
    return rows


def row(key: Key, run: StudyRun, error: str = "") -> dict[str, Any]:
    """Return the metrics of a run, or its error."""
    arm, seed = key
    result = run.read().get("result")
    identity = {**({"arm": arm} if arm else {}), "seed": seed, "folder": run_name(arm, seed)}
    if result is None:
        return {**identity, "error": error or _("stopped")}
    times = {}
    share = _most_frequent(run)
    if isinstance(run, ClassicRun):
        times = {key: result[key] for key in ("fit_seconds", "predict_seconds")}
        result = {**result, "seconds": result["fit_seconds"], "train_loss": None}
    facts = {**times, "n": result["n"], **({} if share is None or not arm else {"most_frequent": share})}
    return {**identity, **{key: result[key] for key in seeds.METRICS}, **facts}


def _most_frequent(run: StudyRun) -> float | None:
    """The share of the most frequent class of the test split; None if the run folder does not tell."""
    try:
        metrics = run.read()["result"] if isinstance(run, ClassicRun) else strict_json.parse(run.metrics.read_bytes())
        support = [sum(of_class) for of_class in metrics["confusion"]]
        return float(max(support) / sum(support))
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):  # the user has removed or changed it
        return None


def finish(study: StudyFolder, errors: Mapping[Key, str], *reports: Report) -> dict[str, Any]:
    """Compute the statistics, call the `reports`, save the result and return it.

    study.json is written last: if anything before fails or is interrupted, the study can be resumed.

    Args:
        study: The folder, whose runs have all ended.
        errors: Why runs have failed, by arm and seed.
        *reports: Called with the results.
    """
    facts, runs, plan = study.read(), study.runs(), None
    rows = [row(key, run, errors.get(key, "")) for key, run in runs.items()]
    facts["finished_at"] = now()
    if study.is_of_one_arm:
        run = next(iter(study.networks().values()))
        plan = plan_of_run(run, study.nets.get(ONLY_ARM), trust=study.trust)
        facts["result"] = seeds.summarize(plan, facts, rows)
    else:
        facts["result"] = _study_result(study, facts, rows)
    for report in reports:
        report(StudyResults(study, facts, plan))
    study.write(facts)
    result: dict[str, Any] = facts["result"]
    return result


def _study_result(study: StudyFolder, facts: Mapping[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The measures of all runs, and their comparison."""
    definition, runs, images = Definition.from_dict(facts["definition"]), study.runs(), Images(lambda _: None)
    measures, arms = [measure(name) for name in definition.measures], [*facts["arms"]]
    wanted = list(measures)  # the table of classical methods and networks has this time of both
    if "predict_seconds" not in definition.measures and any("classifier" in arm for arm in facts["arms"].values()):
        wanted.append(measure("predict_seconds"))
    with machine.restore_threads():
        machine.set_threads(facts["threads"])  # those of the runs, whoever finishes the study
        for values in sorted(rows, key=lambda values: arms.index(values["arm"])):  # arms may have different data
            if "error" in values:
                continue
            run, net = runs[values["arm"], values["seed"]], study.nets.get(values["arm"])
            if isinstance(run, ClassicRun):
                values.update(measured_classic(run, wanted))
            else:
                plan = plan_of_run(run, net, trust=study.trust)
                values.update(measured(run, plan, wanted, images.read, net, trust=study.trust))
                if early := at_most(run, measures):
                    values["at_most"] = early
    return {
        "seconds": sum(values.get("seconds") or 0 for values in rows),
        "rows": rows,
        **summarize(facts["definition"]["compare"], measures, rows),
    }
