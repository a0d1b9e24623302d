"""Formats and codings of what is answered: which one a request gets, and its bytes."""
