"""The page of plans that is shipped is what the planner says today."""

from __future__ import annotations

import pytest

from benchmarks.plans import BUDGETS, MODELS, ON_CHIP, RESULT, table_row
from codesign.boards import board_names, load_board
from codesign.models import parse_shape


@pytest.mark.parametrize("board", ["zcu104", "pynq-z2"])
def test_rows_are_not_stale(board: str) -> None:
    page = RESULT.read_text().splitlines()
    for model in MODELS:
        for budget in (*BUDGETS, ON_CHIP):
            assert table_row(load_board(board), parse_shape(model), budget) in page


def test_every_board_and_model_is_there() -> None:
    page = RESULT.read_text()
    for model in MODELS:
        name = parse_shape(model).name
        assert f"## {name} (" in page
        for board in board_names():
            assert f"**{name} on {board}**" in page
