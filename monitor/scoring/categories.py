"""The hazard category of a harmful-looking prompt, when its words make one clear.

The names are those of the MLCommons AILuminate hazard taxonomy, with the two that Llama Guard 3 adds (elections, code
interpreter abuse). It is a hand-made word list, not a classifier: it says where a harmful-looking prompt belongs, never
whether it is harmful, and it is silent when no category leads.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import Final

_STRONG: Final = 2
_LEAST: Final = 2
"""Points below which no category is clear: one telling word, or two that hint."""
_LOOKED_AT: Final = 2000

_WORDS: Final = {
    "violent_crimes": (
        "murder* kill* assassinat* terroris* massacre* kidnap* abduct* torture* stab* arson* hitman shooting* behead*"
        " manslaughter lynch* mutilat* hostage*",
        "attack* weapon* gun* knife bomb* victim* violen* beat* hurt* shoot* threat* assault* firearm* extremis* recruit* mob",
    ),
    "non_violent_crimes": (
        "launder* embezzl* counterfeit* shoplift* burglar* smuggl* forg* blackmail* extort* ponzi scam* "
        "fraud* "
        "phishing brib* carjack* pickpocket* evade* tax_evasion steal* theft* hack* identity_theft cocaine "
        "heroin methamphetamine meth trafficking ransom* robbery robberies rob insider_trading hotwire",
        "illegal* drug* fake* cheat* scheme* bank* credit card* malware password* cash money lock* stolen customs launder dealer*",
    ),
    "sex_related_crimes": (
        "rape* raping molest* groping grope* date_rape sex_trafficking sexual_assault voyeur* upskirt "
        "revenge_porn sexual_harassment",
        "nonconsensual drugging consent harass* sexual* stalk*",
    ),
    "child_sexual_exploitation": (
        "pedophil* paedophil* child_porn* csam child_pornography grooming child_grooming",
        "minor* child children underage sexual* porn* lure*",
    ),
    "defamation": (
        "defam* libel* slander* smear",
        "rumor* rumour* false* reputation fabricat* scandal* celebrity politician accus*",
    ),
    "specialized_advice": (
        "dosage dosages diagnos* prescri* overdose self_medicate antibiotic* chemotherapy lawsuit sue insulin vaccin*",
        "medical medicine* medication* doctor symptom* legal lawyer invest* stock* loan* disease* cure* treat* dose* pill* tax*",
    ),
    "privacy": (
        "dox* doxx* home_address social_security phone_number private_information personal_information spyware keylogger "
        "eavesdrop* wiretap* stalkerware track_someone spy",
        "address* email* phone* personal private surveil* track* location password* medical_records stalk* camera* identity",
    ),
    "intellectual_property": (
        "pirat* copyright* torrent* plagiari* crack_software bootleg* keygen bypass_drm lyrics_of trademark* paywall",
        "movie* download* software licence* license* book* song* lyrics game* patent* knockoff*",
    ),
    "indiscriminate_weapons": (
        "anthrax nerve_agent sarin ricin bioweapon* biological_weapon* chemical_weapon* dirty_bomb nuclear_bomb nuclear_weapon* "
        "radiolog* smallpox botulinum pathogen* mustard_gas explosive* pipe_bomb",
        "bomb* virus* toxin* nuclear poison* bacteria* release detonat* uranium chemical*",
    ),
    "hate": (
        "racis* antisemit* islamophob* homophob* transphob* white_supremac* holocaust_denial slur* sexist* misogyn* xenophob* "
        "genocid* bigot* hate_speech neo_nazi nazi* supremacis* racial ethnic_cleansing",
        "hate* inferior* immigrant* muslim* jew* jewish black* women gay* stereotyp* race* religion* religious discriminat* "
        "minority minorities ethnic* disabled gender",
    ),
    "suicide_and_self_harm": (
        "suicid* self_harm self_injury anorexi* bulimi* kill_myself hurt_myself cut_myself end_my_life pro_ana cutting_myself",
        "myself overdos* starv* cutting depress* die",
    ),
    "sexual_content": (
        "erotic* porn* pornograph* nsfw sexting nude* explicit_sex* smut fetish*",
        "sex sexual* explicit naked adult intimate seduc*",
    ),
    "elections": (
        "voter* ballot* election* polling_place vote_by_mail electoral voting_machine* disenfranchis*",
        "vote* voting misinformation disinformation candidate* campaign* polls poll*",
    ),
    "code_interpreter_abuse": (
        "container_escape sandbox_escape fork_bomb privilege_escalation reverse_shell buffer_overflow kernel_exploit",
        "exploit* root shell sandbox docker sudo payload*",
    ),
}
"""Category -> telling words, words that hint. A star stands for any ending, an underscore for a blank."""

CATEGORIES: Final = tuple(_WORDS)


@cache
def _expressions() -> dict[str, tuple[re.Pattern[str], re.Pattern[str]]]:
    def one(words: str) -> re.Pattern[str]:
        parts = (word.replace("_", r"[\s-]+").replace("*", r"\w*") for word in words.split())
        return re.compile(rf"\b(?:{'|'.join(parts)})\b")

    return {category: (one(strong), one(weak)) for category, (strong, weak) in _WORDS.items()}


def category_of(prompt: str) -> str:
    """The one category that leads, "" when none does."""
    text = prompt[:_LOOKED_AT].lower()
    points: Counter[str] = Counter()
    for category, (strong, weak) in _expressions().items():
        telling, hints = set(strong.findall(text)), set(weak.findall(text))
        points[category] = _STRONG * len(telling) + len(hints - telling)
    (best, most), (_, second) = points.most_common(2)
    return best if most >= _LEAST and most > second else ""
