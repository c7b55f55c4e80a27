"""The pages that are shipped are what the planner and the hardware model say today."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import engine, glue
from benchmarks.plans import MODELS, RESULT, table_rows
from codesign.boards import board_names, load_board
from codesign.models import parse_shape


@pytest.mark.parametrize(("board", "models"), [("zcu104", MODELS[-1:]), ("pynq-z2", MODELS)])
def test_rows_are_not_stale(board: str, models: tuple[str, ...]) -> None:
    """Every model on a small board; on a larger one, where plans take longer, the least."""
    page = RESULT.read_text().splitlines()
    for model in models:
        for row in table_rows(load_board(board), parse_shape(model)):
            assert row in page


def test_every_board_and_model_is_there() -> None:
    page = RESULT.read_text()
    for model in MODELS:
        name = parse_shape(model).name
        assert f"## {name} (" in page
        for board in board_names():
            assert f"**{name} on {board}**" in page


@pytest.mark.parametrize("case", engine.CASES, ids=lambda case: f"{case.accelerator.shape}, {case.weights}")
def test_the_engines_cycles_are_those_of_the_model(case: engine.Case) -> None:
    """What was counted in simulation is what the model predicts of the same design today, and enough."""
    run, _ = engine.case_run(case)
    predicted = run.predicted()
    page = engine.RESULT.read_text().splitlines()
    cells = engine.exact_cells(case, run, predicted, predicted[-1].sent, predicted[-1].sent)
    (row,) = (line for line in page if line.startswith(cells))
    assert row.removeprefix(cells).startswith(" 0 of ")
    one, eight = engine.utilisations(case, run, predicted)
    if case.ports:
        assert one >= 0.97
    else:
        assert one >= 0.99
        assert eight >= 0.97


def test_the_page_of_the_whole_chain_says_what_its_data_say() -> None:
    content = glue.read_page()
    assert content is not None
    assert glue.RESULT.read_text().splitlines() == list(glue.lines(content))
    assert len({(row.task, row.compression) for row in content.rows}) == len(content.rows)


def test_a_page_of_another_model_or_board_starts_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(glue, "RUNS", tmp_path)
    content = glue.read_page()
    assert content is not None
    assert glue.gather(content.model, content.board) == content
    for other in (("another", content.board), (content.model, "kv260")):
        assert glue.gather(*other) == glue.Page(*other, [], {})


@pytest.mark.parametrize(("name", "expected"), [("MiniLM-L6-H384", ["2.5-long"]), ("another", ["2.5", "2.5-long"])])
def test_another_way_of_pruning_has_the_first_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, expected: list[str]
) -> None:
    pruned: list[str] = []
    monkeypatch.setattr(glue, "RUNS", tmp_path)
    monkeypatch.setattr(glue, "prune", lambda folder, options: pruned.append(folder.name))
    monkeypatch.setattr(glue, "codesign", lambda *arguments: None)
    monkeypatch.setattr(glue, "write_page", lambda *page: None)
    monkeypatch.setattr("sys.argv", ["glue", "--model", "M", "--data-dir", "D", "--name", name, "--way", "long"])
    glue.main()
    assert [run for run in pruned if run != name] == expected
