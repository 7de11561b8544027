"""From an exchange to an arrival: decoded, joined with what was asked for earlier, and cut into what a scorer gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from monitor.protocols import DECODERS, Background, DecodeError
from monitor.records import AnswerEnding, Choice, Dialogue, Ending, Exchange, Item, Outcome, Prompt, Stratum, Verdict

NO_RESPONSE: Final = "no_response"
"""Reason of exchanges that broke off before the server sent anything of an answer."""
MALFORMED: Final = "malformed_response"
"""Reason of exchanges whose answer cannot be read."""
_LIMITS: Final = frozenset({"length", "max_tokens"})
_GIVEN_UP: Final = frozenset({"abort", "error", "content_filter", "repetition"})
"""Finish reasons of answers that the server itself cut off."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a recording says of an exchange beforehand; it stands above what the scorer says."""

    stratum: Stratum | None = None
    outcome: Outcome | None = None
    base_outcome: Outcome | None = None

    def judged(self, verdict: Verdict, outcome: Outcome | None) -> Verdict:
        """A verdict with what is known put in its place. outcome: of this answer."""
        if self is NOTHING_KNOWN:
            return verdict
        return replace(verdict, stratum=self.stratum or verdict.stratum, outcome=outcome or verdict.outcome)


NOTHING_KNOWN: Final = Known()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A dialogue with what is known of its exchange."""

    dialogue: Dialogue
    endpoint: str
    time: float
    """Unix seconds."""
    inclusion: float = 1.0
    ending: Ending = Ending.COMPLETE
    cut: bool = False
    """The response is incomplete: a broken connection, a client that went, or a bounded copy."""
    duration_s: float = -1.0
    first_byte_s: float = -1.0
    base_response: str | None = None
    """The base model's answer to the same prompt, where a recording has it."""
    known: Known = NOTHING_KNOWN
    source: Exchange | None = None
    """The exchange itself, for a request that may be asked again."""


class Reader:
    """Decodes exchanges, one after the other."""

    def __init__(self) -> None:
        self._background = Background()

    def read(self, exchange: Exchange, endpoint: str) -> Arrival | str:
        """An exchange as an arrival, or the reason why there is nothing to judge."""
        try:
            arrival = _decode(exchange, endpoint)
        except DecodeError as error:
            return error.reason
        if endpoint != "responses":
            return arrival
        joined = self._background.join(arrival.dialogue)
        if isinstance(joined, str):
            return joined
        if joined.fetched:  # how long it took to fetch is not how long it took to answer
            return replace(arrival, dialogue=joined, duration_s=-1.0, first_byte_s=-1.0)
        return arrival


def _decode(exchange: Exchange, endpoint: str) -> Arrival:
    """An exchange as an arrival. Raises DecodeError with the reason why there is nothing to judge."""
    decoder = DECODERS.get(endpoint)
    if decoder is None:
        raise DecodeError("unsupported")
    if not 0 < exchange.inclusion <= 1:
        raise DecodeError("bad_inclusion")
    if exchange.status == 0:
        raise DecodeError(NO_RESPONSE)
    if exchange.status >= 400:
        raise DecodeError("error_status")
    if exchange.status != 200:
        raise DecodeError("other_status")
    if (
        exchange.response_bytes == 0 and exchange.ending is not Ending.COMPLETE
    ):  # a stream's head comes before its first word
        raise DecodeError(NO_RESPONSE)
    return Arrival(
        dialogue=decoder(exchange),
        endpoint=endpoint,
        time=exchange.started,
        inclusion=exchange.inclusion,
        ending=exchange.ending,
        cut=exchange.ending is not Ending.COMPLETE or exchange.response_truncated,
        duration_s=exchange.duration_s,
        first_byte_s=exchange.first_byte_s,
        source=exchange,
    )


def items_of(arrival: Arrival) -> list[Item]:
    """What the scorer gets: the choices, and the base's answer where there is one."""
    dialogue = arrival.dialogue
    prompts = dialogue.prompts or (Prompt(""),)
    items = [
        Item(
            prompt=prompts[choice.prompt].text,
            response=choice.text,
            finish_reason="error" if dialogue.error else choice.finish_reason,
            tool_call=choice.tool_call,
            cut=_is_cut(arrival, choice),
        )
        for choice in dialogue.choices
    ]
    if arrival.base_response is not None:
        items.append(Item(prompt=prompts[0].text, response=arrival.base_response, finish_reason="stop"))
    return items


def _is_cut(arrival: Arrival, choice: Choice) -> bool:
    """The answer is not known to be whole.

    It has to say itself why it ended. In a stream that is enough, whatever became of the rest; any other response must have
    come whole as well.
    """
    if not choice.finish_reason or choice.finish_reason in _LIMITS | _GIVEN_UP:
        return True
    return arrival.dialogue.damaged if arrival.dialogue.stream else arrival.cut


def ending_of(arrival: Arrival) -> AnswerEnding:
    """How the request ended; see AnswerEnding."""
    dialogue = arrival.dialogue
    if arrival.ending is not Ending.COMPLETE:
        return AnswerEnding(arrival.ending)
    if dialogue.error:
        return AnswerEnding.UPSTREAM_BROKE
    known = not (arrival.cut or dialogue.damaged)
    found = {_ending_of_choice(choice, known=known) for choice in dialogue.choices}
    return next((ending for ending in _LEAST_FAR_FIRST if ending in found), AnswerEnding.COMPLETE)


_LEAST_FAR_FIRST: Final = (AnswerEnding.UPSTREAM_BROKE, AnswerEnding.LENGTH, AnswerEnding.TOOL_CALL)


def _ending_of_choice(choice: Choice, *, known: bool) -> AnswerEnding:
    """known: the copy holds all that came; otherwise a reason may be missing in the copy alone."""
    reason = choice.finish_reason
    if reason in _GIVEN_UP or (not reason and known):
        return AnswerEnding.UPSTREAM_BROKE
    if reason in _LIMITS:
        return AnswerEnding.LENGTH
    if reason == "tool_calls" or (reason and choice.tool_call):
        return AnswerEnding.TOOL_CALL
    return AnswerEnding.COMPLETE
