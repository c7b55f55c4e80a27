"""How much of the search the planner saves: ``python -m benchmarks.planner``.

Plans BERT-base on every board, and on one of them also predicts every array of the search grid, as a planner without
bounds would have to. Prints seconds of this machine and the ratio of the two.
"""

from __future__ import annotations

import time

from codesign.boards import board_names, load_board
from codesign.models import parse_shape
from codesign.planning.plan import make_plan
from codesign.planning.search import every_design
from codesign.planning.work import Budget, BudgetKind, Work

BERT_BASE = "name=BERT-base,hidden=768,layers=12,ffn=3072,heads=12"


def main() -> None:
    """Measure and print."""
    work = Work(parse_shape(BERT_BASE))
    budgets = (
        Budget(),
        Budget(BudgetKind.COMPRESSION, 2.0),
        Budget(BudgetKind.COMPRESSION, 5.0),
        Budget(BudgetKind.LATENCY, 5.0),
    )
    longest = 0.0
    for name in board_names():
        board = load_board(name)
        seconds = []
        for budget in budgets:
            start = time.perf_counter()
            make_plan(board, work, budget)
            seconds.append(time.perf_counter() - start)
        longest = max(longest, *seconds)
        print(f"{name:12s} " + "  ".join(f"{budget}: {s:.2f} s" for budget, s in zip(budgets, seconds, strict=True)))
    print(f"longest plan: {longest:.2f} s")

    board = load_board("ultra96-v2")
    start = time.perf_counter()
    make_plan(board, work)
    planned = time.perf_counter() - start
    start = time.perf_counter()
    count = sum(1 for _ in every_design(board, work, 1.0))
    exhausted = time.perf_counter() - start
    print(
        f"{board.name}: {count} designs one by one {exhausted:.2f} s, planned {planned:.2f} s, "
        f"ratio {exhausted / planned:.1f}"
    )


if __name__ == "__main__":
    main()
