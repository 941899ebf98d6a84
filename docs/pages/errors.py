"""reference/errors.md: every error code with its explanation."""

from __future__ import annotations

from classicnets.errors import CODES

GROUPS = {"1": "A check failed", "2": "Usage", "3": "Data", "4": "Machine"}  # by first digit, which is the exit code


def page() -> str:
    """Every error code with the explanation that `classicnets explain CODE` prints."""
    sections = [f"## {title}: exit code {digit}\n\n{_codes(digit)}" for digit, title in GROUPS.items()]
    return f"""# Error codes

An error prints what happened, where, why, and a command to try. `classicnets explain CODE` prints the explanations on
this page.

{(chr(10) * 2).join(sections)}
"""


def _codes(digit: str) -> str:
    codes = [code for code in CODES if code[2] == digit]
    return "\n\n".join(f"### {code}\n\n{CODES[code]}" for code in codes)
