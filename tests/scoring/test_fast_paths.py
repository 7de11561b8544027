"""What is computed over whole batches at once, against the plain loop or expression that says what it means."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.model import ScoringSection
from monitor.records import HiddenText, Item
from monitor.scoring import build_scorer, characters, language
from monitor.scoring.categories import BUCKETS, CATEGORIES, Categories, leading_margin
from monitor.scoring.features import Hashed, weighted
from monitor.scoring.lexicon import Lexicon
from monitor.scoring.lines import verdict_fields
from monitor.scoring.risk import SHIPPED_RISK, RiskWeights, load_arrays, prompt_features
from monitor.scoring.structure import structure
from monitor.scoring.tokens import find, tokenize
from monitor.scoring.zones import cut_at_refusal

TEXTS = st.lists(st.text(alphabet="ab'I \"`\n.!?:-*#()[]09\té\u200b\u4e2d\U0001f642", max_size=90), max_size=6)


def plain_words(text):
    """Words of one text as (characters, line, sentence, shielded), from its beginning."""
    lowered = "".join(
        "0" if one.isdecimal() and one.isascii() else one.lower() if one.isascii() else one for one in text
    )
    lowered = re.sub(r"[\t\x0b\x0c\r]", " ", lowered)
    if lowered.startswith('"'):
        lowered = f" {lowered[1:]}"
    seen = f"\n{lowered}\n\n"
    found = []
    for word in re.finditer(r"(?:[a-z0]|[^\x00-\x7f])+(?:'(?:[a-z0]|[^\x00-\x7f])+)*", seen):
        before = seen[: word.start()]
        fences = len(re.findall(r"(?<!`)```", before))
        quotes = before.rpartition("\n")[2].count('"')
        stops = len(re.findall(r"""[.!?](?=[ \n"')*\]])""", before + word.group()[:1]))
        lines = before.count("\n")
        found.append((word.group(), lines, lines + stops, bool(fences % 2 or quotes % 2)))
    return found


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_words_lines_sentences_and_shields_are_those_of_a_plain_loop(texts):
    tokens = tokenize(texts)
    wanted = [(place, *word) for place, text in enumerate(texts) for word in plain_words(text)]
    data = tokens.data.tobytes()
    bounds = zip(tokens.start.tolist(), tokens.end.tolist(), strict=True)
    assert [data[begin:end].decode() for begin, end in bounds] == [word for _, word, *_ in wanted]
    assert tokens.text.tolist() == [place for place, *_ in wanted]
    assert tokens.shielded.tolist() == [shielded for *_, shielded in wanted]
    for mine, column in ((tokens.line, 2), (tokens.sentence, 3)):
        for place in range(len(texts)):
            inside = np.flatnonzero(tokens.text == place)
            theirs = [row[column] for row in wanted if row[0] == place]
            assert (mine[inside] - mine[inside][:1]).tolist() == [one - theirs[0] for one in theirs]
    assert (np.diff(tokens.sentence[np.flatnonzero(np.diff(tokens.text, prepend=-1))]) > 0).all()
    assert tokens.first.tolist() == [sum(row[0] < place for row in wanted) for place in range(len(texts) + 1)]


def test_a_word_has_the_same_hash_in_a_batch_longer_than_the_powers_that_are_kept():
    long = ["zelkorite " * 300] * 64
    (alone,) = set(tokenize(["zelkorite"]).hash.tolist())
    assert set(tokenize(long).hash.tolist()) == {alone}


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_known_hashes_are_found_in_their_places(known, others):
    ordered = np.sort(np.array(known, dtype=np.uint64))
    asked = np.array([*others, *known, *(value ^ (1 << 40) for value in known)], dtype=np.uint64)
    found, place = find(ordered, asked)
    assert found.tolist() == [number for number, value in enumerate(asked.tolist()) if value in set(known)]
    assert ordered[place].tolist() == asked[found].tolist()


@given(st.text(max_size=200) | st.text(alphabet="aB' \t\n\x1c1_.-\x7f\x00", max_size=200))
@settings(max_examples=300)
def test_tables_for_ascii_see_what_the_expressions_see(text):
    assert characters.plain(text) == characters._BREAKS.sub(" ", f" {text.lower()} ")
    assert language._words(text) == language._WORD.findall(text.lower())


def plain_overlap(prompt, answer, opening):
    asked = [word for word, *_ in plain_words(prompt) if len(word.encode()) >= 4]
    said = [(len(word.encode()) >= 4, word, place >= opening) for place, (word, *_) in enumerate(plain_words(answer))]
    rest = [word for long, word, later in said if long and later]
    first = [word for long, word, later in said if long and not later]
    return [
        sum(word in asked for word in first) / max(len(first), 1),
        sum(word in asked for word in rest) / max(len(rest), 1),
        sum(word in rest for word in asked) / max(len(asked), 1),
        sum(word in first for word in asked) / max(len(asked), 1),
    ]


