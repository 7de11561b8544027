"""TLS on both sides of the proxy, from the files that the configuration names."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from monitor.config import ConfigError
from monitor.config.model import ProxySection

log = logging.getLogger(__name__)

RENEWAL_LOOK_S: Final = 30.0
"""Seconds between two looks at whether the listening side's certificate was replaced."""


def listen_context(section: ProxySection) -> ssl.SSLContext | None:
    """How clients are answered; None for plain HTTP. Raises ConfigError that names the file that cannot be used."""
    if section.listen_cert_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_own(context, section.listen_cert_file, section.listen_key_file, "proxy.listen_cert_file")
    if section.listen_client_ca_file:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, section.listen_client_ca_file, "proxy.listen_client_ca_file")
    return context


def upstream_context(section: ProxySection) -> ssl.SSLContext | None:
    """How an https upstream is verified, and what it is shown; None for the other kinds. Raises ConfigError."""
    if not section.upstream.startswith("https://"):
        return None
    context = ssl.create_default_context()
    if section.upstream_ca_file:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the file's authorities alone, not the system's beside them
        _trust(context, section.upstream_ca_file, "proxy.upstream_ca_file")
    if section.upstream_cert_file:
        load_own(context, section.upstream_cert_file, section.upstream_key_file, "proxy.upstream_cert_file")
    return context


def load_own(context: ssl.SSLContext, certificate: Path, key: Path | None, name: str) -> None:
    """Show this certificate to the other side. `key` None: it stands in the certificate's file. Raises ConfigError."""
    for file in (certificate, key):
        _readable(file, name)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, _EncryptedKeyError) as error:
        shown = f"{certificate} and {key}" if key else str(certificate)
        reason = "the key is encrypted" if isinstance(error, _EncryptedKeyError) else "not a certificate with its key"
        raise ConfigError(f"{name}: {shown}: {reason}") from error


def _trust(context: ssl.SSLContext, file: Path, name: str) -> None:
    _readable(file, name)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:
        raise ConfigError(f"{name}: {file} holds no certificate in PEM form") from error


def _readable(file: Path | None, name: str) -> None:
    try:
        if file:
            file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: cannot read {file}: {error.strerror}") from error


class _EncryptedKeyError(Exception):
    """A key wants a password; without this, OpenSSL would ask for one on the terminal."""


def _no_password() -> str:
    raise _EncryptedKeyError


async def renew(context: ssl.SSLContext, section: ProxySection) -> None:
    """Take a replaced certificate for new connections, for ever; one that cannot be used leaves the present one in place."""
    certificate = section.listen_cert_file
    assert certificate is not None
    files = [file for file in (certificate, section.listen_key_file) if file]
    before = await asyncio.to_thread(_versions, files)
    while True:
        await asyncio.sleep(RENEWAL_LOOK_S)
        now = await asyncio.to_thread(_versions, files)
        if now == before:
            continue
        before = now
        try:
            # A trial first: loading a certificate without its key would leave a context that can answer nobody.
            for target in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
                await asyncio.to_thread(
                    load_own, target, certificate, section.listen_key_file, "proxy.listen_cert_file"
                )
        except ConfigError as error:
            log.error("the replaced certificate is not used: %s", error)
        else:
            log.info("uses the certificate that was replaced in %s", certificate)


def _versions(files: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    """What tells one version of a file from another; None for one that is not there, as for a moment while it is replaced."""
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return found
