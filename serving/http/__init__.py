"""The web application: routes, formats, the guard, the server."""
