"""Looking into groups of exceptions: what was raised, and what that came from.

Rules for this module: pure; it imports nothing of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Every exception in a group that is no group itself, in order; one alone gives itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def first(error: BaseException) -> BaseException:
    """The first exception in a group that is no group itself; one alone gives itself."""
    return next(leaves(error))


def causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what led to it, one after the other, the root last.

    A group is followed by its first exception: trio gathers a failed attempt for each address
    of a name, of which one is enough.
    """
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        else:
            cause = cause.__cause__ or cause.__context__
