"""The OpenAPI 3.1 document, made from the table of operations and the types that they answer with and take."""

from __future__ import annotations

import http
from collections.abc import Sequence
from typing import Any

import msgspec

from monitor import __version__
from monitor.admin.access import Scope
from monitor.admin.api.models import Model, Problem
from monitor.admin.api.operation import PREFIX, PROBLEM, Operation
from monitor.outputs.message import Message

_REF = "#/components/schemas/{name}"


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document."""
    types: set[type[Model] | type[Message]] = {Problem, Message}
    for one in operations:
        types |= {kind for kind in (one.response, one.body, one.query) if kind is not None}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    references, schemas = msgspec.json.schema_components(ordered, ref_template=_REF)
    found = dict(zip(ordered, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(PREFIX + one.path, {})[one.method.lower()] = _operation(one, found, schemas)
    queries = {kind.__name__ for one in operations if (kind := one.query) is not None}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Alignment monitor",
            "version": __version__,
            "description": "What a vLLM server's adapter combinations do, and what was found about them.",
        },
        "paths": paths,
        "webhooks": {"finding": {"post": _webhook(found[Message])}},
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name not in queries},
            "securitySchemes": {
                scope.value: {"type": "http", "scheme": "bearer", "description": f"A token with the scope {scope}."}
                for scope in Scope
            },
        },
    }


def _webhook(schema: Any) -> dict[str, Any]:
    """What the sidecar sends to `outputs.webhook` in its own form."""
    sent = {
        "webhook-id": "Of the message, the same at every attempt.",
        "webhook-timestamp": "Unix seconds of the attempt; with a signing key only.",
        "webhook-signature": "`v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`; with a signing key only.",
    }
    return {
        "operationId": "findingMessage",
        "summary": "A combination began to be worse than its base, got worse, or is well again",
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": name == "webhook-id",
                "description": text,
                "schema": {"type": "string"},
            }
            for name, text in sent.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "2XX": {"description": "Taken: it is not sent again."},
            "4XX": {"description": "400, 413, 415 and 422: never sent again. Others: sent again later."},
            "5XX": {"description": "Sent again later."},
        },
    }


def _operation(one: Operation, found: dict[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in one.parameters
    ]
    if one.query is not None:
        parameters += _query_parameters(schemas[one.query.__name__])
    described: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "parameters": parameters,
        "security": [{scope.value: []} for scope in Scope if scope is one.scope]
        + ([{}] if one.scope is Scope.READ else []),
        "responses": _responses(one, found),
    }
    if one.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": found[one.body]}}}
    return described


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    described = []
    for name, inner in schema.get("properties", {}).items():
        inner = {key: value for key, value in inner.items() if not (key == "default" and value == "")}
        described.append({"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": inner})
    return described


def _responses(one: Operation, found: dict[Any, Any]) -> dict[str, Any]:
    tag = {"ETag": {"schema": {"type": "string"}, "description": "For If-None-Match."}}
    responses: dict[str, Any] = {
        "200": {
            "description": one.summary,
            "headers": tag,
            "content": {"application/json": {"schema": found[one.response]}},
        }
    }
    if one.method == "GET":
        responses["304"] = {"description": "Unchanged.", "headers": tag}
    statuses = {400, 401, 403, *one.problems} | ({413, 415} if one.body else set())
    for status in sorted(statuses):
        responses[str(status)] = {
            "description": http.HTTPStatus(status).phrase,
            "content": {PROBLEM: {"schema": found[Problem]}},
        }
    return responses
