"""The terms of the Chinese texts."""

from __future__ import annotations

import csv

import messages

with (messages.ROOT / "tools" / "glossary.csv").open(encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file))  # english, chinese, not: words that must not be used
AVOIDED = {word: row["chinese"] for row in ROWS for word in (row["not"] or "").split()}
