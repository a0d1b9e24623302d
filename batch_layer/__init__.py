"""The batch layer: mark, archive, compute, prove, publish. One run makes one version."""

from slackwater.pipeline.beam_import import quiet_import

quiet_import()
