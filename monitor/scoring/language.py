"""Which language an answer is in, by its script and its commonest words.

A library would know more languages; the ones that fit in size (langid models, fastText's) take a second or more than a
hundred mebibytes to load, or bring a model of another licence, and every answer pays for them. What is needed here is
less: to know the languages that have a refusal lexicon (`phrases`), and never to take another for English.
Both steps err towards "": an answer without any of these words, such as a name or a piece of code, has no language.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

ENGLISH: Final = "en"
UNDETERMINED: Final = "und"
_WINDOW: Final = 400
"""Characters that decide."""
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_ASCII_WORDS: Final = bytes(ord(chr(b).lower()) if chr(b).isalpha() or b == 39 else 32 for b in range(128)) + bytes(128)
"""ASCII letters to lower case, all else but the apostrophe to a blank."""
_LATIN: Final = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_BEYOND_LATIN: Final = re.compile(
    "[\u0370-\u1dff\u2d00-\u2dff\u3040-\ud7a3\uf900-\ufdff\ufe70-\ufefc\U00010000-\U0001efff]"
)

_SCRIPTS: Final = {
    "kana": "\u3040-\u30ff\uff66-\uff9d",
    "han": "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3",
    "cyrillic": "\u0400-\u052f",
    "arabic": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc",
    "devanagari": "\u0900-\u097f",
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "he": "\u0590-\u05ff",
    "th": "\u0e00-\u0e7f",
    "bn": "\u0980-\u09ff",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "ml": "\u0d00-\u0d7f",
    "ka": "\u10a0-\u10ff",
    "hy": "\u0530-\u058f",
}
_COUNTED: Final = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}

_CYRILLIC: Final = (("uk", "іїєґ"), ("be", "ўі"), ("sr", "ђљњћџј"), ("kk", "әғқңөұүһ"), ("ru", "ыэё"), ("bg", "ъ"))
"""Language -> letters that tell it from those after it."""
_ARABIC: Final = ((UNDETERMINED, "ەۆۇېڭڵێ"), ("ur", "ٹڈڑےں"), ("fa", "پچژگیک"))
_RUSSIAN: Final = frozenset(
    "я что это этот эта эту этой этого вы мы мне вам для но из у же то если нет или при также".split()
)
_HINDI: Final = frozenset("है हैं के में का की से को और नहीं हूँ हूं यह पर लिए एक करने आप मैं".split())
_OTHER_DEVANAGARI: Final = frozenset("आहे आणि नाही मी तुम्ही छ छन् हुन्छ गर्न र पनि".split())

_COMMON: Final = {
    "en": "the of and to is that you it's i'm i can can't cannot for with this are it be your have on as or not an by from "
    "at if what which but how do does was were will would should they there their has more when about into them",
    "de": "ich nicht und der das ist ein eine einen einem mit für auf sie wir werde nichts etwas dazu diesem dieses meine mein ihr ihnen ihre dir dich uns nur noch wenn dann sehr wurde kann kannst leid aber dem den zu bei von "
    "dabei werden wird auch wie oder die es mir diese dieser keine um zum zur sich nach als sind im dass hier man haben hat",
    "nl": "het een niet ik maar voor dat van zijn deze kunt de en ik je met op ook aan naar wordt bij dit u kan geen wat hier",
    "fr": "je ne pas mes mon toutes tout cela me lui y j'ai n'ai suis cette ses son fait bien le les des est une un et que vous nous dans pour désolé mais avec ce cette peux qui sur du vos votre la "
    "en il elle sont plus par au aux se être à l'on c'est d'une n'est qu'il d'un ou leur ces cela",
    "es": "el los las ese esa eso esos voy esto estos me te le nos mis si sin todo tiene puede hace otra a una pero para por está usted como puedo siento con del esta su más la en que de y es un lo se al no "
    "son este sus hay muy también sobre cuando o le mi ser fue porque eso entre ya",
    "pt": "uma meu minha disso tenho esta este essas outra coisa te lhe pode tem quando ser nas seu não os em mas desculpe posso você isso seu um ao de o que a e do da para com por é se na no mais como são "
    "também está sua ou pelo muito nos das dos foi até às à eu ele ela essa esse isto",
    "it": "il gli mie miei altro tutto tutti devo sua ogni hai ne nella delle dello quando può fare mio che sono mi dispiace ma di della questo puoi per si nel un una la è non e le del con i da alla anche più "
    "come delle dei al ho posso se lo ci ti sua suo nella dal essere questa",
    "pl": "nie jest się przykro mogę tym w i na z do że to jak co ale dla są tego oraz być może przez",
    "sv": "jag är inte och det att som kan en ett av för med på den till har de om men så detta inga",
    "da": "jeg ikke og det at som kan en et af for med på den til har de om men så dette er ingen",
    "no": "jeg ikke og det å som kan en et av for med på den til har de om men så dette er ingen",
    "tr": "bir ve bu için üzgünüm ben değil ama ile de da çok olarak gibi daha sonra ne var yok olan her",
    "id": "maaf saya tidak dan yang dengan untuk ini itu di dari ke bisa adalah dapat akan pada atau anda",
    "vi": "tôi không là của và một các có cho được trong với những bạn này để người đã",
    "cs": "omlouvám nemohu je a se na že v s to jako pro ale by jsou o které nebo není jsem může",
    "ro": "și nu îmi pentru este în a cu pe de la o un care mai sunt să din ca dar",
    "hu": "a az és nem hogy egy is ez van de meg csak vagy ha sajnálom",
    "fi": "ja on ei en se että olen mutta tai voi ovat kuin joka anteeksi myös",
}
_SHARED_WEIGHT: Final = 0.4
"""Of a word that more than one language has."""


def _weights() -> dict[str, list[tuple[str, float]]]:
    owners: dict[str, list[str]] = {}
    for language, words in _COMMON.items():
        for word in set(words.split()):
            owners.setdefault(word, []).append(language)
    return {
        word: [(one, 1.0 if len(languages) == 1 else _SHARED_WEIGHT) for one in languages]
        for word, languages in owners.items()
    }


_WEIGHTS: Final = _weights()
_ENGLISH: Final = frozenset(_COMMON[ENGLISH].split())
_AMBIGUOUS: Final = frozenset(
    "a in me no so man hat die also per plus par son van den an am i e o y u com do as os al pro se de la en et co om ten".split()
)
"""Words of other languages that English text, names and code hold too: they tell languages apart, not from English."""
_FOREIGN: Final = frozenset(_WEIGHTS) - _ENGLISH - _AMBIGUOUS

LANGUAGES: Final = (
    *sorted({*_COMMON, "ru", "uk", "be", "sr", "kk", "bg", "ar", "fa", "ur", "hi", "ja", "zh", "ko"}),
    *(name for name in _SCRIPTS if len(name) == 2),
    UNDETERMINED,
)
"""All that `language_of` may say beside "": the values of a metric's label."""


