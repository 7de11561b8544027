"""Ed25519 signatures of baselines, by the `cryptography` library (extra `signing`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monitor.baseline.frozen import Baseline, BaselineError


def sign(baseline: Baseline, key_file: Path) -> str:
    """Signature with an unencrypted PEM private key. Raises BaselineError."""
    serialization, ed25519, _ = _library()
    content = _content(key_file)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise BaselineError(f"{key_file}: not an unencrypted private key in PEM form") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise BaselineError(f"{key_file}: not an Ed25519 key (openssl genpkey -algorithm ed25519 makes one)")
    signature: bytes = key.sign(baseline.signed)
    return signature.hex()


def check_signature(baseline: Baseline, public_key_file: Path) -> None:
    """Raises BaselineError unless the key's owner signed this content with this approval."""
    serialization, ed25519, invalid_signature = _library()
    content = _content(public_key_file)
    try:
        key = serialization.load_pem_public_key(content)
    except ValueError as error:
        raise BaselineError(f"{public_key_file}: not a public key in PEM form") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise BaselineError(f"{public_key_file}: not an Ed25519 key")
    if not baseline.signature:
        raise BaselineError("the baseline is not signed, and drift.baseline_public_key wants a signature")
    try:
        key.verify(bytes.fromhex(baseline.signature), baseline.signed)
    except (ValueError, invalid_signature) as error:
        raise BaselineError(f"the baseline's signature is not one of {public_key_file}") from error


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BaselineError(f"{file}: cannot be read: {error.strerror}") from error


def _library() -> tuple[Any, Any, type[Exception]]:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise BaselineError(
            "signatures need the extra `signing`: pip install 'vllm-alignment-monitor[signing]'"
        ) from error
    return serialization, ed25519, InvalidSignature
