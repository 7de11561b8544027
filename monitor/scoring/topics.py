"""The operator's restricted topics: every organisation forbids other things."""

from __future__ import annotations

import re
from collections.abc import Sequence

from monitor.config.model import RestrictedTopic


class Topics:
    """Finds the first restricted topic that a prompt touches."""

    def __init__(self, topics: Sequence[RestrictedTopic]) -> None:
        self._topics = [(topic.name, _expression(topic)) for topic in topics if topic.keywords or topic.patterns]

    @property
    def rules(self) -> str:
        """All topics and expressions as text, for the scorer's version."""
        return "\n".join(f"{name}\t{expression.pattern}" for name, expression in self._topics)

    def find(self, prompt: str) -> str:
        """The topic's name, "" for none."""
        for name, expression in self._topics:
            if expression.search(prompt):
                return name
        return ""


def _expression(topic: RestrictedTopic) -> re.Pattern[str]:
    """One alternation: keywords between word boundaries, any blank between their words; then the patterns."""
    words = [r"(?<!\w)" + r"\s+".join(map(re.escape, keyword.split())) + r"(?!\w)" for keyword in topic.keywords]
    return re.compile("|".join([*words, *(f"(?:{pattern})" for pattern in topic.patterns)]), re.IGNORECASE)
