"""docs/studies.md and docs/studies/NAME.md: the finished studies, from studies/results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classicnets import strict_json
from classicnets.report import study_text
from classicnets.report.markdown import code, escaped, link, table
from classicnets.studies import statistics, verdicts
from classicnets.studies.measures import measure
from classicnets.text import duration

DOCS = Path(__file__).parents[1]
RESULTS = DOCS.parent / "studies" / "results"  # other experiments have their results there, too
FIGURES = DOCS / "images" / "studies"
FIGURE_NAMES = ("arms", "differences", "baselines", "curves")
_COLUMNS = ("study", "question", "answer", "runs", "what papers report", "cost")


def read(path: Path) -> dict[str, Any] | None:
    """The facts of a finished study; None for the results of another experiment, which have another form."""
    facts = strict_json.parse(path.read_bytes())
    is_study = isinstance(facts, dict) and {"definition", "arms", "result"} <= facts.keys()
    return facts if is_study else None


def names() -> list[str]:
    """The names of the finished studies."""
    return sorted(path.stem for path in RESULTS.glob("*.json") if read(path))


def finished(name: str) -> dict[str, Any] | None:
    """The facts of a study; None if it has not been run."""
    path = RESULTS / f"{name}.json"
    return read(path) if path.exists() else None


def verdict(facts: Mapping[str, Any], pair: Mapping[str, Any]) -> str:
    """The result of a comparison as a sentence in the language of the page; in English, it is that of the facts."""
    compared = measure(pair["measure"])
    rows = [[row for row in facts["result"]["rows"] if row["arm"] == arm] for arm in pair["arms"]]
    values = [sum(statistics.usable(row.get(compared.name), ratio=compared.ratio) for row in of_arm) for of_arm in rows]
    at_most = [sum(compared.name in row.get("at_most", ()) for row in of_arm) for of_arm in rows]
    kept = ("n", "estimate", "sd", "t_interval", "bootstrap_interval", "p", "smallest_shown")
    return verdicts.verdict(
        (pair["arms"][0], pair["arms"][1]),
        compared,
        statistics.Comparison(ratio=compared.ratio, **{key: pair[key] for key in kept}),
        p_holm=pair["p_holm"],
        comparisons=pair["comparisons"],
        values=(values[0], values[1]),
        runs=(len(rows[0]), len(rows[1])),
        claim=pair["claim"],
        pairs_for_claim=pair["pairs_for_claim"],
        at_most=(at_most[0], at_most[1]),
        guessing=(pair["arms"][0] in study_text.guessing(facts), pair["arms"][1] in study_text.guessing(facts)),
    )


def page(command: str, name: str) -> str:
    """The report of a study, without links to its runs, which are not in the repository."""
    facts = finished(name)
    assert facts, name
    made = f"<!-- made by `{command}` from studies/results/{name}.json -->"
    figures = f"../images/studies/{name}-"
    return study_text.text(facts, links=False, figures=figures, note=f"{made}\n\n[All studies](../studies.md).")


def index(command: str) -> str:
    """All finished studies: question, answer, number of runs, what papers report, and cost."""
    studies = {name: facts for name in names() if (facts := finished(name))}
    rows = [_row(name, facts) for name, facts in studies.items()]
    listed = "\n".join(table(_COLUMNS, rows, {3})) if rows else "No study has been finished yet."
    return f"""# Studies

<!-- made by `{command}` from studies/results -->

A study trains several variations of a network with the same seeds and compares them in pairs. `classicnets study list`
shows the studies that come with the package, and `classicnets study run NAME` repeats one. Each row links to the
report, with all comparisons, intervals and figures. *Shown* means that the paired t test is below 0.05 after Holm's
correction for all comparisons of the study; [comparing networks and settings](compare.md) explains the statistics.

{listed}
"""


def _row(name: str, facts: Mapping[str, Any]) -> list[str]:
    result, definition = facts["result"], facts["definition"]
    reported = [f"{row['what']}: {row['value']} ({row['source']})" for row in definition["reported"]]
    finished = sum("error" not in row for row in result["rows"])
    runs = str(finished) if finished == len(result["rows"]) else f"{finished} of {len(result['rows'])}"
    machine = facts["machine"]
    cost = f"{duration(result['seconds'])} on {machine['cores']} cores of {machine['processor']}, "
    return [
        link(code(name), f"studies/{name}.md"),
        escaped(definition["question"]),
        "<br>".join(map(escaped, study_text.answers(facts))),
        runs,
        "<br>".join(map(escaped, reported)),
        escaped(f"{cost}{facts['finished_at'][:10]}"),
    ]
