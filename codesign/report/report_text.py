"""A design in a few lines on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from codesign.hardware.predict import tightest
from codesign.report.charts import LABELS
from codesign.report.facts import Facts


def report_text(facts: Facts, path: Path) -> Iterator[RenderableType]:
    """The figures worth seeing first, and where the page is."""
    d, metrics = facts.design.document, facts.metrics
    table = Table(show_header=False, box=None, pad_edge=False)
    steps = ", ".join(f"{name} {value:.1f}" for name, value in facts.steps.items())
    kept = f"{metrics.compression['encoder']:.2f}× of the encoder's matrices"
    table.add_row(f"{metrics.task} {metrics.metric}", steps)
    table.add_row("compression", f"{kept}, {metrics.compression['with_embeddings']:.2f}× with embeddings")
    if facts.simulated:
        t = facts.simulated.total
        verdict = "equal" if facts.simulated.right else "[bold red]not as it must be[/]"
        table.add_row("cycles", f"{t.predicted_cycles:,} predicted, {t.counted_cycles:,} in simulated RTL: {verdict}")
        table.add_row("", f"{facts.predicted_cycles:,} predicted for {d.batch} × {d.tokens} tokens")
        table.add_row("outputs that differ", f"{t.mismatches:,} of the RTL, {t.hls_mismatches:,} of the HLS kernel")
        table.add_row("utilisation", f"{facts.utilisation:.1%} of the array's multiply-accumulates are useful ones")
    else:
        table.add_row("cycles", f"{facts.predicted_cycles:,} predicted for {d.batch} × {d.tokens} tokens")
        table.add_row("not simulated yet", escape(facts.simulate_command))
    table.add_row("speed-up", f"{facts.speedup:.2f}× over the dense encoder on the same array")
    table.add_row("latency", f"{facts.latency_ms:.3f} ms at {d.accelerator.clock_mhz:g} MHz for these")
    name, part = tightest(facts.resources, facts.board)
    told = f"{LABELS[name]}, {part:.0%} of what is usable of {facts.board.name}"
    table.add_row("binds", told if part <= 1 else f"[bold red]{told}[/]")
    yield table
    yield ""
    yield f"wrote {escape(str(path))} and its figures"
