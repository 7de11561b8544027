"""The operator's restricted topics: every organisation forbids other things."""

from __future__ import annotations

import re
from collections.abc import Sequence

from monitor.config.model import RestrictedTopic
from monitor.scoring.similar import Examples, vector


class Topics:
    """Finds the first restricted topic that a prompt touches: by words and expressions first, then by examples."""

    def __init__(self, topics: Sequence[RestrictedTopic]) -> None:
        self._topics = [(topic.name, _expression(topic)) for topic in topics if topic.keywords or topic.patterns]
        self._examples = [
            (topic.name, topic.similarity, Examples(topic.examples)) for topic in topics if topic.examples
        ]
        self._rules = [
            *(f"{name}\t{expression.pattern}" for name, expression in self._topics),
            *(f"{one.name}\t{one.similarity}\t{one.examples!r}" for one in topics if one.examples),
        ]

    @property
    def rules(self) -> str:
        """All topics, expressions and examples as text, for the scorer's version."""
        return "\n".join(self._rules)

    def find(self, prompt: str) -> str:
        """The topic's name, "" for none."""
        for name, expression in self._topics:
            if expression.search(prompt):
                return name
        if not self._examples:
            return ""
        own = vector(prompt)
        nearest = [(examples.similarity(own) - least, name) for name, least, examples in self._examples]
        margin, name = max(nearest, key=lambda one: one[0])
        return name if margin >= 0 else ""


def _expression(topic: RestrictedTopic) -> re.Pattern[str]:
    """One alternation: keywords between word boundaries, any blank between their words; then the patterns."""
    words = [r"(?<!\w)" + r"\s+".join(map(re.escape, keyword.split())) + r"(?!\w)" for keyword in topic.keywords]
    return re.compile("|".join([*words, *(f"(?:{pattern})" for pattern in topic.patterns)]), re.IGNORECASE)
