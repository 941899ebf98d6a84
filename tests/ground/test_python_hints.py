"""Hints of the command line as keywords of Python."""

from __future__ import annotations

import pytest

from classicnets.hints import as_python, options


@pytest.mark.parametrize(
    ("hint", "python"),
    [
        ("--set lr=0.1", "lr=0.1"),
        ("--set lr=1e-3 epochs=3 --limit 500", "lr=0.001, epochs=3, limit=500"),
        ("--set std=0.35,0.2", "std='0.35,0.2'"),
        ("--set initialize=xavier_uniform", "initialize='xavier_uniform'"),
        ("--set net.activation=relu net.dropout=0.5", "variation={'activation': 'relu', 'dropout': 0.5}"),
        ("--deterministic", "deterministic=True"),
        ("--set bias_decay=false", "bias_decay=False"),
        ("net[2] = nn.Linear(3456, 10)", "net[2] = nn.Linear(3456, 10)"),
        ("classicnets list", "classicnets list"),
        ("it's --set", "it's --set"),
    ],
)
def test_options_become_keywords_of_train(hint: str, python: str) -> None:
    assert as_python(hint) == python
    assert (options(hint) is None) == (hint == python)
