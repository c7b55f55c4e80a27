"""The engine in simulation on one large matrix: ``python -m benchmarks.engine`` writes docs/results/engine.md.

Eight batches in a row through a half-empty 1536×384 matrix, on two arrays, with its weights on chip and streamed from
the zcu104's external memory. Every output bit is compared with plain integers, every cycle with the hardware model.
"""

from __future__ import annotations

import datetime
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import codesign
from codesign.boards import load_board
from codesign.files import write_text
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.cycles import external_bytes_per_cycle, utilisation
from codesign.hardware.timeline import LATENCY, JobTimes, external_memory
from codesign.simulation.engine import EngineResult, EngineRun, simulate
from codesign.simulation.fuzz import differences
from codesign.simulation.random_designs import RandomMatrix, random_run
from codesign.simulation.toolchain import verilator_version

RESULT = Path(__file__).parents[1] / "docs" / "results" / "engine.md"
BOARD = load_board("zcu104")
OUT_FEATURES, IN_FEATURES, DENSITY, TOKENS, BATCHES, SEED = 1536, 384, 0.5, 128, 8, 1

_TITLES = (
    *("array R×C×L", "weights", "blocks", "predicted cycles", "counted", "utilisation"),
    *("eight batches: predicted", "counter", "clock", "utilisation", "mismatches"),
    *("M MAC/s", "s per batch", "build s"),
)


@dataclass(frozen=True)
class Case:
    """One design.

    Attributes:
        block: R and C.
        lanes: L.
        port_bits: What fetches a block in the shadow of the one before, on chip.
        ports: To external memory; 0: weights on chip.
    """

    block: int
    lanes: int
    port_bits: int
    ports: int

    @property
    def accelerator(self) -> Accelerator:
        """The array at the board's clock."""
        return Accelerator(
            rows=self.block,
            cols=self.block,
            lanes=self.lanes,
            weight_bits=8,
            dsp_packing=2,
            clock_mhz=BOARD.clock.default_mhz,
            max_tokens=TOKENS,
            weight_port_bits=max(self.port_bits, self.ports * BOARD.axi.port_bits),
            axi_ports=self.ports,
            axi_port_bits=BOARD.axi.port_bits,
            requant_interval=2,
        )

    @property
    def weights(self) -> str:
        """Where they lie, in words."""
        if not self.ports:
            return "on chip"
        rate = float(external_bytes_per_cycle(self.accelerator, BOARD.read_bytes_per_second))
        return f"streamed, {self.ports} × {BOARD.axi.port_bits} bits, {rate:.2f} bytes per cycle"


CASES = tuple(Case(*array, ports) for array in ((16, 4, 64), (32, 2, 128)) for ports in (0, 1, BOARD.axi.ports))


def case_run(case: Case) -> tuple[EngineRun, list[NDArray[np.int64]]]:
    """Eight batches through the matrix, and the results."""
    memory = WeightMemory.DDR if case.ports else WeightMemory.BRAM
    matrix = RandomMatrix(OUT_FEATURES, IN_FEATURES, DENSITY, memory=memory)
    run, expected = random_run(case.accelerator, [matrix], TOKENS, SEED, repeats=BATCHES)
    return replace(run, memory=external_memory(case.accelerator, BOARD)), expected


def utilisations(case: Case, run: EngineRun, times: list[JobTimes]) -> tuple[float, float]:
    """(of the first batch, from its first block in the array to its last result; of all, from start to last beat)."""
    blocks = len(run.packed[0].blocks)
    first = utilisation(case.accelerator, blocks, TOKENS, times[0].written - times[0].begun)
    return first, utilisation(case.accelerator, BATCHES * blocks, TOKENS, times[-1].sent)


def exact_cells(case: Case, run: EngineRun, times: list[JobTimes], counter: int, clock: int) -> str:
    """The columns that no machine changes: found ones beside those that the hardware model has."""
    predicted = run.predicted()
    first, every = utilisations(case, run, times)
    cells = (
        case.accelerator.shape,
        case.weights,
        f"{len(run.packed[0].blocks):,}",
        f"{predicted[0].written - predicted[0].begun:,}",
        f"{times[0].written - times[0].begun:,}",
        f"{first:.2%}",
        f"{predicted[-1].sent:,}",
        f"{counter:,}",
        f"{clock:,}",
        f"{every:.2%}",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    """Build, run, write the page; exit code 1 where a bit or a cycle is not as it must be."""
    rows, wrong = [], 0
    for case in CASES:
        run, expected = case_run(case)
        with tempfile.TemporaryDirectory() as work:
            found = simulate(run, Path(work))
        for told in differences(run, found, expected):
            wrong += 1
            print(f"{case.accelerator.shape}, {case.weights}: {told}")
        rows.append(_row(case, run, found, expected))
        print(rows[-1], flush=True)
    if wrong:
        return 1
    write_text(RESULT, "\n".join(_page(rows)) + "\n")
    print(f"wrote {RESULT}")
    return 0


def _row(case: Case, run: EngineRun, found: EngineResult, expected: list[NDArray[np.int64]]) -> str:
    mismatches = sum(int((got != wanted).sum()) for got, wanted in zip(found.results, expected, strict=True))
    macs = BATCHES * len(run.packed[0].blocks) * case.accelerator.block_area * TOKENS
    measured = (
        f"{mismatches:,} of {expected[0].size:,}",
        f"{macs / found.processor_seconds / 1e6:,.0f}",
        f"{found.processor_seconds / BATCHES:.2f}",
        f"{found.build_seconds:.0f}",
    )
    return exact_cells(case, run, found.times, found.cycles, found.clock) + " " + " | ".join(measured) + " |"


def _page(rows: list[str]) -> Iterator[str]:
    yield "# The engine in simulation on one large matrix"
    yield ""
    yield (
        f"Written by `python -m benchmarks.engine` on {datetime.date.today().isoformat()} (codesign "
        f"{codesign.__version__}, Python {platform.python_version()}, {verilator_version()}; seed {SEED}; "
        f"{os.cpu_count()} cores)."
    )
    yield ""
    yield (
        f"A {OUT_FEATURES}×{IN_FEATURES} matrix of random int8 weights, {DENSITY:.0%} of the blocks kept at random, "
        f"{TOKENS} tokens per batch, {BATCHES} batches in a row, in the SystemVerilog engine under Verilator at two "
        "products per DSP. The streamed designs read index, channel constants and weights of every batch from memory "
        f"with the {BOARD.name}'s rate at {BOARD.clock.default_mhz:g} MHz and {LATENCY} cycles of latency, or as "
        "much of it as the ports take."
    )
    yield ""
    yield (
        "Cycles of one batch are those of the first, from its first block in the array to its last result; of eight, "
        "from the start to the last beat of the last result, activations' arrival included. Utilisation: "
        "multiply-accumulates on kept blocks over R·C·L per cycle. Mismatches: outputs of the last batch that differ "
        "from plain integers. Seconds are the processor's on this machine, so that they do not depend on what else "
        "it did: of the simulated run, which is one thread, and of the build from nothing, which can use several."
    )
    yield ""
    yield "| " + " | ".join(_TITLES) + " |"
    yield "|" + "---|" * len(_TITLES)
    yield from rows


if __name__ == "__main__":
    sys.exit(main())
