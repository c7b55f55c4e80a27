"""Vitis's own figures beside the hardware model's, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from codesign.design.document import DesignDocument
from codesign.hardware.resources import Resources
from codesign.report.vitis import Latency, VitisReport

NOT_GIVEN = "not given"
"""Where Vitis has no number."""
_NAMES = {"lut": "LUT", "ff": "FF", "bram18": "BRAM18", "uram": "URAM", "dsp": "DSP"}


def given(count: int | None) -> str:
    """A number of Vitis's."""
    return NOT_GIVEN if count is None else f"{count:,}"


def vitis_text(
    document: DesignDocument, model: Resources, cycles: int, report: VitisReport
) -> Iterator[RenderableType]:
    """Resources, clock and cycles side by side, then the loops.

    Args:
        document: The design.
        model: Resources of its matrices' accelerator, of the hardware model.
        cycles: Of all matrices one after another, likewise.
        report: Of Vitis.
    """
    version = escape(report.version or "of unknown version")
    yield f"{document.model} on {document.board}: {report.top}, Vitis {version}"
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for title in ("model", "Vitis", "Vitis ÷ model"):
        table.add_column(title, justify="right")
    for field, name in _NAMES.items():
        ours, theirs = getattr(model, field), report.resources[field]
        known = theirs is not None and ours
        table.add_row(name, f"{ours:,}", given(theirs), f"{theirs / ours:.2f}" if known else "")
    period = 1000 / document.accelerator.clock_mhz
    estimated = report.estimated_ns
    table.add_row(
        "clock period, ns",
        f"{period:.3f}",
        NOT_GIVEN if estimated is None else f"{estimated:.3f}",
        "" if estimated is None else f"{estimated / period:.2f}",
    )
    found = [("cycles, all matrices (csynth)", report.latency)]
    if report.simulated is not None:
        found.append(("cycles, what was co-simulated", report.simulated))
    for title, latency in found:
        table.add_row(title, f"{cycles:,}", _span(latency), "")
    yield table
    yield (
        "[dim]model: this project's predictions for the matrices alone; Vitis: its reports' figures, before place and"
        " route[/]"
    )
    slow = [loop for loop in report.loops if loop.interval is not None and loop.interval > 1]
    unknown = sum(loop.interval is None for loop in report.loops)
    at_one = len(report.loops) - len(slow) - unknown
    yield f"{len(report.loops)} pipelined loops, {at_one} with an initiation interval of 1"
    for loop in slow:
        name = escape(f"{loop.module}, {loop.name}")
        yield f"[bold red]{name}[/]: an interval of {loop.interval}; the model counts on 1"
    if report.missing:
        yield f"{NOT_GIVEN} by Vitis: {escape(', '.join(report.missing))}"
    for path in report.files:
        yield f"[dim]read {escape(str(path))}[/]"


def _span(latency: Latency) -> str:
    known = [value for value in (latency.best, latency.average, latency.worst) if value is not None]
    if not known:
        return NOT_GIVEN
    low, high = min(known), max(known)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
