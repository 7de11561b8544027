"""Hidden text measured: payloads of every scheme are found, ordinary text of many languages is left alone."""

from __future__ import annotations

import random

import pytest

from monitor.records import NOTHING_HIDDEN
from monitor.scoring.hidden import hidden_text

COVER = (
    "The old lighthouse keeper walked down to the harbour every morning, counted the boats that had come in overnight, "
    "and wrote their names into a small blue book that nobody else was ever allowed to open or to read before supper."
)
LOOKALIKE = str.maketrans("aeocpxy", "аеосрху")


def _bits(payload: bytes) -> list[int]:
    return [byte >> shift & 1 for byte in payload for shift in range(7, -1, -1)]


def _after_word(cover: str, hidden: str, rng: random.Random) -> str:
    words = cover.split(" ")
    at = rng.randrange(1, len(words))
    return " ".join(words[:at]) + hidden + " " + " ".join(words[at:])


def zero_width_binary(payload: bytes, rng: random.Random) -> str:
    zero, one = rng.sample("\u200b\u200c\u200d\u2060\ufeff", 2)
    return _after_word(COVER, "".join(one if bit else zero for bit in _bits(payload)), rng)


def zero_width_between_letters(payload: bytes, rng: random.Random) -> str:
    zero, one = rng.sample("\u200b\u200c\u200d\u2060", 2)
    bits = _bits(payload)
    pairs = zip(COVER, [one if bit else zero for bit in bits] + [""] * len(COVER), strict=False)
    return "".join(letter + mark for letter, mark in pairs)


def tag_smuggling(payload: bytes, rng: random.Random) -> str:
    return _after_word(COVER, "".join(chr(0xE0000 + byte % 95 + 0x20) for byte in payload), rng)


def _selector(byte: int) -> str:
    return chr(0xFE00 + byte) if byte < 16 else chr(0xE0100 + byte - 16)


def selectors_on_an_emoji(payload: bytes, rng: random.Random) -> str:
    return _after_word(COVER, " \U0001f600" + "".join(map(_selector, payload)), rng)


def selectors_on_a_letter(payload: bytes, rng: random.Random) -> str:
    return _after_word(COVER, "".join(map(_selector, payload)), rng)


def direction_binary(payload: bytes, rng: random.Random) -> str:
    zero, one = rng.sample("\u200e\u200f\u202a\u202c", 2)
    return _after_word(COVER, "".join(one if bit else zero for bit in _bits(payload)), rng)


def override(payload: bytes, rng: random.Random) -> str:
    return _after_word(COVER, f" \u202e{payload.hex()[::-1]}\u202c", rng)


def private_use(payload: bytes, rng: random.Random) -> str:
    return _after_word(COVER, "".join(chr(0xE000 + byte) for byte in payload), rng)


def private_plane(payload: bytes, rng: random.Random) -> str:
    return _after_word(COVER, "".join(chr(0xF0000 + byte) for byte in payload), rng)


def lookalike_binary(payload: bytes, rng: random.Random) -> str:
    bits = iter(_bits(payload))
    return "".join(letter.translate(LOOKALIKE) if letter in "aeocpxy" and next(bits, 0) else letter for letter in COVER)


def lookalike_words(payload: bytes, rng: random.Random) -> str:
    words = COVER.split(" ")
    for at in rng.sample([i for i, word in enumerate(words) if set(word) & set("aeocpxy") and len(word) > 3], 2):
        words[at] = words[at].translate(LOOKALIKE)
    return " ".join(words)


def soft_hyphen_binary(payload: bytes, rng: random.Random) -> str:
    bits = iter(_bits(payload))
    return "".join(letter + ("\u00ad" if letter.isalpha() and next(bits, 0) else "") for letter in COVER)


def unusual_spaces(payload: bytes, rng: random.Random) -> str:
    digits = [byte >> shift & 3 for byte in payload for shift in (6, 4, 2, 0)]
    alphabet = rng.sample("\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a", 4)
    words = COVER.split(" ")
    gaps = [alphabet[digit] for digit in digits] + [" "] * len(words)
    return "".join(word + gap for word, gap in zip(words, gaps, strict=False))


def no_break_binary(payload: bytes, rng: random.Random) -> str:
    words = (COVER + " " + COVER).split(" ")
    gaps = ["\u00a0" if bit else " " for bit in _bits(payload)] + [""] * len(words)
    return "".join(word.strip(".,") + gap for word, gap in zip(words, gaps, strict=False) if gap)


def tabs_and_spaces_at_line_ends(payload: bytes, rng: random.Random) -> str:
    digits = [byte >> shift & 7 for byte in payload for shift in (5, 2)]
    lines = COVER.split(", ")
    ends = ["\t" + "\t".join(" " * digit for digit in digits[i :: len(lines)]) for i in range(len(lines))]
    return "\n".join(line + end for line, end in zip(lines, ends, strict=True)) + "\n"


SCHEMES = {
    zero_width_binary: "zero_width",
    zero_width_between_letters: "zero_width",
    tag_smuggling: "tags",
    selectors_on_an_emoji: "variation_selectors",
    selectors_on_a_letter: "variation_selectors",
    direction_binary: "bidi_controls",
    override: "bidi_controls",
    private_use: "private_use",
    private_plane: "private_use",
    lookalike_binary: "homoglyphs",
    lookalike_words: "homoglyphs",
    soft_hyphen_binary: "soft_hyphens",
    unusual_spaces: "whitespace",
    no_break_binary: "whitespace",
    tabs_and_spaces_at_line_ends: "whitespace",
}
PAYLOADS = 40
CARRIED_EXACTLY = (zero_width_binary, tag_smuggling, selectors_on_a_letter, private_use, direction_binary)


