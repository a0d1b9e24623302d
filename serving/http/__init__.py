"""The web application: its routes, formats and replies."""
