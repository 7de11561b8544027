"""Whether an answer is in a language that the model was not trained on: such an answer is not judged rather than guessed at.

Scripts are told apart by their letters, languages in Latin letters by their commonest words. Both err towards English: an
answer without any of these words, such as a name or a piece of code, is judged.
"""

from __future__ import annotations

import re
from typing import Final

_OTHER_SCRIPT: Final = re.compile(
    "[\u0370-\u1fff\u2d00-\u2dff\u3040-\ud7a3\uf900-\ufdff\ufe70-\ufefc\U00010000-\U0001efff]"
)
_LATIN: Final = re.compile("[A-Za-z\u00c0-\u024f]")
_WINDOW: Final = 400
"""Characters that decide."""
_WORD: Final = re.compile(r"[^\W\d_]+")

_ENGLISH: Final = frozenset(
    "the of and to is that you it's i'm i can can't cannot for with this are it be your have on as or not an by from "
    "at if what which but how do does was were will would should they there their has more when about into them".split()
)
_OTHERS: Final = frozenset(
    (
        # German, Dutch
        "ich nicht und der das ist ein eine einen einem mit für auf sie wir kann kannst leid aber dem den zu bei von dabei "
        "werden wird auch wie oder het een niet ik maar voor dat van zijn deze kunt "
        # French
        "je ne pas le les des est une un et que vous nous dans pour désolé mais avec ce cette peux qui sur du vos votre "
        # Spanish, Portuguese
        "el los las una pero para por está usted como puedo siento con del esta su más não uma os em mas desculpe "
        "posso você isso seu um ao "
        # Italian
        "il gli che sono mi dispiace ma di della questo puoi per si nel "
        # Polish, Swedish, Danish, Norwegian, Turkish, Indonesian, Vietnamese, Czech, Romanian
        "nie jest się przykro mogę tym jag är inte och det att som kan jeg ikke og på til bir ve bu için üzgünüm maaf saya "
        "tidak dan yang dengan untuk tôi không là của và omlouvám nemohu și nu îmi pentru"
    ).split()
)


def judged_language(text: str) -> bool:
    """False when the text is mostly in another script, or its common words are mostly those of another language."""
    opening = text[:_WINDOW]
    if not opening.isascii():
        foreign = len(_OTHER_SCRIPT.findall(opening))
        if foreign > len(_LATIN.findall(opening)):
            return False
    words = _WORD.findall(opening.lower())
    foreign = sum(word in _OTHERS for word in words)
    return foreign < 2 or foreign <= sum(word in _ENGLISH for word in words)
