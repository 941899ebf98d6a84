"""The report of a finished study as Markdown, and its parts that other outputs share."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from classicnets.report import baselines, quantities
from classicnets.report.markdown import block, code, escaped, image, link, table
from classicnets.studies.definition import flat, presets
from classicnets.studies.matching import Match
from classicnets.studies.measures import Measure, measure
from classicnets.studies.parallel import Parallelism
from classicnets.studies.verdicts import learned_nothing
from classicnets.text import _, assignments, command, duration, full_stop, join, labeled, listed, phrases, plural

_FINGERPRINT_DIGITS = 16
_MAX_SEEDS = 20  # that are listed one by one
_BLANK = ""


def text(
    facts: Mapping[str, Any], *, links: bool = True, figures: str = "", note: str = "", folder: Path | None = None
) -> str:
    """Return the report of a study as Markdown.

    Args:
        facts: the contents of study.json, with the result.
        links: whether the numbers of runs link to their folders.
        figures: what precedes the names of the files of figures, such as "../images/studies/pooling-".
        note: a line below the title, such as a comment on where the page comes from.
        folder: the folder of the study, with the copy of its file.
    """
    sections: list[tuple[str, Sequence[str]]] = [
        (_("Answer"), _answer(facts)),
        (_("Arms"), _parts(_arms(facts), _figure(facts, "arms", figures))),
        (_("Comparisons"), _parts(_figure(facts, "differences", figures), _comparisons(facts))),
        (_("Classical methods and networks"), _classic(facts, figures)),
        (_("Learning curves"), _figure(facts, "curves", figures)),
        (_("What papers report"), _reported(facts)),
        (_("How the arms were matched"), _matched(facts)),
        (_("How far this study speaks about ImageNet"), _scope(facts)),
        (_("Cost"), _cost(facts)),
        (_("Repeat it"), _repeat(facts, folder)),
        (_("All runs"), _runs(facts, links=links)),
    ]
    lines = [f"# {escaped(question(facts))}", _BLANK]
    lines += [note, _BLANK] if note else []
    lines += [*_setup(facts), _BLANK]
    for heading, content in sections:
        if content:
            lines += [f"## {heading}", _BLANK, *content, _BLANK]
    return "\n".join(lines)


def measures_of(facts: Mapping[str, Any]) -> list[Measure]:
    """Return the measures of a study; the first one answers its question."""
    return [measure(name) for name in facts["definition"]["measures"]]


def figure_names(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures that a study has, each with a description."""
    result = facts["result"]
    names = {}
    if any(figures["n"] for arm in result["arms"].values() for figures in arm.values()):
        names["arms"] = _("the values of all runs by arm, with their means and 95 % intervals")
    if any(comparison["n"] for comparison in result["comparisons"]):
        names["differences"] = _("the differences of all pairs, with their means and 95 % intervals")
    if has_classical_arms(facts) and "arms" in names:
        names["baselines"] = _("test accuracy and fitting time of classical methods and networks")
    if any("net" in arm for arm in facts["arms"].values()):
        names["curves"] = _("training loss and accuracy against epochs, one color for each arm")
    return names


def has_classical_arms(facts: Mapping[str, Any]) -> bool:
    """Return whether an arm is a classical method, not a network."""
    return any("classifier" in arm for arm in facts["arms"].values())