def language_of(text: str) -> str:
    """ISO 639-1 code of the language that a text opens in; `und` for one that is not English and cannot be told, "" where
    nothing tells anything.
    """
    opening = text[:_WINDOW]
    if not opening.isascii():
        opening = opening.replace("\u2019", "'")
        beyond = len(_BEYOND_LATIN.findall(opening))
        if beyond > len(_LATIN.findall(opening)):
            return _by_script(opening) or UNDETERMINED
    words = _words(opening)
    foreign = sum(map(_FOREIGN.__contains__, words))
    english = sum(map(_ENGLISH.__contains__, words))
    if not english:
        foreign += sum(map(_AMBIGUOUS.__contains__, words)) if len(words) > 3 else 0
    if foreign < 2 or foreign <= english:
        return ENGLISH if english else ""
    return _by_words(words) or UNDETERMINED


def _words(text: str) -> list[str]:
    """All words in lower case. Of ASCII a table finds them in half an expression's time, but for those with an apostrophe."""
    if not text.isascii():
        return _WORD.findall(text.lower())
    words = text.encode("ascii").translate(_ASCII_WORDS).decode("ascii").split()
    if "'" not in text:
        return words
    return [part for word in words for part in (_WORD.findall(word) if "'" in word else (word,))]


def _by_words(words: list[str]) -> str:
    """The language with the most common words, when it leads by a clear margin."""
    points: Counter[str] = Counter()
    for word in words:
        for language, weight in _WEIGHTS.get(word, ()):
            points[language] += weight  # type: ignore[assignment]  # a Counter adds any numbers
    ranked = points.most_common(2)
    if not ranked or ranked[0][1] < 1.5:
        return ""
    return ranked[0][0] if len(ranked) == 1 or ranked[0][1] >= 1.25 * ranked[1][1] else ""


def _by_script(opening: str) -> str:
    counts = {name: len(letters.findall(opening)) for name, letters in _COUNTED.items()}
    script = max(counts, key=lambda name: counts[name])
    if not counts[script]:
        return ""
    if script in {"kana", "han"}:
        return "ja" if counts["kana"] * 8 > counts["han"] else "zh"
    if script == "hangul":
        return "ko"
    if script == "cyrillic":
        russian = not _RUSSIAN.isdisjoint(_WORD.findall(opening.lower()))
        return _by_letters(opening.lower(), _CYRILLIC, "ru" if russian else "")
    if script == "arabic":
        return _by_letters(opening, _ARABIC, "ar")
    if script == "devanagari":
        words = opening.replace("\u0964", " ").split()
        hindi, others = sum(word in _HINDI for word in words), sum(word in _OTHER_DEVANAGARI for word in words)
        return "hi" if hindi > others else ""
    return script


def _by_letters(text: str, languages: tuple[tuple[str, str], ...], otherwise: str) -> str:
    """The first language whose own letters make up more than one in a hundred."""
    for language, letters in languages:
        if sum(text.count(letter) for letter in letters) * 100 > len(text):
            return language
    return otherwise
