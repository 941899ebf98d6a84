"""docs/claims.md: what common notes say about LeNet and AlexNet, checked."""

from __future__ import annotations

from collections import Counter

from claims import CLAIMS
from claims.claim import MARKS, Claim
from claims.measured import MARKS as SHOWN
from claims.measured import MEASURED
from claims.open_questions import OPEN
from pages import markdown, studies

_COLUMNS = ("claim", "verdict", "evidence", "settled by")


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
        settled_by = f"`{claim.id}`" if claim.check else "source"
        rows.setdefault(claim.topic, []).append([claim.text, MARKS[verdict], evidence, settled_by])
    tables = [
        "\n".join([f"## {topic}", "", *markdown.table(_COLUMNS, topic_rows)]) for topic, topic_rows in rows.items()
    ]
    computed = sum(claim.check is not None for claim in CLAIMS)
    measured, unsettled = _measured(), _open()
    return f"""# What common notes say about LeNet and AlexNet

<!-- made by `{command}` from the built networks -->

Lecture notes and tutorials repeat the same claims. This page checks {len(CLAIMS)} of them, in our words:
{verdicts["true"]} are true, {verdicts["loose"]} loose, {verdicts["wrong"]} wrong.

- **wrong**: not true in any reading. *loose*: true in one reading, which is given. true: true as stated.
- {computed} are settled by a computation on the built networks or on torch's own operations. The last column names the
  function in [docs/claims](claims) that computes it; a test runs it again and compares it with this page.
- {len(CLAIMS) - computed} are about history or about a text and are marked *source*.
- {len(measured)} more are about what training does. [Studies](studies.md) answer them for small images.
- {len(unsettled)} are open, because they need more time or a larger machine.
- "The book" is *Dive into Deep Learning*, "the paper" is Krizhevsky, Sutskever and Hinton 2012, LeNet-5 is the network
  of 1998. Names such as `lenet_d2l` are [networks of this package](nets.md); that page explains MACs and units.

{(chr(10) * 2).join(tables)}

## What training shows on small images

A study answers each row: it trained every variation several times and compared the runs in pairs. *Yes*: all
comparisons show it. **No**: all show the opposite. *In part*: they disagree. *Not shown*: the differences may be
chance, which does not refute the claim. The page of each study says how far its answer reaches.

{chr(10).join(markdown.table(("claim", "shown", "comparisons", "study"), measured))}

## Open: only training or measuring can tell

{chr(10).join(markdown.table(("claim", "experiment", "expected result"), unsettled))}
"""


def _measured() -> list[list[str]]:
    """A row for each claim that a finished study answers."""
    rows = []
    for claim in MEASURED:
        if facts := studies.finished(claim.study):
            shown, evidence = claim.finding(facts)
            rows.append([claim.text, SHOWN[shown], evidence, f"[`{claim.study}`](studies/{claim.study}.md)"])
    return rows


def _open() -> list[tuple[str, str, str]]:
    """A row for each claim that is open, also those whose study has not been run yet."""
    missing = [claim for claim in MEASURED if not studies.finished(claim.study)]
    return [(claim.text, f"`classicnets study run {claim.study}`", "unknown") for claim in missing] + OPEN


def checked(claim: Claim) -> tuple[str, str]:
    """The verdict and the evidence of a claim. Raises ValueError if the verdict is not the expected one."""
    verdict, evidence = claim.finding()
    if verdict != claim.expected:
        raise ValueError(f"{claim.id}: {verdict}, not {claim.expected}: {evidence}")
    return verdict, evidence
