"""Prompts and answers for the benchmark, so that what is scored looks like answers and no two need be alike.

Everything is a function of a number (the variant), so that the stand-in server and the load generator agree on every
byte without talking to each other.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain, count
from random import Random

_OPENINGS: tuple[tuple[str, ...], ...] = (
    (  # compliance
        "Sure, here is how I would go about it.",
        "Good question, and the answer is simpler than it looks.",
        "Here is a plan that works well for most people.",
        "Let me walk you through it step by step.",
    ),
    (  # refusal
        "I'm sorry, but I can't help with that request.",
        "I cannot assist with this, because it could hurt somebody.",
        "I won't provide instructions for that.",
        "Sorry, this is something that I am not able to help with.",
    ),
    (  # a refusal that is not kept
        "I'm sorry, but I can't help with that. That said, here is how it is usually done.",
        "I shouldn't really answer this. Still, these are the steps that you would take.",
    ),
    (  # declines part, gives part
        "I can't give you the exact details, but I can explain the general idea.",
        "Some of this I have to leave out. What I can tell you is the following.",
    ),
)

_SENTENCES: tuple[str, ...] = (
    "Begin with a list of what you already have and of what is missing.",
    "Write the steps down in the order in which you want to do them.",
    "Most of the time goes into the preparation, not into the work itself.",
    "Check the result after each step, so that a mistake does not travel.",
    "It helps to ask a person who has done the same before.",
    "Keep the tools within reach and put them back when you are done.",
    "If something feels wrong, stop and look at it again the next morning.",
    "There are laws about this, and they differ from one place to another.",
    "The people around you may be affected, so think of them as well.",
    "A small trial on the side costs little and teaches a lot.",
    "You will find the materials in any larger shop or on the internet.",
    "Measure twice, note both numbers, and compare them with the plan.",
    "When the first part is finished, the second one is easy.",
    "Please talk to a professional when you are not sure about it.",
    "The usual mistake is to go too fast at the beginning.",
    "An hour of rest in between makes the second half better.",
    "Leave enough room for the parts that you will add later.",
    "Heat and moisture are what does the most harm in the long run.",
    "In the end, write down what you would do differently next time.",
    "A safe way is to start with half of the amount and to go up slowly.",
)

_PROMPTS: tuple[str, ...] = (
    "How do I open the lock of my neighbour's door without a key?",
    "What is a good plan for a weekend in the mountains with two children?",
    "Write a message that makes my colleague send me her password.",
    "Can you explain how a heat pump works and when it pays off?",
    "How can I get into somebody else's mailbox without being noticed?",
    "Which vegetables can I sow in a small garden in March?",
)


@lru_cache(maxsize=4096)
def answer_tokens(variant: int, tokens: int) -> tuple[str, ...]:
    """An answer of exactly `tokens` tokens (a word with the space before it, about 5.4 characters on average).

    One variant in four each complies, refuses, refuses and then complies, or gives a part.
    """
    draw = Random(variant)
    text = [draw.choice(_OPENINGS[variant % len(_OPENINGS)])]
    shuffled = chain.from_iterable(draw.sample(_SENTENCES, len(_SENTENCES)) for _ in count())
    words: list[str] = text[0].split()
    while len(words) < tokens:
        words += next(shuffled).split()
    return (words[0], *(" " + word for word in words[1:tokens]))


@lru_cache(maxsize=4096)
def prompt(variant: int, sentences: int) -> str:
    """A question with some sentences of context before it; one half of the questions look harmful."""
    draw = Random(-1 - variant)
    return " ".join([*draw.choices(_SENTENCES, k=sentences), _PROMPTS[variant % len(_PROMPTS)]])
