"""Rows in memory and in files: the hot store, the batch reader, the row cache, the snapshot."""
