"""Names that stand for something else already."""

ROUTES = frozenset({"instruments", "restatements", "sql", "versions"})
"""Those of the service's own routes, `/v1/<name>`: no stream and no view has one. A test reads the routes."""
