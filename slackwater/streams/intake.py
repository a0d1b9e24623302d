"""The stream `intake_reports`: what the ingest service did with what it was given, by source and second.

A report is an event like any other: it has an identity and a time, goes through the log and the archive, and the view
`intake` (`slackwater.views.intake`) adds reports up in both layers. It is one more stream with pipelines of its own, so
it is there where the settings name it:

    SLACKWATER_STREAMS=slackwater.streams.intake:INTAKE_REPORTS SLACKWATER_VIEWS=slackwater.views.intake:INTAKE

Not here: who writes reports (`ingest.service.reports`).
"""

from slackwater.streams.stream import Choice, Identity, Integer, Sequence, Stream, Text, Time

SOURCE = "[A-Za-z0-9][A-Za-z0-9 ._:/@-]{0,119}"

INTAKE_REPORTS = Stream(
    name="intake_reports",
    columns=(
        Text("service", "[a-z0-9][a-z0-9_.-]{0,63}"),  # who reports: one writer each
        Text("source", SOURCE, without=("..", "//")),  # what dead letters call it
        Text("given_to", "[a-z][a-z0-9_]{0,63}"),  # the stream that the events are of
        Identity("report_id"),
        Sequence("sequence"),
        Time("time"),  # when it was done, to the second in which it was
        Choice("outcome", ("accepted", "duplicate", "conflict", "refused")),
        Text("reason", "[a-z0-9][a-z0-9_-]{0,63}"),  # of what was refused; the outcome of the rest
        Integer("events", 1, 2**31 - 1),
    ),
    entity=("service", "source", "given_to"),
    identity="report_id",
    time="time",
    order="sequence",
)
