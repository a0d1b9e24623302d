"""The writer: sources -> validate -> drop duplicates -> event log, dead letters, or (history) the master dataset.

Nothing else writes events. Not here: what a valid line is (`slackwater.streams.event`), the bytes of a dead letter
(`slackwater.log.dead_letter`), the publication of imported history (`batch_layer`), the command line (`ops`).
"""
