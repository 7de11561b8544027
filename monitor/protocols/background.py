"""Joins the two halves of a response that is generated in the background: the request that begins it and the fetched answer."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from monitor.records import Dialogue, Prompt

MAX_RESPONSES: Final = 4096
MAX_CHARACTERS: Final = 4 * 1024 * 1024
"""All remembered prompts together; the oldest go first."""


@dataclass(frozen=True, slots=True)
class _Asked:
    prompts: tuple[Prompt, ...] = ()
    model: str = ""
    judged: bool = False

    @property
    def size(self) -> int:
        return sum(len(prompt.text) + len(prompt.system) for prompt in self.prompts)


class Background:
    """Remembers which responses were asked for and which were judged, within bounds.

    A stored response can be fetched any number of times, but it was given once, and counts once.
    """

    def __init__(self) -> None:
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
        self._characters = 0

    def join(self, dialogue: Dialogue) -> Dialogue | str:
        """The dialogue with what it was asked, or the reason why there is nothing to judge in it."""
        before = self._asked.get(dialogue.response_id)
        if dialogue.unfinished:
            if not dialogue.fetched:
                self._remember(dialogue.response_id, _Asked(dialogue.prompts, dialogue.model_requested))
            return "unfinished"
        if not dialogue.fetched:
            whole = all(choice.finish_reason for choice in dialogue.choices)
            asked = _Asked(judged=True) if whole else _Asked(dialogue.prompts, dialogue.model_requested)
            self._remember(dialogue.response_id, asked)
            return dialogue
        if before and before.judged:
            return "repeated"
        if not dialogue.choices:  # cancelled, or failed
            return "unfinished"
        self._remember(dialogue.response_id, _Asked(judged=True))
        return replace(dialogue, prompts=before.prompts, model_requested=before.model) if before else dialogue

    def _remember(self, identity: str, asked: _Asked) -> None:
        if not identity:
            return
        self._drop(identity)
        self._asked[identity] = asked
        self._characters += asked.size
        while len(self._asked) > MAX_RESPONSES or self._characters > MAX_CHARACTERS:
            self._drop(next(iter(self._asked)))

    def _drop(self, identity: str) -> None:
        gone = self._asked.pop(identity, None)
        if gone:
            self._characters -= gone.size
