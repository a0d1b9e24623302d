"""Feeds and capture, against a venue of this machine: `venue.py` is its socket and its REST interface."""
