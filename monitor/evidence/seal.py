"""Encryption at rest: AES-256-GCM over what was said, with keys from a file.

Names, times and outcomes stay readable, so that the store can be searched and kept in bounds without a key; texts do not. What
was sealed for one example cannot be put in another's place: its id is authenticated too.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from monitor.config import ConfigError

OPEN: Final = ""
"""Name of the key of what is not encrypted."""
_NONCE: Final = 12
"""Bytes; random ones are safe for four thousand million examples with one key (NIST SP 800-38D)."""


class SealError(ValueError):
    """It cannot be opened: another key, or other bytes than were written."""


class Sealer:
    """Seals with the first key, opens with any."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        """keys: 32 bytes each; without any nothing is encrypted. Raises ImportError without the extra `evidence`."""
        self._keys = {}
        self.name = OPEN
        """Of the key that seals."""
        if keys:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # only here: most need none

            self._keys = {_name(key): AESGCM(key) for key in keys}
            self.name = _name(keys[0])

    def seal(self, identity: str, text: bytes) -> bytes:
        """The text as it may lie on a disk."""
        if self.name == OPEN:
            return text
        nonce = os.urandom(_NONCE)
        return nonce + self._keys[self.name].encrypt(nonce, text, identity.encode())

    def open(self, identity: str, name: str, sealed: bytes) -> bytes:
        """What `seal` got for this example. Raises SealError."""
        if name == OPEN:
            return sealed
        key = self._keys.get(name)
        if key is None:
            raise SealError("its key is not configured")
        from cryptography.exceptions import InvalidTag

        try:
            return key.decrypt(sealed[:_NONCE], sealed[_NONCE:], identity.encode())
        except (InvalidTag, ValueError) as error:
            raise SealError("it was changed since it was written") from error


def read_keys(file: Path | None) -> list[bytes]:
    """One key a line, 64 hexadecimal digits each, the newest first. Raises ConfigError."""
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="ascii").split()
    except OSError as error:
        raise ConfigError(f"evidence.key_file: cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        lines = []
    if not lines or not all(re.fullmatch(r"[0-9a-fA-F]{64}", line) for line in lines):
        raise ConfigError(
            f"evidence.key_file: {file} must hold keys of 64 hexadecimal digits, one a line: openssl rand -hex 32 makes one"
        )
    return [bytes.fromhex(line) for line in lines]


def _name(key: bytes) -> str:
    """Tells keys apart without telling anything of them."""
    return hashlib.sha256(b"alignment-monitor evidence key\0" + key).hexdigest()[:16]
