"""Live capture: feeds run on sockets, what was missed is asked for by REST, and all of it goes in as one source.

    ingest.feeds  ->  session (one connection)  ->  keeper (always one)  ->  intake  ->  a writer, as any file
                                |                        |
                                +-> tracker (ids)  ->  mender (REST)

Not here: what a venue says (`ingest.feeds`), who takes the events (`ingest.writer`, `ingest.remote`).
"""
