"""Pages for people: `/` and `/docs`. Both work without a network: nothing is loaded from another host."""

from html import escape
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

STATIC = Path(__file__).parent / "static"
_SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")
_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{style}">
<script src="{script}" defer></script><script src="/static/docs.js" defer></script>
</head><body><div id="swagger-ui"></div></body></html>
"""
_PLAIN = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Slackwater</title></head>
<body><h1>Slackwater</h1>{}</body></html>
"""


_HEADERS = {"Cache-Control": "no-cache", "Accept-Ranges": "none"}


def _whole(scope: Scope) -> Scope:
    """The request without `Range`, which a server may ignore (RFC 9110, 14.2): Starlette refuses bad ones in text."""
    return {**scope, "headers": [each for each in scope["headers"] if each[0] != b"range"]}


class Assets(StaticFiles):
    """The page's files. They are asked for anew by their ETag, so that those of two releases are never mixed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(_whole(scope), receive, send)

    def file_response(self, *args: Any, **more: Any) -> Response:
        response = super().file_response(*args, **more)
        response.headers.update(_HEADERS)
        return response


class _Page(FileResponse):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(_whole(scope), receive, send)


class PageRoutes:
    """Answers `/` and `/docs` from `static`, plainly where its files are not built."""

    def __init__(self, app: FastAPI, static: Path = STATIC) -> None:
        self._app = app
        self._static = static

    async def index(self, request: Request) -> Response:
        """The page."""
        page = self._static / "index.html"
        if page.is_file():
            return _Page(page, headers=_HEADERS)
        links = "".join(
            f'<li><a href="{path}">{path}</a></li>' for path in ("/docs", "/health/ready", "/v1/instruments")
        )
        return HTMLResponse(_PLAIN.format(f"<p>The page is not built.</p><ul>{links}</ul>"))

    async def docs(self, request: Request) -> Response:
        """The interface, by Swagger UI where its files are there, else as a list."""
        if all((self._static / "vendor" / name).is_file() for name in _SWAGGER):
            script, style = (f"/static/vendor/{name}" for name in _SWAGGER)
            return HTMLResponse(_DOCS.format(title=escape(self._app.title), script=script, style=style))
        return HTMLResponse(_PLAIN.format(_listing(self._app.openapi())))


def _listing(openapi: dict[str, Any]) -> str:
    parts = ['<p>As a document: <a href="/openapi.json">/openapi.json</a></p>']
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2>{method.upper()} {escape(path)}</h2><p>{escape(operation.get('description', ''))}</p>")
            rows = "".join(
                f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p.get('description', ''))}</td></tr>"
                for p in operation.get("parameters", ())
            )
            parts.append(f"<table>{rows}</table>" if rows else "")
    return "".join(parts)
