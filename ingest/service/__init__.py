"""The ingest service: events over HTTP, from any number of producers, through one writer for each stream."""
