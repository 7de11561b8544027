"""Secrets come from files, never from the configuration itself, which may be printed and logged."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from monitor.config.load import ConfigError

LEAST_TOKEN: Final = 16
"""Characters below which a token could be guessed."""


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
