"""``codesign simulate`` on whole tiny designs of every family."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from transformers import AutoTokenizer

from codesign.boards import load_board
from codesign.design import read_design
from codesign.hardware.run import pruned
from codesign.packing.blocks import kept_blocks
from codesign.program import Program
from codesign.program.layout import Layout
from codesign.program.sentence import sentence_cycles
from codesign.quantisation.encoder import Encoder
from codesign.quantisation.load import load_classifier, load_encoder
from codesign.report.facts import read_facts
from codesign.shipped import data_folder
from codesign.simulation import sentences, split
from codesign.simulation.engine import Simulator
from codesign.simulation.reference import Reference, reference
from codesign.simulation.sentences import SentenceOutcome, SentenceRun, simulate_sentences
from codesign.simulation.split import read_rows
from codesign.simulation.trace import trace
from codesign.simulation.whole import WholeDesign
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
    assert "every output bit of every step is the integer model's, every cycle the hardware model's" in told.out
    result, document = (
        json.loads((folder / "sim.json").read_text()),
        yaml.safe_load((folder / "design.yaml").read_text()),
    )
    array, shape = document["accelerator"], document["shape"]
    # The design's own sentences, each at its own length.
    lengths = load_file(folder / "sentences.safetensors")["attention_mask"].sum(axis=1).tolist()
    assert [one["tokens"] for one in result["sentences"]] == lengths
    for one in result["sentences"]:
        assert one["counted_cycles"] == one["predicted_cycles"] == at_length(folder, one["tokens"])
        assert (one["mismatches"], one["moments_off"]) == (0, 0)
        assert one["label"] == one["integer_label"]
        # Every result of every step: by hand, those of the matrices, of contexts and of two LayerNorms a layer.
        hidden, ffn, tokens = shape["hidden"], shape["ffn"], one["tokens"]
        assert one["outputs"] > shape["layers"] * (5 * hidden + ffn + hidden + 2 * hidden) * tokens
    tokens = lengths[0]
    program = json.loads((folder / "program.json").read_text())["program"]
    rows = {step["matrix"]: step["rows"] for step in program["array"]}
    for number, (layer, planned) in enumerate(zip(result["layers"], document["layers"], strict=True)):
        assert layer["name"] == planned["name"]
        assert layer["mismatches"] == 0
        # Block rows that have no blocks and that nothing reads are not run; of the sums every one is read.
        features = range(planned["out_features"])
        assert layer["outputs"] == sum(feature // array["rows"] in rows[number] for feature in features) * tokens
        if number % 6 in (3, 5):
            assert layer["outputs"] == len(features) * tokens
        assert layer["counted_cycles"] == layer["predicted_cycles"]
        area = array["rows"] * array["cols"]
        macs = planned["nonzero_blocks"] * area * tokens
        assert layer["utilisation"] == pytest.approx(macs / (area * array["lanes"] * layer["counted_cycles"]))
    steps = {step["name"]: step for step in result["steps"]}
    assert all(step["predicted_cycles"] == step["counted_cycles"] for step in steps.values())
    assert {step["kind"] for step in steps.values()} == {"load", "matmul", "scores", "softmax", "context", "norm"}
    total = result["total"]
    assert total["predicted_cycles"] == total["counted_cycles"] == total["clock_cycles"]
    assert total["counted_cycles"] == sum(one["counted_cycles"] for one in result["sentences"])
    assert total["dense_cycles"] >= total["counted_cycles"]
    assert total["moments_off"] == 0
    # One number for one thing: what pruning and quantising said of this design is of sentences of the full length.
    metrics = json.loads((folder / "metrics.json").read_text())
    for said in (metrics["predicted"], document["predicted"]):
        assert said["cycles"] == at_length(folder, document["tokens"]) == predicted_cycles(folder, "zcu104")
        assert said["latency_ms"] == said["cycles"] / array["clock_mhz"] / 1000
        assert said["cycles"] >= result["sentences"][0]["counted_cycles"]
    assert metrics["predicted_speedup"] == document["predicted"]["dense_cycles"] / document["predicted"]["cycles"]


def at_length(folder: Path, tokens: int, board: str | Path = "zcu104", latency: int = 60) -> int:
    """Cycles of one sentence, of the hardware model, from the masks alone."""
    design = read_design(folder)
    d = design.document
    matrices = [
        pruned(kept_blocks(design.packed(layer)), layer.weight_memory, activation=layer.activation)
        for layer in d.layers
    ]
    return sentence_cycles(d.accelerator, load_board(str(board)), d.shape, matrices, tokens, latency=latency)


def predicted_cycles(folder: Path, board: str | Path) -> int:
    """Of the hardware model, from masks and sizes alone, without the images."""
    return read_facts(read_design(folder), load_board(str(board))).predicted_cycles


@pytest.fixture
def narrow(runs: Path) -> Path:
    """A board with room for sentences on chip and for hardly any weights, and a slow memory outside."""
    board = runs / "narrow.yaml"
    text = (data_folder("boards") / "zcu104.yaml").read_text()
    changes = ("name: zcu104", "name: narrow"), ("bram18: 624", "bram18: 30"), ("uram: 96", "uram: 0")
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
    told = codesign(
        *tiny.arguments(
            tiny.make("bert", runs / "narrow"), run, "--board", narrow, "--quantize", "--compression", 1.2
        )
    )
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
    (sentence,) = first["sentences"]
    assert at_length(folder, sentence["tokens"], narrow) == first["total"]["counted_cycles"]
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
    """One bit of what must come out is turned: of a step, and of what the HLS kernel gives."""

    def wrong(layout: Layout, program: Program, model: Encoder, sentence: np.ndarray) -> Reference:
        found = reference(layout, program, model, sentence)
        found.array[0].values[0, 0, 0] ^= 1
        return found

    monkeypatch.setattr(sentences, "reference", wrong)
    folder = quantised("bert")
    told = codesign("simulate", folder, "--work-dir", simulators)
    assert told.code == 1
    assert "not as it must be: 1 outputs differ from the integer model, 0 steps begin or end" in told.out
    result = json.loads((folder / "sim.json").read_text())
    assert result["total"]["mismatches"] == 1
    assert [step["name"] for step in result["steps"] if step["mismatches"]] == ["layer 0 key"]


def test_a_development_set_in_hardware(
    codesign: Run, quantised: Callable[[str], Path], simulators: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = quantised("bert")
    given = ("simulate", folder, "--work-dir", simulators, "-o", tmp_path, "--jobs", 2)
    told = codesign(*given, "--split", "dev", "--limit", 7, "--seed", 3)
    assert told.code == 0, told.err + told.out
    score = json.loads((tmp_path / "sim.json").read_text())["score"]
    assert (score["split"], score["sentences"], score["otherwise"], score["mismatches"]) == ("validation", 7, 0, 0)
    assert score["value"] == score["integer"]
    # The labels by the integer model on padded batches, and the cycles by the hardware model, sentence by sentence.
    rows = read_rows(read_design(folder), "validation", limit=7, seed=3)
    lengths = sorted(row["input_ids"].shape[1] for row in rows.sentences)
    assert score["outputs"] == 32 * sum(lengths)
    assert len(set(lengths)) > 1
    assert score["predicted_cycles"] == score["counted_cycles"] > 0
    labels = [int(label) for label in rows.labels]
    design = read_design(folder)
    classifier = load_classifier(design, load_encoder(design))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    padded = tokenizer.pad([{k: v[0] for k, v in row.items()} for row in rows.sentences], return_tensors="pt")
    right = int((classifier.logits(dict(padded)).argmax(dim=1).numpy() == labels).sum())
    assert score["value"] == pytest.approx(100 * right / 7)
    assert not list(simulators.glob("split-*"))
    # Interrupted after some, it goes on with what there is.
    kept, real = [], split._simulate

    def breaks(run: SentenceRun, simulator: Simulator, place: Path, number: int) -> tuple[int, split.Chunk]:
        if len(kept) == 2:
            raise KeyboardInterrupt
        kept.append(number)
        return real(run, simulator, place, number)

    monkeypatch.setattr(split, "_simulate", breaks)
    whole, args = WholeDesign(design, load_board("zcu104")), {"jobs": 1, "shown": lambda items, _: items}
    with pytest.raises(KeyboardInterrupt):
        split.simulate_split(whole, rows, simulators, **args)
    monkeypatch.setattr(split, "_simulate", real)
    again: list[int] = []

    def counted(run: SentenceRun, *given: Any, **more: Any) -> SentenceOutcome:
        again.append(run.tokens)
        return simulate_sentences(run, *given, **more)

    monkeypatch.setattr(split, "simulate_sentences", counted)
    record = split.simulate_split(whole, rows, simulators, **args)
    assert record.counted_cycles == score["counted_cycles"]
    assert len(again) == len(set(lengths)) - 2
    told = codesign(*given, "--split", "test")
    assert told.code == 2
    assert "--split: no split that task" in told.err
    assert "(got 'test'); accepted: dev, validation" in told.err


def test_refusals(codesign: Run, quantised: Callable[[str], Path], tmp_path: Path) -> None:
    told = codesign("simulate", tmp_path / "none")
    assert told.code == 2
    assert "no such folder" in told.err
    folder = quantised("bert")
    told = codesign("simulate", folder, "--board", "u50")
    assert told.code == 2
    assert "the design is for another board (got 'u50'); accepted: zcu104" in told.err
