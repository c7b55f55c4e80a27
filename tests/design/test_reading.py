"""What every reader of a design or a run finds out: changed files, contradictions, the wrong folder."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from codesign.boards import load_board
from codesign.design import read_design
from codesign.design.hardware import board_of_design
from codesign.errors import InputError
from codesign.outputs import MARKER
from codesign.program.document import program_text
from codesign.simulation.outcome import read_outcome
from tests.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def design(quantised: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy, to be changed."""
    folder = tmp_path / "design"
    shutil.copytree(quantised("bert"), folder, ignore=shutil.ignore_patterns("sim.json", "report"))
    return folder


def seal(document: dict[str, Any]) -> None:
    """The checksum as the documentation has it: of the other fields as JSON with sorted keys."""
    content = {name: value for name, value in document.items() if name != "checksum"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    document["checksum"] = hashlib.sha256(text.encode()).hexdigest()


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a design's description, and make every hash right again."""
    path = folder / "design.yaml"
    document = yaml.safe_load(path.read_text())
    change(document)
    for name in document["files"]:
        document["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    seal(document)
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def one_line(told: Outcome) -> str:
    assert told.code == 2
    (line,) = told.err.splitlines()
    return line.removeprefix("codesign: ")


def test_the_checksum_is_of_all_other_fields(design: Path) -> None:
    """Counted here, from the file itself; the same for the run."""
    document = yaml.safe_load((design / "design.yaml").read_text())
    written = document["checksum"]
    seal(document)
    assert document["checksum"] == written
    everything = {p.relative_to(design).as_posix() for p in design.rglob("*") if p.is_file()}
    images = {name for name in everything if name.startswith("images/")}
    assert set(document["files"]) == everything - images - {"design.yaml", MARKER} | {"images/manifest.json"}
    manifest = json.loads((design / "images" / "manifest.json").read_text())
    listed = {f"images/{file}" for image in manifest["images"].values() for file in image["files"]}
    assert listed == images - {"images/manifest.json"}


@pytest.mark.parametrize("command", ["gen-hls", "report", "simulate"])
def test_every_command_sees_an_edit_and_a_damage(codesign: Run, design: Path, command: str) -> None:
    where = ("-o", design.parent / "out") if command != "simulate" else ("--work-dir", design.parent / "out")
    path = design / "design.yaml"
    text = path.read_text()
    for field in ("hidden", "max_tokens", "tokens", "clock_mhz", "dense_cycles", "calibration", "seed"):
        changed, count = re.subn(rf"^( *{field}: )(\d+)", lambda m: f"{m[1]}{int(m[2]) * 2 + 2}", text, flags=re.M)
        assert count == 1, field
        path.write_text(changed)
        assert f"{path}: checksum: changed since it was written" in one_line(codesign(command, design, *where))
    # A comment says nothing of the design.
    path.write_text(text + "# seen\n")
    read_design(design)
    for name in ("images/index.bin", "images/weights_bram.mem", "images/manifest.json", "metrics.json"):
        data = (design / name).read_bytes()
        (design / name).write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        line = one_line(codesign(command, design, *where))
        assert str(design / name) in line
        assert "SHA-256 differs" in line
        (design / name).write_bytes(data)
    assert not (design.parent / "out").exists()


def _set(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        place = document
        for key in path[:-1]:
            place = place[key]
        old = place[path[-1]]
        place[path[-1]] = value(old) if callable(value) else value

    return change


# (change, a part of the message): each with every hash made right again.
CONTRADICTIONS = [
    (_set("shape", "hidden", value=64), "shape.hidden: contradicts the rest of the folder (got 64); accepted: 32"),
    (_set("shape", "layers", value=1), "shape.layers: contradicts the rest of the folder (got 1); accepted: 2"),
    (_set("shape", "heads", value=4), "shape.heads: contradicts"),
    (_set("layers", value=lambda x: x[:-1]), "layers: contradicts the rest of the folder (got '11 matrices')"),
    (_set("layers", value=lambda x: [x[1], x[0], *x[2:]]), "layers.0.name: contradicts"),
    (_set("layers", 0, "key", value="layers.1.query"), "layers.0.key: contradicts"),
    (
        _set("layers", 4, "out_features", value=64),
        "layers.4.out_features: contradicts the rest of the folder (got 64)",
    ),
    (_set("layers", 4, "activation", value=False), "layers.4.activation: contradicts"),
    (_set("layers", 0, "blocks", value=lambda x: x + 1), "layers.0.blocks: contradicts"),
    (_set("layers", 0, "nonzero_blocks", value=lambda x: x + 1), "blocks of (4, 8), design.yaml says"),
    (_set("layers", 0, "weight_memory", value="uram"), "manifest.json: other matrices or places than design.yaml"),
    (_set("layers", 0, "predicted_cycles", value=7), "predicted_cycles: contradicts the accelerator"),
    (_set("accelerator", "rows", value=2), "layers.0.blocks: contradicts"),
    (
        _set("accelerator", "max_tokens", value=lambda x: 8 * x),
        "program.json: program.array.0: not the program that design.yaml and weights.safetensors give",
    ),
    (
        _set("accelerator", "weight_port_bits", value=lambda x: 2 * x),
        "manifest.json: engine.weight_port_bits: contradicts",
    ),
    (_set("tokens", value=16), "sentences.safetensors: "),
    (_set("batch", value=2), "sentences.safetensors: "),
    (_set("quantisation", "layer_noise_db", value=[1.0]), "quantisation.layer_noise_db: contradicts"),
    (_set("predicted", "resources", "dsp", value=1), "predicted.resources.dsp: contradicts the accelerator"),
]


def test_a_folder_with_right_hashes_that_contradicts_itself(design: Path) -> None:
    original = (design / "design.yaml").read_text()
    for change, message in CONTRADICTIONS:
        (design / "design.yaml").write_text(original)
        rewrite(design, change)
        with pytest.raises(InputError) as caught:
            board_of_design(read_design(design))
        assert message in str(caught.value)
    (design / "design.yaml").write_text(original)
    rewrite(design, lambda _: None)
    board_of_design(read_design(design))


def test_a_program_that_is_another(design: Path) -> None:
    path = design / "program.json"
    original = path.read_text()
    program = read_design(design).program
    assert program_text(program) == original
    assert len(original.splitlines()) == len(program.array) + len(program.vector) + 7
    for change, message in (
        (('"after_array": 2', '"after_array": 1'), "not the program that design.yaml and weights.safetensors give"),
        (('"kind": "norm"', '"kind": "normal"'), "program.json: program.vector."),
        (('"format": "codesign-program-1"', '"format": "codesign-program-0"'), "program.json: format"),
        (('"memories"', '"memory"'), "program.json: program.memories: this field is missing"),
        (("}}", "}"), "program.json:"),
    ):
        changed = original.replace(*change, 1) if change[0] != "}}" else original.rstrip().removesuffix("}")
        assert changed != original
        path.write_text(changed)
        rewrite(design, lambda _: None)
        with pytest.raises(InputError) as caught:
            read_design(design)
        assert message in str(caught.value)


def test_weights_and_images_that_contradict_each_other(design: Path) -> None:
    stored = load_file(design / "weights.safetensors")
    key = next(name for name in stored if name.endswith("weight.blocks") and stored[name].size)
    changed = {**stored, key: stored[key].copy()}
    changed[key].reshape(-1)[0] ^= 1
    for content, message in (
        (changed, "not the words that weights.safetensors gives"),
        ({name: part for name, part in stored.items() if not name.endswith("query.bias")}, "a constant is missing"),
        (
            {**stored, "layers.0.query.bias": stored["layers.0.query.bias"][:-1]},
            "layers.0.query.bias: does not fit the shape in design.yaml (got '31'); accepted: 32",
        ),
        (
            {**stored, "layers.1.ffn_norm.gain": stored["layers.1.ffn_norm.gain"][:1]},
            "layers.1.ffn_norm.gain: does not fit",
        ),
        ({**stored, "layers.2.query.bias": np.zeros(32, np.int8)}, "layers.2.query.bias: no constant of the model"),
        (
            {**stored, "layers.0.value.shift": np.full_like(stored["layers.0.value.shift"], -1)},
            "weights.safetensors: does not fit design.yaml",
        ),
    ):
        save_file(content, design / "weights.safetensors")
        rewrite(design, lambda _: None)
        with pytest.raises(InputError) as caught:
            read_design(design)
        assert message in str(caught.value)


def test_a_design_without_a_hash_of_a_file_it_needs(design: Path) -> None:
    rewrite(design, lambda document: document["files"].pop("sentences.safetensors"))
    with pytest.raises(InputError, match=r"files: this file has no hash \(got 'sentences\.safetensors'\)"):
        read_design(design)


def test_names_in_a_design_are_names(design: Path) -> None:
    for change, message in (
        (_set("part", value='x"; rm -rf /; "'), "part: not a name that can stand in generated files"),
        (_set("model", value="a*/\nb"), "model: not a text that can stand in generated files"),
        (_set("layers", 0, "name", value='q";'), "layers.0.name: not a name"),
        (_set("board", value="../x"), "board: not a name"),
        (_set("shape", "name", value="$(x)"), "shape.name: not a text"),
    ):
        original = (design / "design.yaml").read_text()
        rewrite(design, change)
        with pytest.raises(InputError) as caught:
            read_design(design)
        assert message in str(caught.value)
        (design / "design.yaml").write_text(original)
    document = yaml.safe_load((design / "design.yaml").read_text())
    document["files"]["../victim"] = "0"
    (design / "design.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(InputError, match="not a name that can stand in generated files"):
        read_design(design)


def test_results_of_simulation_are_of_this_design(design: Path) -> None:
    """Not only of one with as many blocks."""
    from tests.report.test_page import simulated

    simulated(design)
    found = read_design(design)
    assert read_outcome(found) is not None
    rewrite(design, _set("seed", value=77))
    with pytest.raises(
        InputError, match=r"sim\.json: design: results of another design than the one that is here now"
    ):
        read_outcome(read_design(design))


def test_the_wrong_folder_is_told_where_the_right_one_is(
    codesign: Run, pruned: Callable[[str], Path], design: Path
) -> None:
    run = design.parent / "run"
    shutil.copytree(pruned("bert"), run, ignore=shutil.ignore_patterns("design"))
    for command in ("gen-hls", "report", "simulate"):
        line = one_line(codesign(command, run))
        assert line == (
            f"{run}: this folder holds a run that has no design yet; accepted: codesign quantize {run},"
            f" then {run}/design"
        )
    # A plan alone is no run.
    plan = design.parent / "plan"
    plan.mkdir()
    shutil.copy(run / "plan.yaml", plan)
    for command in ("gen-hls", "report", "simulate"):
        line = one_line(codesign(command, plan))
        assert line == (
            f"{plan}: this folder holds a plan, not a design; accepted: a design folder, as codesign quantize"
            " writes it"
        )
    shutil.copytree(design, run / "design")
    for command in ("gen-hls", "report", "simulate"):
        line = one_line(codesign(command, run))
        assert line == f"{run}: this folder holds a run, not a design; accepted: its design: {run}/design"
    line = one_line(codesign("quantize", run / "design"))
    assert line == f"{run}/design: this folder holds a design, not a run; accepted: its run: {run}"
    assert "accepted: the folder of a finished run" in one_line(codesign("quantize", design))


def test_a_board_of_ones_own_is_found_by_its_file_only(
    codesign: Run, pruned: Callable[[str], Path], design: Path
) -> None:
    rewrite(design, _set("board", value="mine"))
    for command in ("gen-hls", "report", "simulate"):
        line = one_line(codesign(command, design))
        assert line == (
            f"{design}/design.yaml: board: made for a board of your own, which its file alone describes (got 'mine');"
            " accepted: --board FILE (-b), the YAML file of mine"
        )
    board = load_board("zcu104").model_copy(update={"name": "mine"})
    path = design.parent / "mine.yaml"
    path.write_text(yaml.safe_dump(board.model_dump(mode="json")))
    assert board_of_design(read_design(design), str(path)) == board
    run = design.parent / "run"
    shutil.copytree(pruned("bert"), run, ignore=shutil.ignore_patterns("design"))
    forget(run)
    edit(run / "plan.yaml", "board: zcu104", "board: mine")
    assert "plan.yaml: board: made for a board of your own" in one_line(codesign("quantize", run))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


def forget(run: Path) -> None:
    """As an older version left a run: without hashes."""
    path = run / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["files"], metrics["checksum"]
    path.write_text(json.dumps(metrics))


def test_a_run_that_has_been_changed(codesign: Run, pruned: Callable[[str], Path], tmp_path: Path) -> None:
    run = tmp_path / "run"

    def told(change: Callable[[], None], *, hashes: bool = True) -> str:
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(pruned("bert"), run, ignore=shutil.ignore_patterns("design"))
        if not hashes:
            forget(run)
        change()
        line = one_line(codesign("quantize", run, "-o", tmp_path / "out"))
        assert not (tmp_path / "out").exists()
        return line

    plan, metrics = run / "plan.yaml", run / "metrics.json"
    document = yaml.safe_load((pruned("bert") / "plan.yaml").read_text())
    cols = f"  cols: {document['accelerator']['cols']}"
    assert "plan.yaml: truncated or changed: SHA-256 differs from metrics.json's" in told(
        lambda: edit(plan, "dsp_packing: 2", "dsp_packing: 1")
    )
    assert "config.json: truncated or changed" in told(lambda: edit(run / "config.json", "{", "{ "))
    assert "metrics.json: checksum: changed since it was written" in told(
        lambda: edit(metrics, '"dense": ', '"dense": 1')
    )
    # What an older run's files say of each other.
    assert "plan.yaml: accelerator.cols: not the plan that the model was pruned under" in told(
        lambda: edit(plan, cols, f"{cols}0"), hashes=False
    )
    assert "plan.yaml: tokens: not the plan" in told(lambda: edit(plan, "tokens: 32", "tokens: 16"), hashes=False)
    assert "plan.yaml: shape.heads: the plan is of another model (got 1)" in told(
        lambda: edit(plan, "heads: 2", "heads: 1"), hashes=False
    )
    # The report's comparison reads the run's scores too.
    shutil.rmtree(run)
    shutil.copytree(pruned("bert"), run, ignore=shutil.ignore_patterns("design"))
    from codesign.report.facts import _metrics

    assert _metrics(run).task == "sst2"
    edit(metrics, '"pruned": ', '"pruned": 1')
    with pytest.raises(InputError, match="checksum: changed since it was written"):
        _metrics(run)


def test_what_is_compared_is_as_it_was_written(codesign: Run, design: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(design, other)
    edit(other / "metrics.json", '"pruned": ', '"pruned": 1')
    (tmp_path / "empty").mkdir()
    for folder, message in (
        (other, f"{other}/metrics.json: truncated or changed: SHA-256 differs from design.yaml's"),
        (tmp_path / "empty", f"{tmp_path}/empty: no metrics.json here; accepted: a finished run, or a design"),
    ):
        assert message in one_line(codesign("report", design, "--compare", folder, "-o", tmp_path / "page"))
    assert not (tmp_path / "page").exists()


def test_an_older_run_is_taken_and_that_is_said(codesign: Run, pruned: Callable[[str], Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(pruned("bert"), run, ignore=shutil.ignore_patterns("design"))
    forget(run)
    told = codesign("quantize", run, "--calibration", 64)
    assert told.code == 0, told.err
    assert "an older version wrote this run, without hashes" in told.out
    # The integer model's score goes into the run's results, and these are sealed from now on.
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["integer"] is not None
    written = metrics["checksum"]
    seal(metrics)
    assert metrics["checksum"] == written
    assert "files" not in json.loads((run / "design" / "metrics.json").read_text())
