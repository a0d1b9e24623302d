"""The OpenAPI 3.1 document: what the framework generates of the routes, with the components that they refer to."""

from typing import Any

from fastapi import FastAPI

from serving.http.openapi import headers, problems

_TAGS = (
    ("data", "Rows of views, events and what was restated."),
    ("versions", "The published versions of the batch views, and the proofs of their hand-offs."),
    ("health", "Whether it lives, whether it keeps its promise, and its figures."),
)


def install(app: FastAPI) -> None:
    """Make `app.openapi` give the whole document."""
    generated = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete(generated())
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the components that the framework does not know."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = problems.PROBLEM
    components["responses"] = problems.responses()
    components["headers"] = headers.HEADERS
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS]
    document["servers"] = [{"url": "/"}]
    for methods in document["paths"].values():
        for facts in methods.values():
            _trim(facts)
    return document


def _trim(facts: dict[str, Any]) -> None:
    """Take away what the framework says twice: a reference is all that a problem needs."""
    for response in facts["responses"].values():
        if "$ref" in response:
            del response["description"]
    for parameter in facts.get("parameters", ()):
        parameter["schema"].pop("title", None)
        parameter["schema"].pop("description", None)
