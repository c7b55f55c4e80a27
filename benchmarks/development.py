"""A development set through simulated hardware: ``python -m benchmarks.development DESIGN``.

Writes docs/results/development.md from what ``codesign simulate DESIGN --split dev`` has left in the design folder:
the task's score as the hardware gives it, cycles, and how long that took.
"""

from __future__ import annotations

import argparse
import datetime
import platform
from collections.abc import Iterator
from pathlib import Path

from benchmarks.glue import TASKS
from benchmarks.pruning import ROOT
from codesign import __version__
from codesign.design.content import Design
from codesign.design.folder import read_design
from codesign.files import write_text
from codesign.simulation.outcome import ScoreRecord, read_outcome
from codesign.simulation.toolchain import verilator_version

RESULT = ROOT / "docs" / "results" / "development.md"


def page(design: Design, score: ScoreRecord) -> Iterator[str]:
    """The page's lines."""
    document, a = design.document, design.document.accelerator
    kept = sum(layer.nonzero_blocks for layer in document.layers)
    blocks = sum(layer.blocks for layer in document.layers)
    shape = document.shape
    yield f"# {TASKS.get(document.task, document.task)}'s development set through simulated hardware"
    yield ""
    yield (
        f"Written by `python -m benchmarks.development` on {datetime.date.today().isoformat()}"
        f" (codesign {__version__}, Python {platform.python_version()}, {verilator_version()}), after"
        f" `codesign simulate DESIGN --split dev --jobs {score.jobs}`."
    )
    yield ""
    yield (
        f"Trained and pruned by `codesign prune` (seed {document.seed}): {shape.layers} layers, {shape.hidden} wide,"
        f" {shape.heads} heads, {shape.ffn} in the feed-forward, {blocks / kept:.2f}× compression; array {a.shape} on"
        f" {document.board}, weights of {a.weight_bits} bits. Each sentence runs whole, at its own length:"
        " embeddings in, the last layer out. Every output of the last layer and every sentence's cycles are"
        " compared; of the last sentence of each start, every step's begin and end too. Embeddings and classifier"
        " are the host's, as on a board."
    )
    yield ""
    yield "| | |"
    yield "|---|---|"
    minutes = score.seconds / 60
    yield f"| sentences | {score.sentences:,} |"
    yield f"| {score.metric}, as the hardware computes it | {score.value:.2f} |"
    yield f"| {score.metric} of the integer model | {score.integer:.2f} |"
    yield f"| decided otherwise | {score.otherwise:,} |"
    yield f"| cycles, predicted | {score.predicted_cycles:,} |"
    yield f"| cycles, counted | {score.counted_cycles:,} |"
    yield f"| steps that begin or end at other cycles | {score.moments_off:,} |"
    yield f"| outputs of the last layer that differ | {score.mismatches:,} of {score.outputs:,} |"
    yield f"| minutes after the build, {score.jobs} simulators at a time | {minutes:.1f} |"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("design", type=Path, help="design folder, simulated with --split")
    given = parser.parse_args()
    design = read_design(given.design)
    outcome = read_outcome(design)
    if outcome is None or outcome.score is None:
        parser.error(f"{given.design} has no development set's results: codesign simulate {given.design} --split dev")
    write_text(RESULT, "\n".join(page(design, outcome.score)) + "\n")
    print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
