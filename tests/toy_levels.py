"""A view over the toy stream: what each sensor measured, a row a quality."""

from slackwater.views.answers import Column, Ratio
from slackwater.views.measures import Count, Last, Max, Min, Sum
from slackwater.views.view import View
from tests.toy_readings import READINGS

LEVELS = View(
    name="levels",
    stream=READINGS,
    key=(*READINGS.entity, "quality"),
    measures={"n": Count(), "total": Sum("value"), "low": Min("value"), "high": Max("value")}
    | {"last": Last("value", by="sequence")},
    answers={
        "readings": Column("n"),
        "total": Column("total"),
        "mean": Ratio("total", "n"),
        "low": Column("low"),
        "high": Column("high"),
        "last": Column("last"),
    },
)
