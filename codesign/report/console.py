"""The one place that decides how terminal output looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import TypeVar

from rich.console import Console
from rich.progress import track

ItemT = TypeVar("ItemT")


@cache  # one for the process, so that lines printed while a progress bar shows go above it
def console() -> Console:
    """Standard output; a pipe or file gets plain text wide enough for the tables."""
    probe = Console()
    return probe if probe.is_terminal else Console(width=130)


def tracked(text: str) -> Callable[[Iterator[ItemT], int], Iterator[ItemT]]:
    """Shows a bar while items pass, where there is a terminal to show it on."""

    def shown(items: Iterator[ItemT], count: int) -> Iterator[ItemT]:
        if not sys.stdout.isatty():
            return items
        return iter(track(items, text, total=count, console=console(), transient=True))

    return shown