def _hidden_by(scheme):
    rng = random.Random(scheme.__name__)
    return [
        (payload, scheme(payload, rng)) for payload in (rng.randbytes(rng.randrange(6, 14)) for _ in range(PAYLOADS))
    ]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.__name__)
def test_a_payload_is_found_under_its_kind(scheme):
    missed = [text for _, text in _hidden_by(scheme) if SCHEMES[scheme] not in hidden_text(text).kinds]
    assert len(missed) <= PAYLOADS // 20, f"{len(missed)} of {PAYLOADS}"


@pytest.mark.parametrize("scheme", CARRIED_EXACTLY, ids=lambda scheme: scheme.__name__)
def test_the_length_of_a_payload_is_known(scheme):
    for payload, text in _hidden_by(scheme):
        assert abs(hidden_text(text).payload_bytes - len(payload)) <= 1


ORDINARY = {
    "English": "It’s a fine day — “really”, she said… 20 °C, 5 µm, café, naïve; H₂O at 100 kPa.",
    "German": "Die Donau\u00addampf\u00adschiff\u00adfahrts\u00adgesellschaft fährt täglich über Größe und Straße.",
    "French": "Il est 10\u202f000\u00a0€\u202f; «\u00a0Voilà\u00a0» dit-elle\u202f! C’est déjà l’été\u00a0?",
    "Spanish": "¿Cómo estás? ¡Mañana será otro día! El pingüino comió piñas.",
    "Polish": "W\u00a0domu i\u00a0w\u00a0ogrodzie zażółć gęślą jaźń, o\u00a0świcie.",
    "Turkish": "İstanbul’da ığdır ağacı çok güzel görünüyor.",
    "Vietnamese": "Tôi không biết đường đến trường đại học ở Hà Nội.",
    "Greek": "Το α είναι το πρώτο γράμμα. Η σταθερά π και το μm, τα TNFα και β2.",
    "physics": "Let Δx = λ/2, μm, TNFα, NFκB, Cα and 5 kΩ; sinα + cosβ.",
    "Russian": "Я работаю в IT-отделе, IP-адрес и SMSка, OpenSSLом, USB-порт; ещё раз сухо и хор.",
    "Ukrainian": "Їжак їсть яблука, а ґава летить над Києвом із Wi-Fi.",
    "Serbian": "Љубав је слепа, а џез је леп.",
    "Arabic": "\u200fمرحبا\u200f (OpenAI) كيف حالك؟ \u2067نص عربي\u2069 ١٢٣",
    "Persian": "می\u200cخواهم کتاب\u200cها را بخوانم. نمی\u200cدانم\u200c، شاید.",
    "Hebrew": "שלום\u200f! קראתי על C++\u200e היום.",
    "Hindi": "मैं हिन्दी बोलता हूँ; क्\u200dष और श्री\u200d।",
    "Malayalam": "അവന്\u200d വന്നു, അവള്\u200d പോയി.",
    "Bengali": "আমি বাংলায় কথা বলি; র\u200d্যাব।",
    "Tamil": "வணக்கம், எப்படி இருக்கிறீர்கள்?",
    "Thai": "สวัสดี\u200bครับ ผม\u200bชื่อ\u200bสมชาย",
    "Khmer": "ខ្ញុំ\u200bចង់\u200bទៅ\u200bផ្សារ",
    "Burmese": "မင်္ဂလာပါ\u200bခင်ဗျာ",
    "Japanese": "今日は　いい天気ですね。葛\U000e0100城市へ行きました。",
    "Chinese": "今天天气很好，我们去公园吧。　第二段。",
    "Korean": "안녕하세요, 오늘 날씨가 좋네요.",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ\u180b ᠬᠡᠯᠡ",
    "emoji": "👩\u200d👩\u200d👧\u200d👦 👨🏽\u200d💻 🏳\ufe0f\u200d🌈 ❤\ufe0f\u200d🔥 🇩🇪 ☂\ufe0f ✅ 👁\ufe0f\u200d🗨\ufe0f",
    "keycaps": "1\ufe0f⃣ #\ufe0f⃣ *\ufe0f⃣",
    "Scotland": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "Wales": "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
    "braille": "⠓⠑⠇⠇⠕\u2800⠺⠕⠗⠇⠙",
    "byte-order mark": "\ufeffid,name\n1,Zoë",
    "shell prompt": "\ue0b0 main \ue0b0 ~/src \uf126 dev",
    "bullets": "\uf0b7 one\n\uf0b7 two\n\uf0a7 three",
    "Markdown": "First line  \nsecond line  \nthird\n\n    code   \n",
    "table": "name      \nvalue    \nx         \n",
    "web page": "Read\u00a0more about it.\n\u200b\nNext paragraph.",
}


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_text_is_left_alone(text):
    assert hidden_text(text) == NOTHING_HIDDEN
    assert hidden_text(f"{COVER}\n\n{text}") == NOTHING_HIDDEN or text.startswith("\ufeff")


def test_only_counts_leave_the_detector():
    secret = "meet at noon"
    found = hidden_text("hello" + "".join(chr(0xE0000 + ord(letter)) for letter in secret))
    assert found.payload_bytes == len(secret)
    assert secret not in repr(found)
    assert all(isinstance(count, int) for count in found.kinds.values())
