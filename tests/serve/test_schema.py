"""Requests that Schemathesis makes from /openapi.json, valid and invalid: no fault, and answers as they are described.

CLASSICNETS_FUZZ=10000 sends 500 to each path, and more to some.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, strategies

from support.mutations import mutant_count

if TYPE_CHECKING:
    from serve.conftest import Clients

EXAMPLES_PER_PATH = 20  # one of so many mutants that other tests try for each kind of file
NAMES = {"type": "string", "enum": ["colors", "colours", "a b"]}


def named(document: dict[str, Any]) -> dict[str, Any]:
    """Name models in the document, since texts at random are the name of none."""
    for methods in document["paths"].values():
        for method in methods.values():
            for parameter in method.get("parameters", ()):
                if parameter["name"] in {"name", "model"}:
                    parameter["schema"] = NAMES
    return document


def without_lifespan(app: Any) -> Any:
    """An application that each client would otherwise start and stop."""

    async def requests_only(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)
            return
        for message in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{message}.complete"})

    return requests_only


def test_generated_requests_are_answered_as_described(clients: Clients, model_file: Path) -> None:
    schemathesis: Any = pytest.importorskip("schemathesis")
    checks, modes = schemathesis.checks, schemathesis.GenerationMode
    client = clients(max_files=5)
    schema = schemathesis.openapi.from_dict(named(client.get("/openapi.json").json()))
    schema.app = without_lifespan(client.app)
    examples = hypothesis.settings(
        max_examples=max(5, mutant_count() // EXAMPLES_PER_PATH),
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
        database=None,
    )
    statuses = Counter[int]()
    checks.load_all_checks()
    for result in schema.get_all_operations():
        operation = result.ok()
        cases = operation.as_strategy(generation_mode=modes.POSITIVE)
        if operation.body:
            cases = strategies.one_of(cases, operation.as_strategy(generation_mode=modes.NEGATIVE))

        @examples
        @hypothesis.given(cases, strategies.sampled_from(["localhost"] * 4 + ["elsewhere"]))
        def check(case: Any, host: str) -> None:
            answer = case.call(base_url=f"http://{host}")
            statuses[answer.status_code] += 1
            case.validate_response(
                answer, excluded_checks=[checks.positive_data_acceptance, checks.negative_data_rejection]
            )

        check()
    print(statuses)
    assert {200, 400, 403, 404, 422} <= set(statuses)
