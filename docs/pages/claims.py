"""docs/claims.md: what common notes say about LeNet and AlexNet, checked."""

from __future__ import annotations

from collections import Counter

from claims import CLAIMS
from claims.claim import MARKS, Claim
from claims.open_questions import OPEN
from pages import markdown

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
    return f"""# What common notes say about LeNet and AlexNet

<!-- made by `{command}` from the built networks -->

Lecture notes and tutorials repeat the same claims. This page checks {len(CLAIMS)} of them, in our words:
{verdicts["true"]} are true, {verdicts["loose"]} loose, {verdicts["wrong"]} wrong.

- **wrong**: not true in any reading. *loose*: true in one reading, which is given. true: true as stated.
- {computed} are settled by a computation on the built networks or on torch's own operations. The last column names the
  function in [docs/claims](claims) that computes it; a test runs it again and compares it with this page.
- {len(CLAIMS) - computed} are about history or about a text and are marked *source*. {len(OPEN)} more can only be
  settled by training or by measuring; they are listed at the end.
- "The book" is *Dive into Deep Learning*, "the paper" is Krizhevsky, Sutskever and Hinton 2012, LeNet-5 is the network
  of 1998. Names such as `lenet_d2l` are [networks of this package](nets.md); that page explains MACs and units.

{(chr(10) * 2).join(tables)}

## Open: only training or measuring can tell

{chr(10).join(markdown.table(("claim", "experiment", "expected result"), OPEN))}
"""


def checked(claim: Claim) -> tuple[str, str]:
    """The verdict and the evidence of a claim. Raises ValueError if the verdict is not the expected one."""
    verdict, evidence = claim.finding()
    if verdict != claim.expected:
        raise ValueError(f"{claim.id}: {verdict}, not {claim.expected}: {evidence}")
    return verdict, evidence
