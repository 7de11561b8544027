"""What the encoder reads of an answer: its opening, the place where it turns, and its end, beside the prompt.

A whole answer of 2,000 characters costs four times as much as these passages and says hardly more about whether it refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.scoring.window import window

PROMPT_CHARACTERS = 90
WHOLE = 440
"""Characters of an answer that is read without a gap."""
HEAD = 280
MIDDLE = 90
TAIL = 110
"""Characters of a longer answer's opening, of the passage where it turns, and of its end."""
PROMPT_TOKENS = 20
ANSWER_TOKENS = 104
"""Most tokens of the prompt and of all passages together; what is over is left out at the end of a passage."""
_SHARES = (0.58, 0.19, 0.23)


@dataclass(frozen=True, slots=True)
class Passages:
    """The texts of one exchange that the encoder reads."""

    prompt: str
    answer: tuple[str, ...]
    """One text, or three: opening, turn, end."""

    def limits(self) -> list[int]:
        """Most tokens of each part of the answer."""
        if len(self.answer) == 1:
            return [ANSWER_TOKENS]
        return [int(ANSWER_TOKENS * share) for share in _SHARES]


def passages(prompt: str, response: str, refusal: tuple[int, int] | None) -> Passages:
    """The passages of an answer whose first refusal wording stands at the characters `refusal`."""
    asked = " ".join(prompt.split())
    if len(asked) > PROMPT_CHARACTERS:
        asked = f"{asked[: PROMPT_CHARACTERS * 2 // 3]} {asked[-PROMPT_CHARACTERS // 3 :]}"
    if len(response) <= WHOLE:
        return Passages(asked, (_lines(response),))
    begin = _turn(len(response), refusal)
    parts = (response[:HEAD], response[begin : begin + MIDDLE], response[-TAIL:])
    return Passages(asked, tuple(_lines(part) for part in parts))


def _lines(text: str) -> str:
    """The encoder's vocabulary has no line end; a bar stands for it, since paragraphs part a refusal from what follows."""
    return window(text).replace("\n\n", "\n").replace("\n", " | ")


def _turn(length: int, refusal: tuple[int, int] | None) -> int:
    """Where the middle passage begins: at a refusal behind the opening, after a refusal that fills it, else halfway."""
    last = length - TAIL - MIDDLE
    place = (HEAD + last) // 2
    if refusal is not None and refusal[1] > HEAD:
        place = refusal[0] if refusal[0] >= HEAD - MIDDLE // 2 else refusal[1]
    return max(HEAD, min(place, last)) if last > HEAD else HEAD


def assemble(
    prompt: Sequence[int], answer: Sequence[Sequence[int]], limits: Sequence[int], first: int, gap: int
) -> list[int]:
    """Token ids of one input: first, prompt, gap, then each passage and a gap."""
    ids = [first, *prompt[:PROMPT_TOKENS], gap]
    for part, limit in zip(answer, limits, strict=True):
        ids += [*part[:limit], gap]
    return ids
