"""reference/errors.md: every error code with its explanation."""

from __future__ import annotations

from classicnets.errors import CODES

# By first digit, which is the exit code; those of the server end no command.
GROUPS = {
    "1": "A check failed: exit code 1",
    "2": "Usage: exit code 2",
    "3": "Data: exit code 3",
    "4": "Machine: exit code 4",
    "5": "Requests to `classicnets serve`",
}


def page() -> str:
    """Every error code with the explanation that `classicnets explain CODE` prints."""
    sections = [f"## {title}\n\n{_codes(digit)}" for digit, title in GROUPS.items()]
    return f"""# Error codes

An error prints what happened, where, why, and a command to try. `classicnets explain CODE` prints the explanations on
this page.

{(chr(10) * 2).join(sections)}
"""


def _codes(digit: str) -> str:
    codes = [code for code in CODES if code[2] == digit]
    return "\n\n".join(f"### {code}\n\n{CODES[code]}" for code in codes)
