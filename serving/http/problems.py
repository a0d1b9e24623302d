"""The problems of versions, cursors, instruments and reads, each with its words.

Not here: the exception, and what it looks like as JSON (`slackwater.http.problems`).
"""

from slackwater.http.problems import ProblemError


def gone(detail: str) -> ProblemError:
    """410: what a cursor reads from is no longer there."""
    return ProblemError(410, "cursor-gone", f"{detail} Ask again without the cursor.")


def retired(version: int) -> ProblemError:
    """410: a version was retired."""
    return ProblemError(410, "version-retired", f"Version {version} was retired. See /v1/versions.")


def unknown_version(text: str) -> ProblemError:
    """404: there is no such version."""
    return ProblemError(404, "unknown-version", f"There is no version {text[:40]!r}. See /v1/versions.")


def unknown_instrument(names: list[str]) -> ProblemError:
    """404: no event of these was ever applied."""
    return ProblemError(404, "unknown-instrument", f"No event of {', '.join(names)} is known. See /v1/instruments.")


def not_serving(detail: str) -> ProblemError:
    """503: there is nothing that could be answered from."""
    return ProblemError(503, "not-serving", f"{detail} See /health/ready.", retry_after_s=1)


def unreadable(version: int) -> ProblemError:
    """503: files of a version cannot be read."""
    return ProblemError(503, "files-unreadable", f"Files of version {version} cannot be read.", retry_after_s=1)


def out_of_memory() -> ProblemError:
    """503: a read takes more memory than the reads of one version may take together."""
    detail = "This takes more memory than reads may. Ask for a shorter range."
    return ProblemError(503, "memory", detail, retry_after_s=1)


def refuse_gone(cursor: object | None, error: ProblemError) -> None:
    """Files that cannot be read are gone, where a cursor stands on them. Raises ProblemError, 410."""
    if cursor is not None and error.kind == "files-unreadable":
        raise gone("The files that this cursor stands on were removed.") from error
