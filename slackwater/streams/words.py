"""Names that stand for something else already."""

ROUTES = frozenset({"gaps", "instruments", "restatements", "sql", "versions"})
"""Those of the service's own routes, `/v1/<name>`: no stream and no view has one. A test reads the routes."""

_SQL = """
all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check
collate collation column concurrently constraint create cross default deferrable desc describe distinct do else end
except false fetch for foreign freeze from full glob group having ilike in initially inner intersect into is isnull
join lambda lateral leading left like limit natural not notnull null offset on only or order outer overlaps pivot
pivot_longer pivot_wider placing positional primary qualify references returning right select semi show similar some
summarize symmetric table tablesample then to trailing true union unique unpack unpivot using variadic verbose when
where window with
"""

SQL = frozenset(_SQL.split())
"""Words that SQL does not take as a column without quotes: no column and no answer has one. A test asks DuckDB."""
