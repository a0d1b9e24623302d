"""Cells and chains: what the speed layer publishes, and the reader of the delta topics."""
