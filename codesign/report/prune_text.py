"""The outcome of a pruning run on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from codesign.pruning.outcome import Outcome


def prune_text(outcome: Outcome, output: Path) -> Iterator[RenderableType]:
    """What came out, and where it is."""
    metric, dense, pruned = outcome.headline
    hardware, predicted = outcome.hardware, outcome.predicted
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        f"{outcome.task.name} {metric}": f"{dense:.2f} dense, {pruned:.2f} pruned",
        "compression": f"{hardware.compression(outcome.masks):.3f}× of the encoder's matrices"
        f" (budget: {hardware.plan.budget})",
        "predicted": f"{predicted.latency_ms:.4g} ms, {predicted.cycles:,} cycles from start to last output,"
        f" {predicted.speedup:.2f}× as fast as the dense model on the same array",
    }
    for name, text in rows.items():
        table.add_row(escape(name), escape(text))
    yield ""
    yield table
    yield ""
    yield f"wrote {escape(str(output))} (checkpoint, masks, plan.yaml, metrics.json, blocks.png)"
