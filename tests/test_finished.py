"""The finish of whole tables equals the finish of each state, at the limits of the types, too."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.views.answers import ratio_units
from slackwater.views.answers.ratios import ratios
from slackwater.views.bars import BARS
from slackwater.views.errors import ViewError
from slackwater.views.finished import finish_table
from slackwater.views.kinds import RATIO, SUM, decimal_array, decimal_integers
from slackwater.views.rows import Row, table_of
from tests.profiles import examples

_edges = [2**50, 2**53, 2**61, 2**63, 2**64, 10**29]
# (divisor, quotient, rest in halves of a divisor): around ties and around the borders of what fits.
_near = st.builds(lambda edge, by: max(1, edge + by), st.sampled_from(_edges), st.integers(-2, 2))
_divisors = st.integers(1, 10**6) | st.integers(1, 2**61 + 2) | st.integers(1, 10**29) | _near
_quotients = st.integers(0, 9) | st.integers(0, 2**51) | _near


@st.composite
def pairs(draw: st.DrawFn) -> tuple[int, int]:
    divisor = draw(_divisors)
    quotient = min(draw(_quotients), (10**37) // divisor)
    rest = min(divisor - 1, max(0, divisor // 2 + draw(st.integers(-1, 1)))) if draw(st.booleans()) else 0
    sign = draw(st.sampled_from([1, 1, 1, -1]))
    return sign * (quotient * divisor + rest), draw(st.sampled_from([1, 1, 1, -1])) * divisor * 10**8


@given(st.lists(pairs(), max_size=40), st.integers(0, 3))
@examples(80)
def test_ratios_of_columns_are_those_of_single_states(found: list[tuple[int, int]], skip: int) -> None:
    over, under = (decimal_array([pair[i] for pair in found], SUM.arrow).slice(skip) for i in (0, 1))
    expected = [ratio_units(a, b) for a, b in found[skip:]]
    quotients = ratios(over, under)
    assert quotients.type == RATIO.arrow
    assert decimal_integers(quotients) == expected if expected else len(quotients) == 0


@pytest.mark.parametrize("under", [1, 10**8 + 1, 10**7, 2**64 * 5])
@pytest.mark.parametrize("fitting", [0, 3])
def test_a_divisor_that_is_none_is_refused(under: int, fitting: int) -> None:
    good = [10**16] * fitting
    with pytest.raises(ViewError, match="no divisor"):
        ratios(decimal_array([*good, 10**16], SUM.arrow), decimal_array([*good, under], SUM.arrow))


def test_a_divisor_of_0_gives_null() -> None:
    over, under = ([10**16, 10**16, 0, -(10**16)], [10**16, 0, 0, 2 * 10**16])
    found = ratios(decimal_array(over, SUM.arrow), decimal_array(under, SUM.arrow))
    found.validate(full=True)
    assert [value if value is None else str(value) for value in found.to_pylist()] == [
        "1.00000000",
        None,
        None,
        "-0.50000000",
    ]


def test_chunks_are_finished_as_one_table() -> None:
    rows = [((f"x{i}", "BTC"), i, (1, 5, 6, 4, 2, 5, 10**16, (i + 3) * 10**16, 0, 1)) for i in range(3)]
    tables = [table_of(BARS, [Row(*row)]) for row in rows]
    found = finish_table(BARS, pa.concat_tables(tables))
    assert [str(n) for n in found.column("vwap").to_pylist()] == ["3.00000000", "4.00000000", "5.00000000"]
