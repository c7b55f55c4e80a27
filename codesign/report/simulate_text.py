"""The outcome of simulation on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from codesign.simulation.outcome import DesignOutcome, ScoreRecord, SentenceRecord


def simulate_text(outcome: DesignOutcome, path: Path) -> Iterator[RenderableType]:
    """A row per matrix, a line per sentence, the whole, and the verdict."""
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
    total, first = outcome.total, outcome.sentences[0]
    yield ""
    yield f"the matrices in the first sentence, of {first.tokens} tokens, and in the HLS kernel; sentences whole:"
    for sentence in outcome.sentences:
        yield from _sentence(sentence)
    if (memory := outcome.external_memory) and memory.matrices:
        yield (
            f"external memory: weights of {memory.matrices} matrices through {memory.ports} × {memory.port_bits}"
            f" bits, {memory.bytes_per_cycle:.2f} bytes per cycle after {memory.latency_cycles} cycles"
        )
    waits = ", ".join(f"{cycles:,} cycles for {what}" for what, cycles in total.stall_cycles.items() if cycles)
    yield f"the array waited {waits or 'never'}; {total.utilisation:.1%} of its multiply-accumulates are useful ones"
    speed = f"{total.macs_per_second / 1e6:,.0f} million multiply-accumulates per second"
    yield f"{total.seconds:.2f} s of simulation: {speed}; {total.hls_seconds:.2f} s of the HLS kernel's"
    if outcome.score:
        yield ""
        yield from _score(outcome.score)
    yield ""
    if outcome.right:
        yield "every output bit of every step is the integer model's, every cycle the hardware model's"
        yield "the HLS kernel gives the same bits, in the trips that the hardware model says"
    else:
        yield (
            f"[bold red]not as it must be[/]: {total.mismatches:,} outputs differ from the integer model,"
            f" {total.moments_off:,} steps begin or end at other cycles than predicted"
        )
        if not outcome.kernel_right:
            yield f"[bold red]the HLS kernel[/]: {total.hls_mismatches:,} outputs differ, or its trips do"
    yield f"wrote {escape(str(path))}"


def _sentence(one: SentenceRecord) -> Iterator[str]:
    exact = one.predicted_cycles == one.counted_cycles and not one.moments_off
    label = _value(escape(one.label), right=one.label == one.integer_label)
    yield (
        f"  {one.tokens} tokens: {one.predicted_cycles:,} cycles predicted,"
        f" {_count(one.counted_cycles, right=exact)} counted,"
        f" {_count(one.mismatches, right=not one.mismatches)} of {one.outputs:,} outputs of all steps differ;"
        f" label {label}, the integer model's {escape(one.integer_label)}"
    )


def _score(score: ScoreRecord) -> Iterator[str]:
    yield (
        f"{score.split}, {score.sentences:,} sentences in hardware: {score.metric}"
        f" {_value(f'{score.value:.2f}', right=score.value == score.integer)}, the integer model's"
        f" {score.integer:.2f}; {_count(score.otherwise, right=not score.otherwise)} decided otherwise"
    )
    exact = score.predicted_cycles == score.counted_cycles and not score.moments_off
    yield (
        f"  {score.predicted_cycles:,} cycles predicted, {_count(score.counted_cycles, right=exact)} counted,"
        f" {_count(score.mismatches, right=not score.mismatches)} of {score.outputs:,} outputs differ;"
        f" {score.seconds:.0f} s, {score.jobs} at a time"
    )


def _value(value: str, *, right: bool) -> str:
    return value if right else f"[bold red]{value}[/]"


def _count(value: int, *, right: bool) -> str:
    return f"{value:,}" if right else f"[bold red]{value:,}[/]"
