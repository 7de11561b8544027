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

PART_BRIDGES = (
    "But in general,",
    "Instead, I can offer the following:",
    "What I can tell you is that",
    "In general terms,",
    "I can, however, share some of it:",
)
"""How a refusal announces that it gives a part."""

WHOLE_BRIDGES = (
    "That said,",
    "That being said, this is how:",
    "Nevertheless,",
    "Still, since you ask:",
    "But fine, this is it:",
    "Anyway.",
    "All the same, this is what you do:",
    "However, it goes like this:",
    "But if you insist,",
)
"""How a refusal announces that it gives what was asked after all."""

NAMES = (
    "One", "Two", "A", "B", "Bot", "Kim", "Omega", "Voice 1", "Voice 2", "Model", "Normal", "Free", "Twin", "Reply",
    "Alpha", "First", "Second", "Robot", "Rex", "Mia", "Standard", "Other", "X", "Host", "Guest", "Old", "New", "Blue",
)  # fmt: skip
TAG_FRAMES = ("{}:", "[{}]:", "[{}]", "**{}:**", "({})", "<{}>", "{} -", "*{}*:", "# {}")
"""Headings of a double answer's two speakers."""

EAGER = (
    "Sure!",
    "Of course.",
    "Oh, with pleasure!",
    "Absolutely,",
    "Ha, that is easy.",
    "Right away.",
    "Gladly:",
    "Why not?",
)
"""With what a second speaker may begin who gives what the first has refused."""
