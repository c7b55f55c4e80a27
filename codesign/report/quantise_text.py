"""The outcome of quantisation on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from codesign.tasks.evaluate import change_text

if TYPE_CHECKING:
    from codesign.quantisation.quantise import Outcome


def quantise_text(outcome: Outcome, output: Path) -> Iterator[RenderableType]:
    """What came out, and where it is."""
    document, size = outcome.document, outcome.manifest.size
    metric, split = outcome.metric
    before, after = (scores[split][metric] for scores in outcome.scores)
    agreed = outcome.agreement
    noise = document.quantisation.layer_noise_db
    table = Table(show_header=False, box=None, pad_edge=False)
    bits = document.accelerator.weight_bits
    memories: dict[str, int] = {}
    for layer in document.layers:
        memories[layer.weight_memory.value] = memories.get(layer.weight_memory.value, 0) + 1
    # Points first, and errors in significant digits: what is printed as 0.000 may be all that a score rests on.
    error = change_text(*outcome.scores)
    of, unit = "the logits' own size", "of the logits' difference"
    if agreed.decided_otherwise is None:
        of, unit = "the labels' standard deviation", "of the difference, in the labels' unit,"
    else:
        error += f"; {agreed.decided_otherwise} of {agreed.sentences} sentences decided otherwise"
    error += f"; root mean square {unit} {agreed.logits_error:.3g}"
    if agreed.relative_error is not None:
        error += f", {100 * agreed.relative_error:.3g} % of {of}"
    rows = {
        f"{document.task} {metric}": f"{before:.2f} float, {after:.2f} integer ({after - before:+.2f})",
        "against float": error,
        "signal to noise": f"{noise[0]:.1f} dB after the first layer, {noise[-1]:.1f} dB after the last",
        "weights": f"{size.weights / 8 / 1024:,.0f} KiB of int{bits} blocks, index {size.index / 8 / 1024:,.1f} KiB:"
        f" {size.overhead:.2%} above the ideal",
        "in memory": ", ".join(f"{count} matrices in {memory}" for memory, count in memories.items()),
    }
    for name, text in rows.items():
        table.add_row(escape(name), escape(text))
    yield ""
    yield table
    yield ""
    yield f"wrote {escape(str(output))} (design.yaml, weights.safetensors, images, checkpoint, metrics.json)"
