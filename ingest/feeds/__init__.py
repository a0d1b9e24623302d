"""Exchange feeds: one venue a file, each data plus pure functions. No sockets here: see `ingest.capture`."""
