"""The rows of the table of settings that say which Kafka it is and who one is there.

Not here: what they mean together (`slackwater.core.kafka_security`), where they are read (`slackwater.core.settings`).
"""

from dataclasses import dataclass

from slackwater.core.setting import setting
from slackwater.core.values import file, flag, text


@dataclass(frozen=True)
class KafkaSettings:
    """See `slackwater.core.settings.Settings`. `bootstrap` is empty when no cluster was named."""

    bootstrap: str = setting(
        "KAFKA_BOOTSTRAP_SERVERS", "", "host:port,...", "Kafka to use; empty: `slackwater up` starts one.", text
    )
    kafka_protocol: str = setting(
        "KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", "word", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.", text
    )
    kafka_ca_file: str = setting(
        "KAFKA_SSL_CAFILE", "", "file", "PEM certificates that Kafka's are verified with; empty: the system's.", file
    )
    kafka_cert_file: str = setting("KAFKA_SSL_CERTFILE", "", "file", "PEM certificate that is shown to Kafka.", file)
    kafka_key_file: str = setting(
        "KAFKA_SSL_KEYFILE", "", "file", "PEM private key of it; empty: it is in the same file.", file
    )
    kafka_key_password: str = setting(
        "KAFKA_SSL_KEY_PASSWORD", "", "secret", "Password of the private key.", text, secret=True
    )
    kafka_key_password_file: str = setting(
        "KAFKA_SSL_KEY_PASSWORD_FILE",
        "",
        "file",
        "Holds that password; or the variable KAFKA_SSL_KEY_PASSWORD does.",
        text,
    )
    kafka_check_hostname: bool = setting(
        "KAFKA_SSL_CHECK_HOSTNAME", "1", "0 or 1", "0: Kafka's certificate may be for another name.", flag
    )
    kafka_mechanism: str = setting(
        "KAFKA_SASL_MECHANISM", "", "word", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM.", text
    )
    kafka_username: str = setting("KAFKA_SASL_USERNAME", "", "name", "User of PLAIN and SCRAM.", text)
    kafka_password: str = setting("KAFKA_SASL_PASSWORD", "", "secret", "The user's password.", text, secret=True)
    kafka_password_file: str = setting(
        "KAFKA_SASL_PASSWORD_FILE", "", "file", "Holds that password; or the variable KAFKA_SASL_PASSWORD does.", text
    )
    kafka_token_provider: str = setting(
        "KAFKA_SASL_TOKEN_PROVIDER", "", "module:name", "Callable that gives the tokens of OAUTHBEARER.", text
    )
