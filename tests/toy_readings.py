"""A second stream, as somebody outside the package would declare it: readings of the sensors of stations."""

from slackwater.streams.stream import Choice, Decimal, Identity, Sequence, Stream, Text, Time, Venue

READINGS = Stream(
    name="readings",
    columns=(
        Text("station", "[a-z0-9-]{1,16}"),
        Text("sensor", "[a-z0-9-]{1,16}"),
        Identity("reading_id"),
        Sequence("sequence"),
        Time("time"),
        Decimal("value", signed=True),
        Choice("quality", ("good", "poor")),
    ),
    entity=("station", "sensor"),
    identity="reading_id",
    time="time",
    order="sequence",
    venues={"north": Venue(sequence="time"), "south": Venue(sequence="time", unit="ms")},
)
