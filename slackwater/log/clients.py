"""Which client reads and writes: confluent-kafka where it is installed, else kafka-python, or the one that is named.

Topics, their ids, and bounds outside a reader are asked by kafka-python's admin client in both cases. confluent-kafka
is the extra `fast`; it does not speak AWS_MSK_IAM, where `auto` takes kafka-python.
"""

import importlib.util

from slackwater.core.errors import SettingError

AUTO, KAFKA_PYTHON, CONFLUENT = "auto", "kafka-python", "confluent"

CLIENTS = (AUTO, KAFKA_PYTHON, CONFLUENT)


def client_of(named: str, mechanism: str) -> str:
    """The client in force, of the setting SLACKWATER_KAFKA_CLIENT and the SASL mechanism.

    Raises:
        SettingError: it is named and not installed, or does not speak the mechanism.
    """
    if named == KAFKA_PYTHON:
        return KAFKA_PYTHON
    there, speaks = importlib.util.find_spec("confluent_kafka") is not None, mechanism != "AWS_MSK_IAM"
    if named == AUTO:
        return CONFLUENT if there and speaks else KAFKA_PYTHON
    if not there:
        raise SettingError(
            "SLACKWATER_KAFKA_CLIENT is confluent and confluent-kafka is not installed.",
            "Install `slackwater[fast]`, or set kafka-python.",
        )
    if not speaks:
        raise SettingError(
            "SLACKWATER_KAFKA_CLIENT is confluent, which does not speak AWS_MSK_IAM.", "Set kafka-python."
        )
    return CONFLUENT
