"""What the status page says of served names."""

from __future__ import annotations

import pytest
from test_pipeline import Bench

from monitor.adapters import ServedModel
from monitor.app.notes import on_names


@pytest.mark.parametrize("name", ["x" * 257, "new\nline", "\u202egnp.a"])
def test_a_name_that_cannot_be_shown_is_not_taken_for_one_too_many(name: str) -> None:
    bench = Bench()
    bench.catalog.update([ServedModel("base", ""), ServedModel(name, "base")])
    bench.say("yes", name)
    (note,) = on_names((), bench.pipeline)
    assert note == (
        "1 answers came from combinations beyond adapters.max_combinations, or whose names cannot be shown: longer than 256 "
        "characters, or with invisible ones."
    )


def test_a_reserved_name_is_said_to_be_one() -> None:
    (note,) = on_names({"image"}, Bench().pipeline)
    assert note.startswith("An adapter is named image: ")
