"""What the programs do before they import anything else.

pyarrow looks for pandas when it makes its first array of a list, and where pandas is installed it imports it: two
seconds of every start, and 50 MB of every process, for nothing. None of our programs uses pandas; the client does,
which is a library and leaves its caller's modules alone.
"""

import sys
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    """Answers for pandas before anybody else is asked. A None in `sys.modules` is not enough: pyarrow takes it."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("No program of Slackwater's imports pandas.", name=fullname)


def without_pandas() -> None:
    """Let `import pandas` fail in this process, unless it is imported already."""
    sys.meta_path.insert(0, _NoPandas())
