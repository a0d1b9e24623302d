"""The codecs that Kafka's producers may compress with, and whether the package of each is there and works.

kafka-python finds out when it meets a batch, in the middle of a partition; here every process asks when it begins.
"""

from typing import NamedTuple

from kafka import codec as client

from slackwater.log.errors import CodecMissingError

_SAMPLE = b"slackwater " * 20


class Codec(NamedTuple):
    """A codec of the log's format, and the package that kafka-python reads it with."""

    name: str
    package: str


CODECS = (
    Codec("gzip", "Python's own zlib"),
    Codec("snappy", "python-snappy"),
    Codec("lz4", "lz4"),
    Codec("zstd", "zstandard"),
)


def missing_codecs() -> dict[Codec, str]:
    """The codecs that this process cannot read, and why."""
    return {codec: wrong for codec in CODECS if (wrong := _wrong(codec))}


def check_codecs() -> None:
    """Refuse to begin where a codec cannot be read.

    Raises:
        CodecMissingError: names the first one and its package.
    """
    for codec, wrong in missing_codecs().items():
        raise CodecMissingError(codec.name, codec.package, wrong)


def _wrong(codec: Codec) -> str:
    if not getattr(client, f"has_{codec.name}")():
        return "it is not installed, or cannot be imported"
    try:
        packed = getattr(client, f"{codec.name}_encode")(_SAMPLE)
        same = bytes(getattr(client, f"{codec.name}_decode")(packed)) == _SAMPLE
    except Exception as error:  # noqa: BLE001 - whatever a broken package raises is told by name
        return f"it does not work: {error!r}"
    return "" if same else "it gives other bytes than it was given"
