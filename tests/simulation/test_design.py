"""``codesign simulate`` on whole tiny designs of every family."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from codesign.boards import load_board
from codesign.design import read_design
from codesign.report.facts import read_facts
from codesign.shipped import data_folder
from codesign.simulation import trace as tracing
from codesign.simulation.trace import trace
from tests.conftest import Outcome
from tests.pruning import tiny

Run = Callable[..., Outcome]


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_every_bit_and_every_cycle(
    codesign: Run, quantised: Callable[[str], Path], simulators: Path, family: str
) -> None:
    folder = quantised(family)
    told = codesign("simulate", folder, "--work-dir", simulators)
    assert told.code == 0, told.err + told.out
    assert "every output bit of the matrices is the integer model's, every cycle the hardware model's" in told.out
    result, document = (
        json.loads((folder / "sim.json").read_text()),
        yaml.safe_load((folder / "design.yaml").read_text()),
    )
    tokens = document["tokens"] * document["batch"]
    for layer, planned in zip(result["layers"], document["layers"], strict=True):
        assert layer["name"] == planned["name"]
        assert layer["mismatches"] == 0
        assert layer["outputs"] == planned["out_features"] * tokens
        # What the plan said of the matrix is what was counted.
        assert layer["counted_cycles"] == layer["predicted_cycles"] == planned["predicted_cycles"]
        area = np.prod(document["accelerator"]["rows"]) * document["accelerator"]["cols"]
        macs = planned["nonzero_blocks"] * area * tokens
        every = area * document["accelerator"]["lanes"] * layer["counted_cycles"]
        assert layer["utilisation"] == pytest.approx(macs / every)
    total = result["total"]
    assert total["predicted_cycles"] == total["counted_cycles"] == total["clock_cycles"]
    assert total["dense_cycles"] >= total["counted_cycles"]
    assert total["moments_off"] == 0
    assert predicted_cycles(folder, "zcu104") == total["counted_cycles"]
    # One number for one thing: what pruning and quantising said of this design, and of its speed-up, was simulated.
    metrics = json.loads((folder / "metrics.json").read_text())
    for said in (metrics["predicted"], document["predicted"]):
        assert (said["cycles"], said["dense_cycles"]) == (total["counted_cycles"], total["dense_cycles"])
        assert said["latency_ms"] == total["counted_cycles"] / document["accelerator"]["clock_mhz"] / 1000
    assert metrics["predicted_speedup"] == total["dense_cycles"] / total["counted_cycles"]
    counted = {layer["name"]: layer["counted_cycles"] for layer in result["layers"]}
    assert {layer["name"]: layer["predicted_cycles"] for layer in metrics["layers"]} == counted


def predicted_cycles(folder: Path, board: str | Path) -> int:
    """Of the hardware model, from masks and sizes alone, without the images."""
    return read_facts(read_design(folder), load_board(str(board))).predicted_cycles


@pytest.fixture
def narrow(runs: Path) -> Path:
    """A board with next to no memory on chip and a slow one outside."""
    board = runs / "narrow.yaml"
    text = (data_folder("boards") / "zcu104.yaml").read_text()
    changes = ("name: zcu104", "name: narrow"), ("bram18: 624", "bram18: 20"), ("uram: 96", "uram: 0")
    slower = ("transfer_mts: 2133", "transfer_mts: 250"), ("gb_per_s: 17.06", "gb_per_s: 2.0")
    for old, new in (*changes, *slower):
        assert text.count(old) == 1
        text = text.replace(old, new)
    board.write_text(text)
    return board


def test_the_dense_model_takes_the_cycles_that_it_is_said_to(
    codesign: Run, narrow: Path, runs: Path, simulators: Path
) -> None:
    """What speed-ups are held against, with weights on chip and outside: here it is simulated itself."""
    run = runs / "run-dense"
    given = "--board", narrow, "--quantize", "--compression", 1
    told = codesign(*tiny.arguments(tiny.make("bert", runs / "dense"), run, *given))
    assert told.code == 0, told.err
    told = codesign("simulate", run / "design", "--board", narrow, "--work-dir", simulators)
    assert told.code == 0, told.err + told.out
    total = json.loads((run / "design" / "sim.json").read_text())["total"]
    assert total["counted_cycles"] == total["dense_cycles"]
    document = yaml.safe_load((run / "design" / "design.yaml").read_text())
    assert all(layer["nonzero_blocks"] == layer["blocks"] for layer in document["layers"])
    assert {layer["weight_memory"] for layer in document["layers"]} >= {"ddr"}


def test_weights_from_external_memory_at_the_boards_rate(
    codesign: Run, narrow: Path, runs: Path, simulators: Path
) -> None:
    """What comes from outside comes at the board's rate, not at the ports' width."""
    run = runs / "run-narrow"
    told = codesign(*tiny.arguments(tiny.make("bert", runs / "narrow"), run, "--board", narrow, "--quantize"))
    assert told.code == 0, told.err
    folder = run / "design"
    document = yaml.safe_load((folder / "design.yaml").read_text())
    streamed = [layer["weight_memory"] for layer in document["layers"]].count("ddr")
    assert streamed
    array = document["accelerator"]
    width = array["axi_ports"] * array["axi_port_bits"] / 8
    # 80 % of 2 GB/s.
    rate = min(width, 1.6e9 / (array["clock_mhz"] * 1e6))
    assert rate < width
    told = codesign("simulate", folder, "--board", narrow, "--work-dir", simulators)
    assert told.code == 0, told.err + told.out
    assert f"{rate:.2f} bytes per cycle after 60 cycles" in told.out
    first = json.loads((folder / "sim.json").read_text())
    assert first["external_memory"] == {
        "matrices": streamed,
        "latency_cycles": 60,
        "bytes_per_cycle": pytest.approx(rate),
        "ports": array["axi_ports"],
        "port_bits": array["axi_port_bits"],
    }
    assert predicted_cycles(folder, narrow) == first["total"]["counted_cycles"]
    told = codesign("simulate", folder, "--board", narrow, "--work-dir", simulators, "--memory-latency", 900)
    assert told.code == 0, told.err + told.out
    later = json.loads((folder / "sim.json").read_text())
    assert later["external_memory"]["latency_cycles"] == 900
    assert later["total"]["counted_cycles"] > first["total"]["counted_cycles"]


def test_what_the_engine_is_fed_with(quantised: Callable[[str], Path], pruned: Callable[[str], Path]) -> None:
    """The activations are those of the first development sentences; results follow from them by plain integers."""
    folder = quantised("bert")
    design = read_design(folder)
    ids = load_file(folder / "sentences.safetensors")["input_ids"]
    assert ids.shape == (design.document.batch, design.document.tokens)
    first = (pruned("bert").parent / "data" / "dev.tsv").read_text().splitlines()[1].split("\t")[0]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    wanted = tokenizer(first, truncation=True, max_length=design.document.tokens)["input_ids"]
    assert ids[0, : len(wanted)].tolist() == wanted
    found = trace(design)
    assert set(found) == {layer.key for layer in design.document.layers}
    constant = unread = 0
    for layer in design.document.layers:
        matrix = design.engine_matrix(layer)
        part = found[layer.key]
        bias, multiplier, shift, which = (c[:, None] for c in matrix.channels)
        weight = np.zeros((matrix.packed.out_features, matrix.packed.in_features), np.int64)
        rows, cols = matrix.packed.block
        row = np.repeat(np.arange(len(matrix.packed.row_blocks)), matrix.packed.row_blocks)
        for block, r, c in zip(matrix.packed.blocks, row, matrix.packed.columns, strict=True):
            space = weight[r * rows : (r + 1) * rows, c * cols : (c + 1) * cols]
            space[:] = block[: space.shape[0], : space.shape[1]]
        total = (weight @ part.read.astype(np.int64) + bias) * multiplier
        y = np.clip((total + (1 << (shift - 1))) >> shift, -127, 127)
        if matrix.tables is not None:
            y = matrix.tables[which, y + 128]
        assert np.array_equal(part.given, y)
        # The features that the engine does not give are the same for every token.
        assert np.array_equal(part.whole(part.given), part.results)
        constant += layer.out_features - len(y)
        unread += layer.in_features - len(part.read)
    assert constant, "the design has an empty block row"
    assert unread, "and an empty block column"
    # Q, K and V of a layer get the same; the next matrix gets what softmax made of it.
    keys = [layer.key for layer in design.document.layers]
    assert np.array_equal(found[keys[0]].activations, found[keys[2]].activations)
    assert not np.array_equal(found[keys[0]].activations, found[keys[3]].activations)


def test_a_difference_is_told(
    codesign: Run, quantised: Callable[[str], Path], simulators: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(design: object) -> object:
        found = trace(design)  # type: ignore[arg-type]
        key = next(iter(found))
        results = found[key].results.copy()
        results[3, 2] ^= 1
        return {**found, key: replace(found[key], results=results)}

    monkeypatch.setattr(tracing, "trace", wrong)
    folder = quantised("bert")
    told = codesign("simulate", folder, "--work-dir", simulators)
    assert told.code == 1
    assert "not as it must be: 1 outputs differ from the integer model, 0 phases begin or end" in told.out
    assert json.loads((folder / "sim.json").read_text())["total"]["mismatches"] == 1


def test_refusals(codesign: Run, quantised: Callable[[str], Path], tmp_path: Path) -> None:
    told = codesign("simulate", tmp_path / "none")
    assert told.code == 2
    assert "no such folder" in told.err
    folder = quantised("bert")
    told = codesign("simulate", folder, "--board", "u50")
    assert told.code == 2
    assert "the design is for another board (got 'u50'); accepted: zcu104" in told.err


def test_its_sentences_whole(
    codesign: Run, quantised: Callable[[str], Path], simulators: Path, tmp_path: Path
) -> None:
    folder = quantised("bert")
    told = codesign("simulate", folder, "--sentences", "--work-dir", simulators, "-o", tmp_path)
    assert told.code == 0, told.err + told.out
    whole = json.loads((tmp_path / "sim.json").read_text())["encoder"]
    assert whole["sentences"]
    for sentence in whole["sentences"]:
        assert sentence["mismatches"] == 0
        assert sentence["counted_cycles"] == sentence["predicted_cycles"] > 0
    assert "attention, softmax and LayerNorm in hardware" in told.out
