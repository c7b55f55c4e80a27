"""The one place that decides how terminal output looks."""

from __future__ import annotations

from functools import cache

from rich.console import Console


@cache  # one for the process, so that lines printed while a progress bar shows go above it
def console() -> Console:
    """Standard output; a pipe or file gets plain text wide enough for the tables."""
    probe = Console()
    return probe if probe.is_terminal else Console(width=130)
