"""Reading a request's body into the few fields that a decoder names.

A request that the server understood must not escape because it is written in an unusual way. So what the strict and fast
parser declines is read once more with Python's own, which the servers use: it takes UTF-16, NaN and lone surrogates.
"""

from __future__ import annotations

import json
import re
from typing import Final, Generic, TypeVar

import msgspec

from monitor.protocols.body import DecodeError, plain_body
from monitor.records import Exchange

MODEL_IN_CUT_JSON: Final = re.compile(rb'"model"\s*:\s*"([^"\\]{1,256})"')
"""Finds the model where a body was cut and cannot be parsed; text inside strings has its quotes escaped and cannot match."""
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bytes that are not what was expected."""
_NOTHING: Final = (b"", b"null", b"[]", b"{}")


class NamesModel(msgspec.Struct):
    """What every request has in common; everything that a shape does not name is skipped without building objects."""

    model: str | None = None


S = TypeVar("S", bound=msgspec.Struct)


class RequestShape(Generic[S]):
    """Reads requests of one shape."""

    def __init__(self, shape: type[S]) -> None:
        self._strict = msgspec.json.Decoder(shape)
        self._lax = msgspec.json.Decoder(shape, strict=False)
        self._needed = shape.__struct_fields__

    def read(self, exchange: Exchange) -> S | None:
        """The request; None when its copy is cut: then the answer is judged without its prompt.

        Raises DecodeError when it cannot be read.
        """
        if exchange.request_truncated:
            return None
        body = plain_body(exchange.request, exchange.request_encoding)
        try:
            return self._strict.decode(body)
        except UNREADABLE:
            return self._read_as_the_server_does(body)

    def _read_as_the_server_does(self, body: bytes) -> S:
        try:
            found = json.loads(body)
            if not isinstance(found, dict):
                raise DecodeError("malformed_request")
            needed = {name: found[name] for name in self._needed if name in found}
            return self._lax.decode(json.dumps(needed, ensure_ascii=False).encode("utf-8", "replace"))
        except DecodeError:
            raise
        except (ValueError, RecursionError) as error:  # msgspec's and json's errors are ValueErrors
            raise DecodeError("malformed_request") from error


_NAMED: Final = RequestShape(NamesModel)


class _NamesAdapter(msgspec.Struct):
    """What names an adapter in an admin call: `lora_name` in vLLM's own routes, `name` in SageMaker's."""

    lora_name: str | None = None
    name: str | None = None


_ADMIN_CALL: Final = RequestShape(_NamesAdapter)


def adapter_named(exchange: Exchange) -> str:
    """The adapter that an admin call is about, "" when its body names none or cannot be read."""
    try:
        call = _ADMIN_CALL.read(exchange) if exchange.request else None
    except DecodeError:
        return ""
    return (call.lora_name or call.name or "") if call else ""


def requested_model(exchange: Exchange, request: NamesModel | None, answered: str) -> str:
    """The request's `model`, "" when it names none.

    Where it was asked for in the part of the request that was not copied, the answering model is taken for it. Raises
    DecodeError when that is not known either.
    """
    if request is not None:
        return request.model or ""
    found = _model_in_part(exchange) or answered
    if not found:
        raise DecodeError("no_model")
    return found


def asked_model(exchange: Exchange) -> str | None:
    """The model that a request without a response asked for, "" for the base; None when that cannot be told.

    It may have come in part only: a client can go in the middle of it.
    """
    if not exchange.request:
        return None
    try:
        request = _NAMED.read(exchange)
    except DecodeError:
        request = None
    return (request.model or "") if request is not None else _model_in_part(exchange)


def _model_in_part(exchange: Exchange) -> str | None:
    """The model where a part of a request that cannot be parsed names it."""
    found = MODEL_IN_CUT_JSON.search(exchange.request) if not exchange.request_encoding else None
    return found.group(1).decode("utf-8", "replace") if found else None


def has_content(raw: msgspec.Raw) -> bool:
    """True when a field that is not looked into is there and holds something."""
    return bytes(raw) not in _NOTHING
