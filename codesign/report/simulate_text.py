"""The outcome of simulation on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from codesign.simulation.design import DesignOutcome


def simulate_text(outcome: DesignOutcome, path: Path) -> Iterator[RenderableType]:
    """A row per matrix, the whole, and the verdict."""
    table = Table(box=None, pad_edge=False)
    table.add_column("matrix")
    for title in ("blocks", "predicted cycles", "counted cycles", "utilisation", "outputs", "mismatches"):
        table.add_column(title, justify="right")
    for layer in outcome.layers:
        exact = layer.predicted_cycles == layer.counted_cycles
        table.add_row(
            layer.name,
            f"{layer.nonzero_blocks:,}",
            f"{layer.predicted_cycles:,}",
            f"{layer.counted_cycles:,}" if exact else f"[bold red]{layer.counted_cycles:,}[/]",
            f"{layer.utilisation:.1%}",
            f"{layer.outputs:,}",
            f"{layer.mismatches:,}" if not layer.mismatches else f"[bold red]{layer.mismatches:,}[/]",
        )
    yield table
    total = outcome.total
    yield ""
    yield (
        f"start to last output: {total.predicted_cycles:,} cycles predicted, {total.counted_cycles:,} by the engine's"
        f" counter, {total.clock_cycles:,} by the simulator's clock"
    )
    if (memory := outcome.external_memory) and memory.matrices:
        yield (
            f"external memory: weights of {memory.matrices} matrices through {memory.ports} × {memory.port_bits}"
            f" bits, {memory.bytes_per_cycle:.2f} bytes per cycle after {memory.latency_cycles} cycles"
        )
    waits = ", ".join(f"{cycles:,} cycles for {what}" for what, cycles in total.stall_cycles.items() if cycles)
    yield f"the array waited {waits or 'never'}"
    speed = f"{total.macs_per_second / 1e6:,.0f} million multiply-accumulates per second"
    yield f"{total.seconds:.2f} s of simulation: {speed}"
    yield ""
    if outcome.right:
        yield "every output bit is the integer model's, every cycle the hardware model's"
    else:
        yield (
            f"[bold red]not as it must be[/]: {total.mismatches:,} outputs differ from the integer model,"
            f" {total.moments_off:,} phases begin or end at other cycles than predicted"
        )
    yield f"wrote {path}"
