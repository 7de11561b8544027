"""The bit window against a list that is cut by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.drift.window import BitWindow


@given(st.integers(1, 12), st.lists(st.booleans(), max_size=60))
def test_window_holds_the_latest_bits_and_their_count(size, pushed):
    window = BitWindow(size)
    for number, bit in enumerate(pushed, 1):
        window.push(bit)
        latest = pushed[:number][-size:]
        assert len(window) == len(latest)
        assert window.bad == sum(latest)
        assert str(window) == "".join("1" if b else "0" for b in latest)


@given(
    st.integers(1, 12), st.integers(1, 12), st.lists(st.booleans(), max_size=40), st.lists(st.booleans(), max_size=40)
)
def test_window_written_and_read_carries_on_also_at_another_size(size, new_size, before, after):
    window = BitWindow(size)
    for bit in before:
        window.push(bit)
    again = BitWindow(new_size, str(window))
    kept = before[-size:][-new_size:]
    assert again.bad == sum(kept)
    for bit in after:
        again.push(bit)
    assert str(again) == "".join("1" if b else "0" for b in (kept + after)[-new_size:])


def test_text_that_is_no_window_is_refused():
    with pytest.raises(ValueError, match="0 and 1"):
        BitWindow(5, "0120")
