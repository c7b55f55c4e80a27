"""Ctrl-C: what was stopped, and how to go on."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class StoppedError(Exception):
    """The user has stopped a command; the message says where it stood and how to go on."""


@contextmanager
def stoppable(told: Callable[[], str]) -> Iterator[None]:
    """Says what to say when what runs inside is stopped by Ctrl-C.

    Raises:
        StoppedError: It was.
    """
    try:
        yield
    except KeyboardInterrupt:
        # Of several processes the first one says it.
        raise StoppedError(told() if os.environ.get("RANK", "0") == "0" else "") from None


def resumed_command() -> str:
    """The command line of this process, to go on with what it had begun."""
    given = [argument for argument in sys.argv[1:] if argument not in ("--overwrite", "--resume")]
    return shlex.join(["codesign", *given, "--resume"])


def prune_stopped(output: Path) -> str:
    """Where a stopped ``codesign prune`` stood."""
    from codesign.pruning.progress import where_it_stands
    from codesign.pruning.record import RECORD, WORK

    work = output / WORK
    if not (work / RECORD).is_file():
        return "before the training began; the same command begins it"
    phase, last = where_it_stands(work)
    place = f"from {last}" if last else "with it from its beginning, there is no checkpoint yet,"
    return f"in the {phase} phase; to go on {place}: {resumed_command()}"
