"""Secrets come from files, never from the configuration itself, which may be printed and logged."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Final

from monitor.config.fields import web_address
from monitor.config.load import ConfigError

LEAST_TOKEN: Final = 16
"""Characters below which a token could be guessed."""
LEAST_KEY: Final = 24
"""Bytes of a signing key, as Standard Webhooks has it."""


def read_token(file: Path, key: str) -> str:
    """A token that callers of ours must know. Raises ConfigError, as read_secret does, and for one that is too short."""
    token = read_secret(file, key)
    if len(token) < LEAST_TOKEN:
        raise ConfigError(
            f"{key}: {file} holds fewer than {LEAST_TOKEN} characters: openssl rand -hex 32 makes a good one"
        )
    return token


def read_secret(file: Path, key: str) -> str:
    """The one line of text in this file. Raises ConfigError that names the configuration's key and the file."""
    try:
        secret = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(f"{key}: cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {file} is not one line of ASCII text") from None
    if not secret or not secret.isprintable():
        raise ConfigError(f"{key}: {file} is not one line of ASCII text")
    return secret


def read_web_address(file: Path, key: str) -> str:
    """The address in this file, which may be a secret itself. Raises ConfigError, as read_secret does."""
    try:
        return web_address(read_secret(file, key))
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{key}: {file}: {error}") from error


def read_signing_key(file: Path, key: str) -> bytes:
    """The key in this file: base64, with or without the prefix `whsec_`. Raises ConfigError, as read_secret does."""
    secret = read_secret(file, key).removeprefix("whsec_")
    try:
        found = base64.b64decode(secret, validate=True)
    except binascii.Error:
        found = b""
    if len(found) < LEAST_KEY:
        raise ConfigError(
            f"{key}: {file} does not hold {LEAST_KEY} bytes or more in base64: openssl rand -base64 32 makes a good one"
        )
    return found
