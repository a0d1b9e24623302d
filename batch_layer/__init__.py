"""The batch layer: mark, archive, compute, prove, publish. One run makes one version.

Not here: what is computed (`views`, `pipeline`), what a version is (`versions`), who reads it (`serving`).
"""

from slackwater.pipeline.beam_import import quiet_import

quiet_import()
