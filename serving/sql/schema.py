"""What `POST /v1/sql` takes and gives, and the bounds of a question."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from serving.http.models import Closed, Offsets, absent

MOST_SQL = 16_384
MOST_ROWS = 10_000
DEFAULT_ROWS = 1_000


def _says_something(sql: str) -> str:
    if not sql.strip() or "\0" in sql:
        raise ValueError(f"give one SELECT of at most {MOST_SQL} characters")
    return sql


class SqlQuery(Closed):
    """A question."""

    sql: Annotated[
        str,
        Field(min_length=1, max_length=MOST_SQL, description="One SELECT."),
        AfterValidator(_says_something),
    ]
    limit: int = Field(DEFAULT_ROWS, ge=1, le=MOST_ROWS, description="At most so many rows.")

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"sql": "SELECT symbol, start, close, vwap FROM bars_1h ORDER BY start DESC", "limit": 10}
        }
    )


class SqlColumn(Closed):
    """A column of a result."""

    name: str
    type: Annotated[str, Field(description="As DuckDB names it.")]


class SqlStream(Closed):
    """How far a result stands in one stream."""

    cut: Offsets
    applied: Offsets
    complete: bool
    layer: Literal["merged", "batch"]
    reason: str = absent("Why it is not complete; only where it is not.")
    refusal: str = absent("Why this is not what the pointer asks for.")


class SqlMeta(Closed):
    """What a result stands on."""

    version: Annotated[int, Field(ge=0)]
    definitions: dict[str, str]
    streams: dict[str, SqlStream]
    complete: Annotated[bool, Field(description="Whether every stream is.")]


_Value = Annotated[Any, WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]


class SqlResult(Closed):
    """A result."""

    columns: list[SqlColumn]
    rows: Annotated[list[list[_Value]], Field(max_length=MOST_ROWS)]
    truncated: Annotated[bool, Field(description="Whether there are more rows than the limit.")]
    meta: SqlMeta

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "columns": [{"name": "symbol", "type": "VARCHAR"}, {"name": "vwap", "type": "DECIMAL(38,8)"}],
                    "rows": [["BTCUSDT", "61234.50417"], ["ETHUSDT", "2411.9"]],
                    "truncated": False,
                    "meta": {
                        "version": 7,
                        "definitions": {"bars": "0f3a9c1d2b4e5f60"},
                        "streams": {
                            "trades": {
                                "cut": {"0": 900, "1": 910},
                                "applied": {"0": 1024, "1": 911},
                                "complete": True,
                                "layer": "merged",
                            }
                        },
                        "complete": True,
                    },
                }
            ]
        }
    )
