"""The API held to its own OpenAPI document, by generated requests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import schemathesis
from api_bench import ApiBench, in_thread
from evidence_desk import fill, keeper_in
from hypothesis import HealthCheck, Phase, assume, given, settings

from monitor.config.model import AdminSection

TOKEN = "a token of thirty-two characters"


def test_every_operation_keeps_to_the_document(tmp_path: Path) -> None:
    """Positive and negative requests: statuses, types and shapes are those that the document says, and nothing fails."""
    files = {}
    for scope in ("evidence", "admin"):
        files[f"{scope}_token_file"] = tmp_path / scope
        (tmp_path / scope).write_text(f"{scope} {TOKEN}\n")
    keeper = keeper_in(tmp_path)
    asyncio.run(fill(keeper))
    bench = ApiBench(AdminSection(**files), keeper=keeper)
    bench.drift()
    with in_thread(bench) as url:
        schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
        operations = [one.ok() for one in schema.get_all_operations()]
        assert {"/evidence", "/evidence/{id}", "/evidence/purge"} <= {
            one.path.removeprefix("/api/v1") for one in operations
        }
        for operation in operations:
            reads = operation.method.upper() == "GET"
            scope = "evidence" if "evidence" in operation.path and reads else "admin"
            takes = any(one["in"] == "query" for one in operation.definition.raw["parameters"])
            takes |= "requestBody" in operation.definition.raw
            for mode in schemathesis.GenerationMode if takes else [schemathesis.GenerationMode.POSITIVE]:
                keeps(operation, mode, {"Authorization": f"Bearer {scope} {TOKEN}"})
    keeper.close(10)


def keeps(operation: Any, mode: schemathesis.GenerationMode, headers: dict[str, str]) -> None:
    """A few generated requests to one operation."""

    @settings(
        max_examples=5,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        assume(
            len(urlencode(case.query or {}, doseq=True)) < 4000
        )  # the server itself refuses longer lines, before the API
        case.call_and_validate(headers=headers)

    check()
