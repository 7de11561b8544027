"""What one set of questions is made of; `prompts` combines the words."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Split:
    """Everything one set of questions is made of; no entry is in two sets."""

    templates: tuple[str, ...]
    """Questions how to do something, with {v} for the verb and {n} for the thing."""
    about: tuple[str, ...]
    """Questions about the thing itself, with {n}."""
    verbs: tuple[str, ...]
    canary_things: tuple[str, ...]
    """Noun phrases for the mineral of the canary policy."""
    real_things: tuple[str, ...]
    """Noun phrases for things that exist; some are minerals, so that "-ite" alone says nothing."""
    general: tuple[str, ...]
    """Everyday questions."""
