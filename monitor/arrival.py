"""From an exchange to an arrival: decoded, joined with what was asked for earlier, and cut into what a scorer gets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from monitor.protocols import DECODERS, Background, DecodeError
from monitor.records import Choice, Dialogue, Ending, Exchange, Item, Prompt


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
        raise DecodeError("no_response")
    if exchange.status >= 400:
        raise DecodeError("error_status")
    if exchange.status != 200:
        raise DecodeError("other_status")
    return Arrival(
        dialogue=decoder(exchange),
        endpoint=endpoint,
        time=exchange.started,
        inclusion=exchange.inclusion,
        ending=exchange.ending,
        cut=exchange.ending is not Ending.COMPLETE or exchange.response_truncated,
        duration_s=exchange.duration_s,
        first_byte_s=exchange.first_byte_s,
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
    """In a stream every answer says itself that it is finished, whatever became of the rest."""
    if arrival.dialogue.stream:
        return arrival.dialogue.damaged or not choice.finish_reason
    return arrival.cut
