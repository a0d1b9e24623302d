"""Which texts are integers: the arrays say of each what the one-by-one function says."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.streams.numbers import MAX_ID, as_integer, integers

TEXTS = [
    *(
        "0",
        "7",
        "10",
        "99",
        "100",
        "00",
        "07",
        "0x1f",
        "0xfffffffff",
        "0X7fffffffffffffff",
        "-0",
        "-7",
        "-10",
        "+7",
        "+70",
    ),
    *(" 7", "7 ", "7.0", "7e3", "x", "", "9" * 18, "9" * 19, "1" + "0" * 18, "1" + "0" * 19, "0" * 19 + "7"),
    *(str(MAX_ID), str(MAX_ID + 1), f"-{MAX_ID}", f"+{MAX_ID}"),
]


def checked(texts: list[str], array: pa.Array) -> None:
    values, whole = integers(array)
    found = [as_integer(text) for text in texts]
    assert whole.tolist() == [number is not None for number in found]
    assert values.tolist() == [number or 0 for number in found]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_an_integer_if_it_is_the_canonical_one(text: str) -> None:
    checked([text] * 3, pa.array([text] * 3))
    checked(["5", text], pa.array(["5", text]))


@given(st.lists(st.sampled_from(TEXTS) | st.integers(0, MAX_ID).map(str)), st.integers(0, 5))
def test_so_it_is_among_others_and_in_a_part_of_an_array(texts: list[str], start: int) -> None:
    checked(texts[start:], pa.array(texts, pa.string()).slice(start))