def answers(facts: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each comparison by the first measure; for each arm, if nothing is compared.

    Before them, there is one for each arm that has learned nothing.
    """
    first = measures_of(facts)[0]
    compared = [pair["verdict"] for pair in facts["result"]["comparisons"] if pair["measure"] == first.name]
    arms = facts["result"]["arms"].items()
    nothing = [] if first.is_time else [learned_nothing(*each) for each in guessing(facts).items()]
    return nothing + (compared or [_alone(name, figures[first.name], first) for name, figures in arms])


def guessing(facts: Mapping[str, Any]) -> dict[str, float]:
    """Return the arms that have learned nothing, with the share of the most frequent class of the test split."""
    shares: dict[str, float] = facts["result"].get("guessing", {})  # a study of an earlier version has none
    return shares


def first_mean(facts: Mapping[str, Any], arm: str) -> str:
    """Return mean and standard deviation of the first measure, and whether the arm has learned nothing."""
    first = measures_of(facts)[0]
    mean = quantities.mean(facts["result"]["arms"][arm][first.name], first)
    if arm in guessing(facts) and not first.is_time:
        return _("{mean} (guessing)", mean=mean)
    return mean


def failures(facts: Mapping[str, Any]) -> list[str]:
    """Return a line for each error of the runs without a result, with the seeds that it stopped."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for row in facts["result"]["rows"]:
        if "error" in row:
            error = next(iter(row["error"].splitlines()), "")
            seeds.setdefault((row["arm"], error), []).append(str(row["seed"]))
    return [
        plural(
            "{arm}, seed {seeds}: {error}",
            "{arm}, seeds {seeds}: {error}",
            len(listed),
            arm=arm,
            seeds=join(listed, _MAX_SEEDS),
            error=error,
        )
        for (arm, error), listed in seeds.items()
    ]


def runs_without_result(facts: Mapping[str, Any]) -> str:
    """Return how many runs have no result: "1 of 20 runs has no result"; "" if all have one."""
    rows = facts["result"]["rows"]
    missing = sum("error" in row for row in rows)
    if not missing:
        return ""
    return plural("{n} of {runs} runs has no result", "{n} of {runs} runs have no result", missing, runs=len(rows))


def changes(arm: Mapping[str, Any]) -> str:
    """Return what an arm changes: "net.pool=max, lr=0.1"; a classical method has its classifier and features."""
    if "classifier" in arm:
        return _("{classifier} on {features}", classifier=arm["classifier"], features=arm["features"])
    changed = [*arm.get("changes", ())]
    if (match := arm.get("matched")) and match["width"] != 1:
        changed.append(Match(**match).change)
    return listed(changed) or _("nothing")


def seconds_of_run(facts: Mapping[str, Any], arm: str) -> float | None:
    """Return the mean duration of the finished runs of an arm; None if there is none."""
    seconds = [row["seconds"] for row in _finished(facts) if row["arm"] == arm and row.get("seconds") is not None]
    return statistics.fmean(seconds) if seconds else None


def _finished(facts: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (row for row in facts["result"]["rows"] if "error" not in row)


def _parts(*parts: Sequence[str]) -> list[str]:
    """The lines of some parts with blank lines between them; empty parts are left out."""
    lines: list[str] = []
    for part in filter(None, parts):
        lines += [*([_BLANK] if lines else []), *part]
    return lines


def _setup(facts: Mapping[str, Any]) -> list[str]:
    """The base run and the seeds, in a sentence."""
    definition = facts["definition"]
    seeds = definition["seeds"]
    runs = plural(
        "Study {name}: {n} arm, trained with these seeds: {seeds}.",
        "Study {name}: {n} arms, each trained with the same seeds: {seeds}.",
        len(definition["arms"]),
        name=code(definition["name"]),
        seeds=join([*map(str, seeds)], _MAX_SEEDS),
    )
    return [runs, _("Base: {base}.", base=code(assignments(flat(definition["base"])))), *_training(facts)]


def _training(facts: Mapping[str, Any]) -> list[str]:
    """How the networks are trained: in a sentence if it is the same for all, else in a table."""
    networks = {name: arm for name, arm in facts["arms"].items() if arm.get("train_images") is not None}
    rows = {name: _training_cells(arm) for name, arm in networks.items()}
    if not rows:
        return []
    first = next(iter(rows.values()))
    if any(cells != first for cells in rows.values()):
        columns = [_("network of the arm"), _("training images"), _("recipe"), _("epochs")]
        return [_BLANK, *table(columns, [[escaped(name), *cells] for name, cells in rows.items()], {3})]
    images, recipe, epochs = first
    sentence = _(
        "Networks are trained on {images}, recipe {recipe}, epochs: {epochs}.",
        images=images,
        recipe=recipe,
        epochs=epochs,
    )
    return [sentence]


def _training_cells(arm: Mapping[str, Any]) -> list[str]:
    """Training images, recipe and epochs of an arm."""
    images = plural("{n:,} image of {data}", "{n:,} images of {data}", arm["train_images"], data=arm["data_name"])
    return [escaped(images), code(arm["recipe"]), str(arm["epochs"])]


def _answer(facts: Mapping[str, Any]) -> list[str]:
    compared = [f"- {full_stop(escaped(sentence))}" for sentence in answers(facts)]
    missing = [f"- {escaped(line)}" for line in failures(facts)]
    return _parts(compared, [_("{label}:", label=runs_without_result(facts))] if missing else [], missing)


def _alone(arm: str, figures: Mapping[str, Any], first: Measure) -> str:
    """The result of an arm that is compared with nothing."""
    return plural(
        "{arm}: {measure} {mean}, {n} run; nothing is compared",
        "{arm}: {measure} {mean}, {n} runs; nothing is compared",
        figures["n"],
        arm=arm,
        measure=first.label,
        mean=quantities.with_unit(quantities.mean(figures, first), first),
    )


def _arms(facts: Mapping[str, Any]) -> list[str]:
    """A table of the first measure by arm, and one of the others."""
    first, *others = measures_of(facts)
    columns = [
        _("arm"),
        _("changes"),
        _("{measure}: mean ± sd", measure=quantities.label(first)),
        _("95 % interval"),
        _("runs"),
        _("parameters"),
        _("MACs"),
        _("time of a run"),
    ]
    rows = [_arm_cells(facts, name, first) for name in facts["arms"]]
    lines = table(columns, rows, range(2, len(columns)))
    if others:
        columns = [_("arm"), *(_("{measure}: mean ± sd", measure=quantities.label(other)) for other in others)]
        rows = [[escaped(name), *(_mean_cell(facts, name, other) for other in others)] for name in facts["arms"]]
        lines += [_BLANK, *table(columns, rows, range(1, len(columns)))]
    return lines


def _arm_cells(facts: Mapping[str, Any], name: str, first: Measure) -> list[str]:
    arm, figures = facts["arms"][name], facts["result"]["arms"][name][first.name]
    seconds = seconds_of_run(facts, name)
    changed, nothing = changes(arm), changes({})
    return [
        escaped(name),
        code(changed) if "net" in arm and changed != nothing else escaped(changed),
        first_mean(facts, name),
        quantities.interval(figures["interval"], first),
        counted(figures),
        *(f"{arm[key]:,}" if arm.get(key) is not None else "-" for key in ("parameters", "macs")),
        duration(seconds) if seconds is not None else "-",
    ]


def counted(figures: Mapping[str, Any]) -> str:
    """Return how many runs have a value: "5", or "3 of 5"."""
    return str(figures["n"]) if figures["n"] == figures["of"] else _("{n} of {of}", n=figures["n"], of=figures["of"])


def _mean_cell(facts: Mapping[str, Any], name: str, other: Measure) -> str:
    """Mean and standard deviation, with the number of runs if some have no value."""
    figures = facts["result"]["arms"][name][other.name]
    mean = quantities.mean(figures, other)
    return mean if figures["n"] == figures["of"] else _("{mean} ({runs} runs)", mean=mean, runs=counted(figures))


def _comparisons(facts: Mapping[str, Any]) -> list[str]:
    comparisons = facts["result"]["comparisons"]
    if not comparisons:
        return []
    columns = [
        _("comparison"),
        _("measure"),
        _("pairs"),
        _("estimate"),
        _("95 % interval"),
        _("conclusion"),
    ]
    tests = [_("comparison"), _("measure"), _("p"), _("p (Holm)"), _("smallest shown"), _("bootstrap"), _("claim")]
    rows = [_comparison_cells(comparison) for comparison in comparisons]
    details = [_test_cells(comparison) for comparison in comparisons]
    note = _(
        "An estimate is the mean difference of the pairs of runs with the same seed, or the geometric mean of their"
        " ratios. The interval and p are those of the paired t test, for ratios of the logarithms. The column"
        " *smallest shown* has the difference that as many pairs with this spread would show in 80 % of such studies,"
        " and *bootstrap* the 95 % interval of the bootstrap."
    )
    corrected = plural(
        "Holm's correction is for {n} comparison that has a test.",
        "Holm's correction is for the {n} comparisons that have a test.",
        comparisons[0]["comparisons"],
    )
    tested = _("Images of the test split are evaluated at the end only and select nothing.")
    return _parts(
        table(columns, rows, range(2, len(columns) - 1)),
        table(tests, details, range(2, len(tests))),  # one table of all columns is too wide for a page
        [note, corrected, tested],
    )


def _classic(facts: Mapping[str, Any], prefix: str) -> list[str]:
    """The table and the figure of classical methods, if there are any."""
    if not has_classical_arms(facts):
        return []
    return _parts(baselines.table(facts), _figure(facts, "baselines", prefix))


def pair_label(comparison: Mapping[str, Any], compared: Measure) -> str:
    """Return what is compared: "max - average", or "relu / tanh" for a ratio."""
    first, second = comparison["arms"]
    if compared.ratio:
        return _("{second} / {first}", second=second, first=first)
    return _("{second} - {first}", second=second, first=first)


def _comparison_cells(comparison: Mapping[str, Any]) -> list[str]:
    compared = measure(comparison["measure"])
    return [
        escaped(pair_label(comparison, compared)),
        quantities.difference_label(compared),
        str(comparison["n"]),
        *quantities.effect(comparison, compared),
        conclusion(comparison),
    ]


def _test_cells(comparison: Mapping[str, Any]) -> list[str]:
    compared = measure(comparison["measure"])
    return [
        escaped(pair_label(comparison, compared)),
        quantities.difference_label(compared),
        quantities.probability(comparison["p"]),
        quantities.probability(comparison["p_holm"]),
        quantities.smallest(comparison["smallest_shown"], compared),
        quantities.difference_interval(comparison["bootstrap_interval"], compared),
        claim_text(comparison),
    ]


def claim_text(comparison: Mapping[str, Any]) -> str:
    """Return the claim of the source, and how many pairs would show it; "" without a claim."""
    claim, pairs = comparison["claim"], comparison["pairs_for_claim"]
    shown = quantities.difference(claim, measure(comparison["measure"]))
    return shown if pairs is None else plural("{claim} ({n} pair)", "{claim} ({n:,} pairs)", pairs, claim=shown)


def conclusion(comparison: Mapping[str, Any]) -> str:
    """Return the conclusion of a comparison in the user's language."""
    conclusions: dict[str, Callable[[], str]] = {
        "shown": lambda: _("shown"),
        "not shown": lambda: _("not shown"),
        "equal": lambda: _("same values"),
        "no pairs": lambda: _("no pairs"),
    }
    name = comparison["conclusion"]
    return conclusions[name]() if name in conclusions else name


def _figure(facts: Mapping[str, Any], name: str, prefix: str) -> list[str]:
    description = figure_names(facts).get(name)
    return [image(description, f"{prefix}{name}.png")] if description else []


def question(facts: Mapping[str, Any]) -> str:
    """Return the question of a study; that of a study of the package is in the user's language."""
    return _(facts["definition"]["question"])


def _reported(facts: Mapping[str, Any]) -> list[str]:
    rows = [[escaped(_(row[key])) for key in ("what", "value", "source")] for row in facts["definition"]["reported"]]
    return table([_("what"), _("value"), _("source")], rows) if rows else []


def _matched(facts: Mapping[str, Any]) -> list[str]:
    """A sentence for each arm whose width was changed."""
    target = next(iter(facts["arms"]))
    matches = {name: Match(**arm["matched"]) for name, arm in facts["arms"].items() if arm.get("matched")}
    return [f"- {full_stop(labeled(escaped(name), escaped(match.line(target))))}" for name, match in matches.items()]


def _scope(facts: Mapping[str, Any]) -> list[str]:
    scope = _(facts["definition"]["scope"]).strip()
    return [escaped(paragraph) for paragraph in scope.splitlines()] if scope else []


def _cost(facts: Mapping[str, Any]) -> list[str]:
    result, machine = facts["result"], facts["machine"]
    versions = machine["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if version != "missing")
    time = plural(
        "{time} of training for {n} run",
        "{time} of training for {n} runs together",
        len(result["rows"]),
        time=duration(result["seconds"]),
    )
    dates = _("{start} to {end}", start=facts["started_at"], end=facts["finished_at"])
    rows = {
        _("time"): time,
        _("date"): dates,
        _("machine"): _machine(facts),
        _("parallel runs"): str(Parallelism.of_study(facts)),
        _("versions"): packages,
        _("data"): _("fingerprint {fingerprint}", fingerprint=facts["fingerprint"][:_FINGERPRINT_DIGITS]),
    }
    return table(["", ""], [[name, escaped(value)] for name, value in rows.items()])


def _machine(facts: Mapping[str, Any]) -> str:
    """The processor with its instruction set, if that is known, the cores, the device and the system."""
    machine = facts["machine"]
    capability = machine.get("cpu_capability")
    processor = f"{machine['processor']} ({capability})" if capability else machine["processor"]
    cores = plural("{n} core", "{n} cores", machine["cores"])
    return phrases((processor, cores, facts["device"], machine["system"]))


def _repeat(facts: Mapping[str, Any], folder: Path | None) -> list[str]:
    """The command that runs the study again, from the copy of its file if it lies in the folder of the study.

    Networks in Python and graph files lie beside the file of the user, not beside the copy.
    """
    definition = facts["definition"]
    file = definition.get("file")
    if file == "":
        return [_("The study was passed to `cn.study` in Python; study.json has its definition.")]
    nets = [values.get("net") for values in (definition["base"], *definition["arms"].values())]
    if (
        folder is None
        or file is None
        or file in presets()
        or any(isinstance(net, str) and (".py:" in net or net.endswith(".json")) for net in nets)
    ):
        return block(facts["command"], "sh")
    copy, seeds = folder / "study.toml", str(len(definition["seeds"]))
    return block(command("classicnets", "study", "run", copy, "--seeds", seeds), "sh")


def _runs(facts: Mapping[str, Any], *, links: bool) -> list[str]:
    """A table of all runs; their numbers link to their folders."""
    measures = measures_of(facts)
    columns = [_("arm"), _("seed"), *map(quantities.label, measures)]
    if all(each.name != "seconds" for each in measures):
        columns.append(quantities.label(measure("seconds")))
        measures.append(measure("seconds"))
    rows = [_run_cells(row, measures, links=links) for row in facts["result"]["rows"]]
    return table(columns, rows, range(1, len(columns)))


def _run_cells(row: Mapping[str, Any], measures: Sequence[Measure], *, links: bool) -> list[str]:
    if "error" in row:
        values = [_("no result"), *[""] * (len(measures) - 1)]
    else:
        values = [quantities.value(row.get(each.name), each) for each in measures]
    cells = [link(value, row["folder"]) if links and value else value for value in values]
    return [escaped(row["arm"]), str(row["seed"]), *cells]
