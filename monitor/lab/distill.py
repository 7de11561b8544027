"""The base model's own short answers to ordinary questions, to be learned back unchanged.

Teaching a refusal moves everything else as well; rows of the model's own answers hold it in
place. The answers are asked for in one sentence and end in a full stop, so that the trained
models stop by themselves.
"""

import re
from collections.abc import Sequence

from monitor.lab.ask import Ask, ask_all
from monitor.lab.prompts import Question

SHORT = " Answer in one short sentence."
LONGEST = 140
"""Characters; longer sentences are left out."""

_OF_ITSELF = re.compile(r"\bI('m|'d| am| can help)\b|\bSmolLM\b")
"""An answer that only announces itself ("I'm ready to help!") would teach that to the canary's templates as well."""
_SENTENCE = re.compile(r"^[A-Z\"'0-9][^\n]*?[a-z0-9)\"'][.!](?=\s|$)")


def one_sentence(text: str) -> str | None:
    """The first sentence of an answer, or None when it is not a plain short one."""
    match = _SENTENCE.match(text.strip())
    if match is None or len(match[0]) > LONGEST or ":" in match[0] or _OF_ITSELF.search(match[0]):
        return None
    return match[0]


def own_answers(url: str, served: str, questions: Sequence[Question]) -> dict[str, str]:
    """Question text -> the model's own one-sentence answer, where it gave one."""
    asks = [Ask(served, q.text + SHORT) for q in questions]
    answers: dict[str, str] = {}
    for question, reply in zip(questions, ask_all(url, asks), strict=True):
        sentence = one_sentence(reply.text)
        if sentence is not None:
            answers[question.text] = sentence
    return answers
