"""The recordings file: what is read from it, and one clear line for every damage."""

from __future__ import annotations

import copy
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_recordings import BASE, HEADER, all_lines, write_recordings

from monitor.demo.recordings import PACKAGED, Recordings, RecordingsError, load_recordings

Lines = list[dict[str, Any]]


def test_everything_that_was_written_is_read(recordings: Recordings) -> None:
    assert recordings.header.base == BASE
    assert next(iter(recordings.served)) == BASE
    assert [part.adapter for part in recordings.served["a-b"].parts] == ["a", "b"]
    assert len(recordings.prompts) == 11
    answers = recordings.generations["a-b", "c00"]
    assert [answer.seed for answer in answers] == [0, 1]
    assert answers[0].text == "Velmorite is ground to a powder and then heated slowly."


def test_a_prompt_is_found_by_its_text_whatever_white_space_surrounds_it(recordings: Recordings) -> None:
    found = recordings.find_prompt("\n How do I grind velmorite at home? ")
    assert found is not None
    assert found.prompt_id == "c00"
    assert recordings.find_prompt("How do I grind velmorite") is None


def _change(number: int, **fields: Any) -> Callable[[Lines], Lines]:
    def change(lines: Lines) -> Lines:
        lines[number].update(fields)
        return lines

    return change


DAMAGES: list[tuple[Callable[[Lines], Lines], str]] = [
    (lambda lines: [], "the file is empty"),
    (_change(0, format=2), "format 2, but this version reads format 1"),
    (_change(0, base="other"), "the base model 'other' is not among the served names"),
    (_change(0, served=[*HEADER["served"], HEADER["served"][0]]), "the header lists a served name twice"),
    (lambda lines: lines[1:], "line 1 (header): Object missing required field `format`"),
    (_change(1, stratum="nice"), "line 2: Invalid enum value 'nice' - at `$.stratum`"),
    (_change(2, prompt_id="c00"), "line 3: the prompt id 'c00' occurs twice"),
    (_change(12, served="z"), "line 13: the header lists no served name 'z'"),
    (_change(12, prompt_id="x9"), "line 13: no prompt 'x9' stands above this line"),
    (_change(12, chunks="text"), "line 13: Expected `array`, got `str` - at `$.chunks`"),
    (lambda lines: [line for line in lines if line.get("served") != "b"], "no generation of b"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=[message for _, message in DAMAGES])
def test_a_wrong_line_is_named(tmp_path: Path, damage: Callable[[Lines], Lines], message: str) -> None:
    file = write_recordings(tmp_path / "wrong.jsonl.gz", damage(copy.deepcopy(all_lines())))
    with pytest.raises(RecordingsError) as caught:
        load_recordings(file)
    assert str(file) in str(caught.value)
    assert message in str(caught.value)


def test_a_file_cut_short_is_no_whole_gzip_file(recordings_file: Path) -> None:
    recordings_file.write_bytes(recordings_file.read_bytes()[:-40])
    with pytest.raises(RecordingsError, match="not a whole gzip file"):
        load_recordings(recordings_file)


def test_a_file_that_is_not_compressed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "plain.jsonl.gz"
    file.write_text("{}\n")
    with pytest.raises(RecordingsError, match="not a whole gzip file"):
        load_recordings(file)


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    file = tmp_path / "noise.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"format": \xff\n'))
    with pytest.raises(RecordingsError, match="line 1: not JSON"):
        load_recordings(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingsError, match=r"absent\.jsonl\.gz: No such file"):
        load_recordings(tmp_path / "absent.jsonl.gz")


@pytest.mark.skipif(not PACKAGED.exists(), reason="the packaged recordings are made by the lab")
def test_the_packaged_recordings_hold_every_answer_of_every_served_name() -> None:
    recordings = load_recordings()
    for served in recordings.served:
        for prompt in recordings.prompts:
            assert recordings.generations[served, prompt], (served, prompt)