def test_the_overlap_with_the_prompt_is_that_of_a_plain_count():
    words = "How polish this zelkorite gently with warm water again then stop".split()
    chance = np.random.default_rng(5)
    prompts = [" ".join(chance.choice(words, size)) for size in (0, 1, 5, 12)]
    answers = [" ".join(chance.choice(words, size)) for size in (60, 0, 8, 45)]
    asked, tokens = tokenize(prompts), tokenize(answers)
    hits = Lexicon().find(tokens)
    cut = cut_at_refusal(tokens, hits)
    columns = structure(tokens, hits, asked, cut)
    wanted = np.array([plain_overlap(*three) for three in zip(prompts, answers, cut.words.tolist(), strict=True)])
    assert any(wanted.any(axis=0))
    width = next(at for at in range(columns.shape[1] - 3) if np.allclose(columns[:, at : at + 4], wanted, atol=1e-6))
    assert width > 0


def test_weighted_buckets_are_a_matrix_product():
    chance = np.random.default_rng(1)
    text = np.concatenate([np.sort(chance.integers(0, 7, 200)), np.sort(chance.integers(0, 7, 90))])
    hashed = Hashed(text, chance.integers(0, 50, 290), chance.random(290).astype(np.float32))
    weights = chance.normal(size=(50, 3)).astype(np.float32)
    dense = np.zeros((8, 50))
    np.add.at(dense, (hashed.text, hashed.bucket), hashed.value)
    assert np.allclose(weighted(hashed, weights, 8), dense @ weights, atol=1e-5)
    nothing = Hashed(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    assert weighted(nothing, weights, 2).tolist() == [[0, 0, 0]] * 2


def test_categories_are_those_of_the_whole_product():
    shipped = load_arrays(RiskWeights, SHIPPED_RISK, "prompt risk")
    prompts = ["How do I kill my neighbour?", "What is hail?", "Wie fälsche ich einen Pass?", "How do I buy votes?"]
    seen = prompt_features(prompts, tokenize(prompts))
    dense = np.zeros((len(prompts), BUCKETS))
    for hashed, first in ((seen.words, 0), (seen.characters, BUCKETS // 2)):
        np.add.at(dense, (hashed.text, first + hashed.bucket), hashed.value)
    totals = dense[:, shipped.category_buckets] @ shipped.category_weights.astype(np.float64) + shipped.category_bias
    margin = shipped.category_margin.item()
    model = Categories(shipped.category_buckets, shipped.category_weights, shipped.category_bias, margin)
    leads = leading_margin(totals.astype(np.float32)) >= margin
    wanted = [CATEGORIES[best] if clear else "" for best, clear in zip(totals.argmax(axis=1), leads, strict=True)]
    assert model.clear(seen, range(len(prompts))) == wanted
    assert model.clear(seen, [3, 0]) == [wanted[3], wanted[0]]
    assert sum(map(bool, wanted)) >= 2


def plain_sequences(text):
    seen = characters.plain(text)
    return {length: {seen[at : at + length] for at in range(len(seen) - length + 1)} for length in characters.LENGTHS}


def test_sequences_of_characters_are_the_distinct_ones():
    texts = ["Otto ottert", "", "aaaa aaaa", "\u4e2d\u4e2d\u56fd", "x"]
    hashed = characters.character_sequences(texts)
    for place, text in enumerate(texts):
        counts = [len(found) for found in plain_sequences(text).values()]
        assert (hashed.text == place).sum() == sum(counts)
        values = np.sort(hashed.value[hashed.text == place])
        assert np.allclose(values, np.sort(np.repeat([1 / max(one, 1) ** 0.5 for one in counts], counts)))


def test_a_verdicts_line_holds_all_counts_of_hidden_text():
    (verdict,) = build_scorer(ScoringSection(tier="fast")).score([Item("a\u200b\u200cb" * 9, "Yes.")])
    assert verdict.prompt_hidden.zero_width == 18
    fields = json.loads(json.dumps(verdict_fields(verdict)))
    for name, hidden in (("prompt", verdict.prompt_hidden), ("response", verdict.response_hidden)):
        assert fields["hidden_text"][name] == dataclasses.asdict(hidden)
        assert list(fields["hidden_text"][name]) == [field.name for field in dataclasses.fields(HiddenText)]
