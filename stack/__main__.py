"""The program: `slackwater`, or `python -m stack`."""

from slackwater.light import without_pandas

without_pandas()

from stack.cli import run  # noqa: E402 - its imports make Arrow arrays

if __name__ == "__main__":
    run()
