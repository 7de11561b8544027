"""What lies behind a served name. Apart from the reading of files, which carries numpy: the first policy needs none of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contents:
    """What is known of the files behind a served name."""

    digest: str
    """SHA-256, "" when the files could not be read."""
    problem: str = ""
    """Why there is no digest, in words."""

    @property
    def state(self) -> str:
        """`digested` or `undigested`."""
        return "digested" if self.digest else "undigested"
