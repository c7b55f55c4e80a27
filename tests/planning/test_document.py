from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from codesign.boards import load_board
from codesign.errors import InputError
from codesign.files import to_yaml
from codesign.models import EMBEDDED_DEFAULT
from codesign.outputs import MARKER, PLAN, claim
from codesign.planning import load_plan, plan_document, write_plan
from codesign.planning.document import FORMAT
from codesign.planning.plan import Plan, make_plan
from codesign.planning.work import Budget, BudgetKind, Work


def written(plan: Plan, folder: Path, seed: int = 0) -> list[Path]:
    with claim(folder, PLAN) as output:
        return write_plan(plan, output, seed)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(load_board("zcu104"), Work(EMBEDDED_DEFAULT), Budget(BudgetKind.COMPRESSION, 2.0))


def test_plan_json_has_the_fields_that_others_rely_on(plan: Plan, tmp_path: Path) -> None:
    written(plan, tmp_path, seed=3)
    content = json.loads((tmp_path / "plan.json").read_text())
    assert content["board"] == "zcu104"
    assert content["model"] == "embedded-default"
    assert content["seed"] == 3
    named = {"rows", "cols", "lanes", "weight_bits", "dsp_packing", "clock_mhz", "vector_width"}
    assert named <= content["accelerator"].keys()
    assert {"cycles", "latency_ms", "dsp", "lut", "ff", "bram18", "uram"} <= content["predicted"].keys()
    assert len(content["layers"]) == 12
    for layer in content["layers"]:
        assert {"name", "out_features", "in_features", "blocks", "nonzero_blocks"} <= layer.keys()
        assert {"predicted_cycles", "weight_memory"} <= layer.keys()
    predicted = content["predicted"]
    assert (predicted["cycles"], predicted["dense_cycles"]) == (plan.predicted.cycles, plan.predicted.dense_cycles)
    assert predicted["speedup"] == predicted["dense_cycles"] / predicted["cycles"]
    # What designs are compared by goes by another name, so that nobody takes one for the other.
    matrices = sum(layer["predicted_cycles"] for layer in content["layers"])
    assert matrices + content["beside_cycles"] == plan.chosen.estimated_cycles
    for other in (content["fastest"], *content["runners_up"]):
        assert {"estimated_cycles", "estimated_ms"} <= other.keys()
        assert not {"cycles", "latency_ms"} & other.keys()
    assert predicted["latency_ms"] == pytest.approx(predicted["cycles"] / content["accelerator"]["clock_mhz"] / 1e3)
    for name in ("dsp", "lut", "ff", "bram18", "uram"):
        assert predicted[name] == sum(unit[name] for unit in content["resources_by_unit"].values())
    # plan.yaml says the same.
    assert yaml.safe_load((tmp_path / "plan.yaml").read_text()) == content


def test_a_plan_comes_back_as_it_went(plan: Plan, tmp_path: Path) -> None:
    written(plan, tmp_path, seed=3)
    document = plan_document(plan, seed=3)
    assert load_plan(tmp_path) == load_plan(tmp_path / "plan.yaml") == document
    assert load_plan(tmp_path).accelerator == plan.chosen.accelerator
    assert load_plan(tmp_path).layers == plan.chosen.layers


def test_a_plan_of_before_is_refused_in_one_line(plan: Plan, tmp_path: Path) -> None:
    """Its cycles and resources were the matrices' alone."""
    written(plan, tmp_path)
    text = (tmp_path / "plan.yaml").read_text()
    (tmp_path / "plan.yaml").write_text(text.replace(f"format: {FORMAT}", "format: codesign-plan-1\nolder: 1"))
    with pytest.raises(InputError) as caught:
        load_plan(tmp_path)
    told = str(caught.value)
    assert "plan.yaml: format: of another format version (got 'codesign-plan-1')" in told
    assert "accepted: codesign-plan-2: run codesign plan again" in told


def test_the_same_plan_gives_the_same_bytes(plan: Plan, tmp_path: Path) -> None:
    again = make_plan(plan.board, plan.work, plan.budget)
    for one, two in zip(written(plan, tmp_path / "a"), written(again, tmp_path / "b"), strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [MARKER, "plan.json", "plan.png", "plan.yaml"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"format: {FORMAT}", "format: codesign-plan-9", r"plan\.yaml: format: .*'codesign-plan-9'"),
        ("  rows: ", "  rows: -", r"plan\.yaml: accelerator\.rows: not accepted .*a positive integer"),
        ("board: zcu104\n", "", r"plan\.yaml: board: this field is missing"),
        ("board: zcu104\n", "board: zcu104\nextra: 1\n", r"plan\.yaml: extra: unknown field"),
        ("  lanes: ", "  lines: ", r"plan\.yaml: accelerator\.lines: unknown field .*accepted: rows, cols, lanes"),
    ],
)
def test_a_damaged_plan_is_refused(plan: Plan, tmp_path: Path, old: str, new: str, message: str) -> None:
    written(plan, tmp_path)
    path = tmp_path / "plan.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        load_plan(path)


def test_a_missing_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plan\.yaml: no such file"):
        load_plan(tmp_path)


def test_names_in_a_plan_are_names(plan: Plan, tmp_path: Path) -> None:
    """They end up in Tcl, make and comments of C++."""
    content = plan_document(plan).model_dump(mode="json")
    for field, value in (("part", 'x"; exec rm; "'), ("board", "a/b"), ("model", "a*/"), ("model", "a\nb")):
        (tmp_path / "plan.yaml").write_text(to_yaml(content | {field: value}))
        with pytest.raises(InputError, match=rf"plan\.yaml: {field}: not a "):
            load_plan(tmp_path)
    # Its matrices are those of its shape, by name and side.
    for number, field, value in ((0, "name", 'q";'), (4, "out_features", 7), (4, "activation", False)):
        layers = [dict(layer) for layer in content["layers"]]
        layers[number][field] = value
        (tmp_path / "plan.yaml").write_text(to_yaml(content | {"layers": layers}))
        with pytest.raises(InputError, match=rf"layers\.{number}\.{field}: not the matrix of the shape"):
            load_plan(tmp_path)
    (tmp_path / "plan.yaml").write_text(to_yaml(content | {"layers": content["layers"][1:]}))
    with pytest.raises(
        InputError, match=r"layers: not the matrices of the shape \(got '11 matrices'\); accepted: 12"
    ):
        load_plan(tmp_path)
    (tmp_path / "plan.yaml").write_text(to_yaml(content))
    assert load_plan(tmp_path) == plan_document(plan)
