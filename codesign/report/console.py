"""The one place that decides how terminal output looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, track

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


LONG = 10.0
"""Seconds from which on it is told how long something took."""


def say(text: str) -> None:
    """A line as it is: names and paths in it are no markup."""
    console().print(text, highlight=False, soft_wrap=True, markup=False)


@contextmanager
def working(text: str) -> Iterator[None]:
    """While something goes on that has no count: a spinner with the time on a terminal, elsewhere a line."""
    began = time.monotonic()
    if sys.stdout.isatty():
        columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
        with Progress(*columns, console=console(), transient=True) as progress:
            progress.add_task(text, total=None)
            yield
    else:
        say(text)
        yield
    seconds = time.monotonic() - began
    if seconds >= LONG:
        say(f"{text}: {seconds:.0f} s")


def asking(model: object) -> AbstractContextManager[None]:
    """``working`` while a model is read from the hub, which may take long to answer; nothing where it is a folder."""
    text = str(model)
    local = model is None or Path(text).exists() or text.startswith((".", "/", "~"))
    return nullcontext() if local else working(f"asking the hub for {text}")


def say_left(paths: Iterable[Path]) -> None:
    """What a command has found among its own files, and left there."""
    for path in paths:
        console().print(
            f"left as it is, not written by codesign: {path}", markup=False, highlight=False, soft_wrap=True
        )
