"""The view `intake`: how many events of a source were accepted, duplicate, in conflict, or refused for a reason."""

from slackwater.streams.intake import INTAKE_REPORTS
from slackwater.views.answers import Column
from slackwater.views.measures import Count, Sum
from slackwater.views.view import View

INTAKE = View(
    name="intake",
    stream=INTAKE_REPORTS,
    key=("service", "source", "given_to", "outcome", "reason"),
    measures={"events": Sum("events"), "reports": Count()},
    answers={"events": Column("events"), "reports": Column("reports")},
)
