"""Closed bars that changed, and why."""
