"""The program: `slackwater`, or `python -m ops`."""

from slackwater.core.no_pandas import without_pandas

without_pandas()

from ops.cli import run  # noqa: E402 - its imports make Arrow arrays

if __name__ == "__main__":
    run()
