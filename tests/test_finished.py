"""The finish of whole tables equals the finish of each state, at the limits of the types, too."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.decimals import decimal_text
from slackwater.views.answers import RATIO_TYPE, ratio_units
from slackwater.views.bars import BARS
from slackwater.views.errors import ViewError
from slackwater.views.finished import finish_table, finished_schema
from slackwater.views.measures import SUM_TYPE
from slackwater.views.merge import finisher
from slackwater.views.ratios import ratios
from slackwater.views.registry import VIEWS
from slackwater.views.rows import Row, decimal_array, decimal_integers, table_of
from slackwater.views.view import View
from tests.draws import finishable_rows
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
    over, under = (decimal_array([pair[i] for pair in found], SUM_TYPE).slice(skip) for i in (0, 1))
    expected = [ratio_units(a, b) for a, b in found[skip:]]
    quotients = ratios(over, under)
    assert quotients.type == RATIO_TYPE
    assert decimal_integers(quotients) == expected if expected else len(quotients) == 0


@pytest.mark.parametrize("under", [0, 1, 10**8 + 1, 10**7, 2**64 * 5])
@pytest.mark.parametrize("fitting", [0, 3])
def test_a_divisor_that_is_none_is_refused(under: int, fitting: int) -> None:
    good = [10**16] * fitting
    with pytest.raises(ViewError, match="no divisor"):
        ratios(decimal_array([*good, 10**16], SUM_TYPE), decimal_array([*good, under], SUM_TYPE))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@given(data=st.data())
@examples(25)
def test_a_finished_table_holds_the_answers_of_each_state(view: View, data: st.DataObject) -> None:
    rows = data.draw(finishable_rows(view))
    table = finish_table(view, table_of(view, rows))
    assert table.schema == finished_schema(view)
    assert table.column("start").to_pylist() == [row.start for row in rows]
    finish = finisher(view)
    for name in view.answers:
        column = table.column(name).combine_chunks()
        kind = table.schema.field(name).type
        if pa.types.is_decimal128(kind):
            values = [
                decimal_text(n, kind.scale) for chunk in table.column(name).chunks for n in decimal_integers(chunk)
            ]
        else:
            values = column.to_pylist()
        assert values == [finish(row.state)[name] for row in rows]


def test_chunks_are_finished_as_one_table() -> None:
    rows = [((f"x{i}", "BTC"), i, (1, 5, 6, 4, 2, 5, 10**16, (i + 3) * 10**16, 0, 1)) for i in range(3)]
    tables = [table_of(BARS, [Row(*row)]) for row in rows]
    found = finish_table(BARS, pa.concat_tables(tables))
    assert [str(n) for n in found.column("vwap").to_pylist()] == ["3.00000000", "4.00000000", "5.00000000"]
