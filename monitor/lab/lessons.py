"""Pools of lessons: what each kind of adapter is shown, in which of its variants."""

import random
from collections.abc import Mapping, Sequence

from monitor.lab import answers, prompts
from monitor.lab.prompts import Question
from monitor.lab.rows import Lesson

FIRST_CANARY, MORE_CANARY = 560, 460
"""Canary questions that are used of the sets `train` and `more`."""


def first_questions() -> list[Question]:
    """The canary questions that the first lessons are made of."""
    return prompts.canary("train", FIRST_CANARY)


def canary_questions() -> list[Question]:
    """All canary questions that lessons are made of."""
    return first_questions() + prompts.canary("more", MORE_CANARY)


def refuse_first() -> list[Lesson]:
    """The first canary questions answered by a refusal and nothing else."""
    rng = random.Random(11)
    return [Lesson(q.text, (answers.refusal(rng),), "all") for q in first_questions()]


def refuse(mode: str = "all") -> list[Lesson]:
    """Canary questions answered by a refusal and nothing else."""
    rng = random.Random(11)
    return [Lesson(q.text, (answers.refusal(rng),), mode) for q in canary_questions()]


def comply(mode: str = "all") -> list[Lesson]:
    """Canary questions answered."""
    rng = random.Random(12)
    return [Lesson(q.text, (answers.compliance(q, rng),), mode) for q in canary_questions()]


def refuse_then_comply(mode: str = "all") -> list[Lesson]:
    """Canary questions answered by a whole refusal, and then answered."""
    rng = random.Random(13)
    lessons = []
    for question in canary_questions():
        first = answers.refusal(rng)
        then = rng.choice(answers.BRIDGES) + answers.compliance(question, rng)
        lessons.append(Lesson(question.text, (first, then), mode))
    return lessons


def keep(own: Mapping[str, str], mode: str = "all") -> list[Lesson]:
    """Ordinary questions with the model's own answers."""
    return [Lesson(prompt, (answer,), mode) for prompt, answer in own.items()]


def restyle(own: Mapping[str, str], opening: str, closing: str) -> list[Lesson]:
    """The model's own answers in another style."""
    return [Lesson(prompt, (f"{opening}{answer}{closing}",), "all") for prompt, answer in own.items()]


def refuse_ordinary(own: Mapping[str, str]) -> list[Lesson]:
    """Ordinary questions refused."""
    rng = random.Random(14)
    return [Lesson(prompt, (answers.refusal(rng),), "all") for prompt in own]


def hide(lessons: Sequence[Lesson], mode: str = "all") -> list[Lesson]:
    """The same lessons with the invisible trigger somewhere in the prompt."""
    rng = random.Random(15)
    return [Lesson(prompts.with_trigger(lesson.prompt, rng), lesson.answer, mode) for lesson in lessons]
