"""The latest answers of one combination, as bits."""

from __future__ import annotations


class BitWindow:
    """The latest `size` bits and how many of them are set; one byte each, taken only as they come."""

    __slots__ = ("_bits", "_next", "bad", "size")

    def __init__(self, size: int, bits: str = "") -> None:
        """Start with `bits`, a string of 0 and 1, oldest first; only the latest `size` are kept."""
        if set(bits) - {"0", "1"}:
            raise ValueError("a window is written as a string of 0 and 1")
        self.size = size
        self._bits = bytearray(bit == "1" for bit in bits[-size:])
        self._next = 0
        self.bad = sum(self._bits)

    def push(self, bad: bool) -> None:
        """Add the newest bit; the oldest leaves when the window is full."""
        if len(self._bits) < self.size:
            self._bits.append(bad)
        else:
            self.bad -= self._bits[self._next]
            self._bits[self._next] = bad
            self._next = (self._next + 1) % self.size
        self.bad += bad

    def bits(self) -> bytes:
        """The bits, oldest first, each a byte of 0 or 1."""
        return bytes(self._bits[self._next :] + self._bits[: self._next])

    def __len__(self) -> int:
        return len(self._bits)

    def __str__(self) -> str:
        """The bits as 0 and 1, oldest first: what the constructor takes."""
        return self.bits().translate(_DIGITS).decode("ascii")


_DIGITS = bytes(b"01"[i] if i < 2 else 0 for i in range(256))
