"""The outcome of simulation on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from codesign.simulation.outcome import DesignOutcome, EncoderOutcome


def simulate_text(outcome: DesignOutcome, path: Path) -> Iterator[RenderableType]:
    """A row per matrix, the whole, and the verdict."""
    table = Table(box=None, pad_edge=False)
    table.add_column("matrix")
    titles = ("blocks", "predicted cycles", "counted cycles", "utilisation", "outputs", "mismatches")
    for title in (*titles, "HLS trips", "mismatches"):
        table.add_column(title, justify="right")
    for layer in outcome.layers:
        exact = layer.predicted_cycles == layer.counted_cycles
        table.add_row(
            layer.name,
            f"{layer.nonzero_blocks:,}",
            f"{layer.predicted_cycles:,}",
            _count(layer.counted_cycles, right=exact),
            f"{layer.utilisation:.1%}",
            f"{layer.outputs:,}",
            _count(layer.mismatches, right=not layer.mismatches),
            _count(layer.hls_trips, right=layer.hls_trips == layer.hls_predicted_trips),
            _count(layer.hls_mismatches, right=not layer.hls_mismatches),
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
    yield f"{total.seconds:.2f} s of simulation: {speed}; {total.hls_seconds:.2f} s of the HLS kernel's"
    if outcome.encoder:
        yield ""
        yield from _sentences(outcome.encoder)
    yield ""
    if outcome.right:
        yield "every output bit of the matrices is the integer model's, every cycle the hardware model's"
        yield "the HLS kernel gives the same bits, in the trips that the hardware model says"
    else:
        yield (
            f"[bold red]not as it must be[/]: {total.mismatches:,} outputs differ from the integer model,"
            f" {total.moments_off:,} phases begin or end at other cycles than predicted"
        )
        if not outcome.kernel_right:
            yield f"[bold red]the HLS kernel[/]: {total.hls_mismatches:,} outputs differ, or its trips do"
    yield f"wrote {escape(str(path))}"


def _sentences(encoder: EncoderOutcome) -> Iterator[str]:
    """Whole sentences, a line each."""
    yield (
        f"whole sentences, attention, softmax and LayerNorm in hardware: a vector unit of {encoder.vector_width}"
        f" elements per cycle beside the array, {encoder.requant_interval} cycles for a block row's results"
    )
    for sentence in encoder.sentences:
        exact = sentence.predicted_cycles == sentence.counted_cycles and not sentence.moments_off
        yield (
            f"  {sentence.tokens} tokens: {sentence.predicted_cycles:,} cycles predicted,"
            f" {_count(sentence.counted_cycles, right=exact)} counted,"
            f" {sentence.counted_cycles / encoder.clock_mhz / 1e3:.3f} ms at {encoder.clock_mhz:g} MHz;"
            f" {_count(sentence.mismatches, right=not sentence.mismatches)} of {sentence.outputs:,} outputs of all"
            f" steps differ; {sentence.seconds:.2f} s of simulation"
        )


def _count(value: int, *, right: bool) -> str:
    return f"{value:,}" if right else f"[bold red]{value:,}[/]"
