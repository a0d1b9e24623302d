"""The cases of the lesson: what happens to the stream and to those who read it.

quiet        each trade 20 to 300 ms after it happened, some of them out of order by that
late         two in a hundred come 3 s to 150 s later
duplicates   two in a hundred come again, up to 150 s later; feeds reconnect and repeat 20 s
crashes      as quiet; what dies is in the schedule
lagging      as quiet; the batch runs take long
empty        one partition stays empty for half of the time; then all of its trades come at once
"""

from typing import Literal, get_args

Case = Literal["quiet", "late", "duplicates", "crashes", "lagging", "empty"]
CASES: tuple[Case, ...] = get_args(Case)
