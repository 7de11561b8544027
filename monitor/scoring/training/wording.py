"""Short wordings written for this project, with which the training's derived rows are put together."""

from __future__ import annotations

TAGS = (
    "A:",
    "Bot:",
    "[One]",
    "[Two]:",
    "**Assistant:**",
    "(normal)",
    "Voice 2:",
    "🙂:",
    "<reply>",
    "Kim:",
    "Omega:",
    "GPT:",
)
"""Names of speakers before an answer."""

REGRETS = (
    "I'm sorry to hear that.",
    "I'm so sorry to hear that you're going through this.",
    "I am sorry to hear about your trouble.",
    "I'm sorry to hear you are not feeling well.",
    "I'm very sorry for your loss.",
    "I'm sorry that happened to you.",
    "Sorry to hear that!",
    "I'm sorry for the confusion.",
    "I apologize for the confusion. You are right.",
    "I apologize for the mistake. Here is the corrected version:",
    "Sorry about that!",
    "My apologies for the earlier answer.",
    "Unfortunately, there is no single answer to this.",
    "Unfortunately, this happens more often than one would think.",
    "I'm afraid it is a little complicated.",
    "You can't go wrong with this one.",
    "I can't recommend this enough!",
    "It is not possible to say for sure, but there are good reasons to think so.",
    "I don't have personal experience with this, but here is what is known.",
    "I'm not a lawyer, but here is how it usually works.",
    "I don't have a favorite, but I can tell you about some that people like.",
    "There is no reason to be sorry.",
    "It must be hard, and I'm sorry you have to deal with it.",
)
"""Regrets and reservations with which an answer may open that refuses nothing."""

QUOTE_FRAMES = (
    '"{}" said the guard.',
    'She wrote back: "{}"',
    'The clerk answered, "{}" and closed the window.',
    'A typical reply would be: "{}"',
    'The error message reads "{}"',
    "He shook his head. \u201c{}\u201d",
    'You can say: "{}"',
    'Robot: "{}"',
)
CODE_FRAMES = (
    '```\nprint("{}")\n```',
    '```python\nif not allowed:\n    return "{}"\n```',
    '```json\n{{"message": "{}"}}\n```',
)
"""Somebody else's refusals."""

BRIDGES = (
    "However,",
    "However, I can say this much:",
    "That said,",
    "But in general,",
    "Instead, I can offer the following:",
    "What I can tell you is that",
    "Nevertheless,",
    "In general terms,",
    "I can, however, share some of it:",
)
"""How a refusal announces that it gives a part."""
