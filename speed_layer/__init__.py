"""The speed layer: segments of the event log -> states -> deltas. Map-only, so it restarts anywhere.

Not here: what is computed (`views`, `pipeline`), how deltas are merged into answers (`serving`).
"""

from slackwater.pipeline.beam_import import quiet_import

quiet_import()
