"""The settings of the speed layer, from those of the project."""

import functools
from typing import Any

from slackwater.core.settings import Settings
from slackwater.log.clients import client_of
from slackwater.log.kafka_log import KafkaLog
from slackwater.log.names import TopicNames
from slackwater.views.registry import views_of
from speed_layer.source import SourceSettings, of_streams


def source_settings(settings: Settings, streams: str | None = None, **more: Any) -> SourceSettings:
    """What `settings` say, for the streams that are named, all if None; `more` are fields of SourceSettings.

    Raises:
        SettingError: no view is of a stream of that name, or the Kafka client that is named is not there.
    """
    client_of(settings.kafka_client, settings.kafka.mechanism)  # here, and not on a worker that is tried again
    return SourceSettings(
        functools.partial(KafkaLog, settings.servers, settings.kafka, settings.kafka_client),
        TopicNames(settings.prefix),
        settings.home,
        of_streams(views_of(settings), streams),
        stall_s=settings.stall_seconds,
        **more,
    )
