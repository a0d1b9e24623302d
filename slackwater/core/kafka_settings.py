"""The rows of the table of settings that say which Kafka it is and who one is there.

Not here: what they mean together (`slackwater.core.kafka_security`), where they are read (`slackwater.core.settings`).
"""

from dataclasses import dataclass

from slackwater.core.setting import setting
from slackwater.core.values import file, flag, text, word


@dataclass(frozen=True)
class KafkaSettings:
    """See `slackwater.core.settings.Settings`. `bootstrap` is empty when no cluster was named."""

    bootstrap: str = setting(
        "", "host:port,...", "Kafka to use; empty: `slackwater up` starts one.", text, name="KAFKA_BOOTSTRAP_SERVERS"
    )
    kafka_client: str = setting(
        "auto",
        "word",
        "auto (confluent where it is installed), kafka-python or confluent.",
        word("auto", "kafka-python", "confluent"),
        name="SLACKWATER_KAFKA_CLIENT",
    )
    kafka_security_protocol: str = setting("PLAINTEXT", "word", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.", text)
    kafka_ssl_cafile: str = setting(
        "", "file", "PEM certificates that Kafka's are verified with; empty: the system's.", file
    )
    kafka_ssl_certfile: str = setting("", "file", "PEM certificate that is shown to Kafka.", file)
    kafka_ssl_keyfile: str = setting("", "file", "PEM private key of it; empty: it is in the same file.", file)
    kafka_ssl_key_password: str = setting("", "secret", "Password of the private key.", text, secret=True)
    kafka_ssl_key_password_file: str = setting(
        "", "file", "Holds that password; or the variable KAFKA_SSL_KEY_PASSWORD does.", text
    )
    kafka_ssl_check_hostname: bool = setting("1", "0 or 1", "0: Kafka's certificate may be for another name.", flag)
    kafka_sasl_mechanism: str = setting(
        "", "word", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM.", text
    )
    kafka_sasl_username: str = setting("", "name", "User of PLAIN and SCRAM.", text)
    kafka_sasl_password: str = setting("", "secret", "The user's password.", text, secret=True)
    kafka_sasl_password_file: str = setting(
        "", "file", "Holds that password; or the variable KAFKA_SASL_PASSWORD does.", text
    )
    kafka_sasl_token_provider: str = setting("", "module:name", "Callable that gives the tokens of OAUTHBEARER.", text)
