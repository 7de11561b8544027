"""What a message to the webhook's receiver needs beside itself: where to, with which secrets, and whom to trust.

Apart from the sending, which carries an HTTP client: the supervisor looks at these files before anything starts.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from monitor.config import ConfigError
from monitor.config.model import WebhookSection
from monitor.config.secrets import read_secret, read_signing_key, read_web_address

_KEY: Final = "outputs.webhook"


def address(section: WebhookSection) -> str:
    """Where messages go. Raises ConfigError."""
    if section.url_file:
        return read_web_address(section.url_file, f"{_KEY}.url_file")
    if section.url is None:
        raise ConfigError(f"{_KEY}: no address is set")
    return section.url


def token(file: Path) -> str:
    """The receiver's bearer token. Raises ConfigError."""
    return read_secret(file, f"{_KEY}.token_file")


def signing_key(file: Path) -> bytes:
    """What messages are signed with. Raises ConfigError."""
    return read_signing_key(file, f"{_KEY}.signing_key_file")


def trusted(section: WebhookSection) -> ssl.SSLContext | None:
    """The authority of one's own that signs the receiver's certificate, None for the system's. Raises ConfigError."""
    if section.ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=section.ca_file)
    except OSError as error:  # also ssl.SSLError
        raise ConfigError(f"{_KEY}.ca_file: {section.ca_file} cannot be used: {error.strerror or error}") from error


def check_receiver(webhook: WebhookSection) -> None:
    """Raise ConfigError when a file that the messages need cannot be used."""
    address(webhook)
    if webhook.token_file:
        token(webhook.token_file)
    if webhook.signing_key_file:
        signing_key(webhook.signing_key_file)
    trusted(webhook)
