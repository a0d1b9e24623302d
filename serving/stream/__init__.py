"""Streams of changes: what changed between two read points, for each client as server-sent events."""
