"""What the sections are made of: kinds of values, each with what is wrong about one that cannot be used."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=604_800)]
"""A duration: above zero, at most a week (more is a slip of the unit, and event loops have an end too)."""
PositiveInt = Annotated[int, Field(gt=0)]


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    named = re.fullmatch(r"\[[0-9a-fA-F:.]+(?:%\w+)?\]|[^\s:/\[\]]+", host)
    if not named or not _is_port(port):
        raise ValueError(f"{value!r} is not HOST:PORT (IPv6 as [::1]:8001, all interfaces as 0.0.0.0:8001)")
    return value


def _upstream(value: str) -> str:
    if re.fullmatch(r"unix:/[^?#\s]+", value):
        return value
    web = re.fullmatch(r"https?://(?:\[[0-9a-fA-F:.]+\]|[^/:?#\[\]@\s]+)(?::(\d{1,5}))?/?", value)
    if web and (web[1] is None or _is_port(web[1])):
        return value.rstrip("/")
    shown = "what stands there" if "@" in value else repr(value)  # it may hold a password
    raise ValueError(
        f"{shown} is not http://HOST:PORT, https://HOST:PORT or unix:/path/to/socket (without a path behind)"
    )


def _endpoint(value: str) -> str:
    web = re.fullmatch(r"https?://(?:\[[0-9a-fA-F:.]+\]|[^/:?#\[\]@\s]+)(?::(\d{1,5}))?(?:/[^?#\s@]*)?", value)
    if web and (web[1] is None or _is_port(web[1])):
        return value.rstrip("/").removesuffix("/v1")
    shown = "what stands there" if "@" in value else repr(value)  # it may hold a password
    raise ValueError(f"{shown} is not http://HOST:PORT or https://HOST:PORT/PREFIX (a key belongs into api_key_file)")


def web_address(value: str) -> str:
    """An address with a path of its own; never told again in an error. Raises ValueError."""
    web = re.fullmatch(r"https?://(?:\[[0-9a-fA-F:.]+\]|[^/:?#\[\]@\s]+)(?::(\d{1,5}))?(?:[/?][^#\s]*)?", value)
    if web and (web[1] is None or _is_port(web[1])):
        return value
    raise ValueError("what stands there is not http://HOST:PORT/PATH or https://HOST:PORT/PATH")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= 65535


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from error
    return value


def _route(value: str) -> str:
    path = value.removesuffix("/*")
    if not re.fullmatch(r"/[^\s?#%*\\]+", path) or re.search(r"/\.{0,2}(?:/|$)", path):
        raise ValueError(f"{value!r} is not a path such as /v1/rag, or /v1/rag/* for all below it")
    return value


Address = Annotated[str, AfterValidator(_address)]
UpstreamUrl = Annotated[str, AfterValidator(_upstream)]
EndpointUrl = Annotated[str, AfterValidator(_endpoint)]
WebAddress = Annotated[str, AfterValidator(web_address)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Route = Annotated[str, AfterValidator(_route)]


class Section(BaseModel):
    """Base of all sections: strict, frozen, documented by the docstrings of its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
