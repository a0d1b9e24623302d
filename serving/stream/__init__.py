"""Streams of changes: what changed between two moments, told to each client as server-sent events."""
