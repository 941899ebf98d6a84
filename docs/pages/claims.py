"""docs/claims.md and claims.zh-CN.md: what common notes say about LeNet and AlexNet, checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

from claims import CLAIMS
from claims.claim import MARKS, Claim, Finding
from claims.measured import MARKS as SHOWN
from claims.measured import MEASURED
from claims.open_questions import OPEN
from classicnets.text import N_
from pages import markdown, studies
from pages.texts import _, translated

_COLUMNS = (N_("claim"), N_("verdict"), N_("evidence"), N_("settled by"))
_MEASURED = (N_("claim"), N_("shown"), N_("comparisons"), N_("study"))
_OPEN = (N_("claim"), N_("experiment"), N_("expected result"))


def page(command: str) -> str:
    """All claims with verdict and evidence, computed now, and those that only training can settle.

    Raises:
        ValueError: a computed verdict differs from the expected one.
    """
    rows: dict[str, list[list[str]]] = {}
    verdicts: Counter[str] = Counter()
    for claim in CLAIMS:
        verdict, evidence = checked(claim)
        verdicts[verdict] += 1
        settled_by = f"`{claim.id}`" if claim.check else translated(N_("source"))
        cells = [translated(claim.text), translated(MARKS[verdict]), str(evidence), settled_by]
        rows.setdefault(claim.topic, []).append(cells)
    tables = [f"## {translated(topic)}\n\n{_table(_COLUMNS, topic_rows)}" for topic, topic_rows in rows.items()]
    computed = sum(claim.check is not None for claim in CLAIMS)
    measured, unsettled = _measured_rows(), _open_rows()
    head = _(
        """# What common notes say about LeNet and AlexNet

[简体中文](claims.zh-CN.md)

<!-- made by `{command}` from the built networks -->

Lecture notes and tutorials repeat the same claims. This page checks {claims} of them, in our words:
{true} are true, {loose} loose, {wrong} wrong.

- **wrong**: not true in any reading. *loose*: true in one reading, which is given. true: true as stated.
- {computed} are settled by a computation on the built networks or on torch's own operations. The last column names the
  function in [docs/claims](claims) that computes it; a test runs it again and compares it with this page.
- {sourced} are about history or about a text and are marked *source*.
- {measured} more are about what training does. [Studies](studies.md) answer them for small images.
- {open} are open, because they need more time or a larger machine.
- "The book" is *Dive into Deep Learning*, "the paper" is Krizhevsky, Sutskever and Hinton 2012, LeNet-5 is the network
  of 1998. Names such as `lenet_d2l` are [networks of this package](nets.md); that page explains MACs and units.""",
        command=command,
        claims=len(CLAIMS),
        true=verdicts["true"],
        loose=verdicts["loose"],
        wrong=verdicts["wrong"],
        computed=computed,
        sourced=len(CLAIMS) - computed,
        measured=len(measured),
        open=len(unsettled),
    )
    of_training = _(
        """## What training shows on small images

A study answers each row: it trained every variation several times and compared the runs in pairs. *Yes*: all
comparisons show it. **No**: all show the opposite. *In part*: they disagree. *Not shown*: the differences may be
chance, which does not refute the claim. The page of each study says how far its answer reaches."""
    )
    parts = [str(head), *tables, str(of_training), _table(_MEASURED, measured)]
    parts += [f"## {translated(N_('Open: only training or measuring can tell'))}", _table(_OPEN, unsettled)]
    return "\n\n".join(parts) + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(markdown.table([*map(translated, columns)], rows))


def _measured_rows() -> list[list[str]]:
    """A row for each claim that a finished study answers."""
    rows = []
    for claim in MEASURED:
        if facts := studies.finished(claim.study):
            shown, evidence = claim.finding(facts)
            study = f"[`{claim.study}`](studies/{claim.study}.md)"
            rows.append([translated(claim.text), translated(SHOWN[shown]), evidence, study])
    return rows


def _open_rows() -> list[list[str]]:
    """A row for each claim that is open, also those whose study has not been run yet."""
    missing = [claim for claim in MEASURED if not studies.finished(claim.study)]
    rows = [
        [translated(claim.text), f"`classicnets study run {claim.study}`", translated(N_("unknown"))]
        for claim in missing
    ]
    return rows + [[*map(translated, row)] for row in OPEN]


@cache
def checked(claim: Claim) -> Finding:
    """The verdict and the evidence of a claim, computed once for all languages.

    Raises:
        ValueError: the verdict is not the expected one.
    """
    verdict, evidence = claim.finding()
    if verdict != claim.expected:
        raise ValueError(f"{claim.id}: {verdict}, not {claim.expected}: {evidence}")
    return verdict, evidence
