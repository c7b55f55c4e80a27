"""Plans for three models on every board: ``python -m benchmarks.plans`` writes docs/results/plans.md."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterator
from pathlib import Path

from joblib import Parallel, delayed

import codesign
from codesign.boards import Board, board_names, load_board
from codesign.errors import InputError
from codesign.files import write_text
from codesign.hardware.predict import tightest
from codesign.models import EncoderShape, parse_shape
from codesign.planning.plan import Plan, make_plan
from codesign.planning.work import Budget, BudgetKind, Work
from codesign.report.plan_text import reasons

RESULT = Path(__file__).parents[1] / "docs" / "results" / "plans.md"

MODELS = (
    "name=BERT-base,hidden=768,layers=12,ffn=3072,heads=12",
    "name=DistilBERT,family=distilbert,hidden=768,layers=6,ffn=3072,heads=12",
    "name=BERT-L6-H384,hidden=384,layers=6,ffn=1536,heads=12",
)
BUDGETS = (Budget(), Budget(BudgetKind.COMPRESSION, 2.0), Budget(BudgetKind.COMPRESSION, 5.0))
ON_CHIP = Budget(BudgetKind.ON_CHIP)

_HEADER = (
    "| board | budget | array R×C×L | Q | V | kept | ms | cycles | speed-up | over dense | DSP | LUT | BRAM18 | URAM "
    "| weights in | binds | bound by |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Plan everything and write the page."""
    boards = [load_board(name) for name in board_names()]
    write_text(RESULT, "\n".join(_page(boards)) + "\n")
    print(f"wrote {RESULT}")


def _page(boards: list[Board]) -> Iterator[str]:
    yield "# Plans for three models on eight boards"
    yield ""
    yield (
        f"Written by `python -m benchmarks.plans` on {datetime.date.today().isoformat()} "
        f"(codesign {codesign.__version__}, Python {platform.python_version()}; planning draws no random numbers)."
    )
    yield ""
    yield (
        "All figures are predictions of the hardware model: no board, no Vitis and no simulation stands behind them. "
        "One sentence of 128 tokens, int8, the board's default clock. Cycles are those of the whole encoder, "
        "embeddings in, last layer out, with the blocks of every matrix spread evenly; speed-up is over the dense "
        "encoder on the same array, and over the best dense plan for the board. Tokenizer, embeddings, pooler and "
        "classifier are outside. Q: cycles in which a token group is requantised. V: features of all lanes that the "
        "vector unit takes per cycle. Kept: nonzero over all blocks. Binds: the resource of which most of the usable "
        "part is taken. Where no array holds a sentence, the row says how long one may be."
    )
    for text in MODELS:
        shape = parse_shape(text)
        yield ""
        yield f"## {shape.name} ({shape.layers} layers, {shape.hidden} wide, {shape.ffn} feed-forward)"
        yield ""
        yield _HEADER
        for rows in Parallel(n_jobs=-1)(delayed(table_rows)(board, shape) for board in boards):
            yield from rows
    yield ""
    yield "## Why: the planner's own words, at 2× compression"
    for text in MODELS:
        shape = parse_shape(text)
        for board in boards:
            yield ""
            yield f"**{shape.name} on {board.name}**"
            yield ""
            try:
                yield from (f"- {reason}" for reason in reasons(make_plan(board, Work(shape), BUDGETS[1])))
            except InputError as error:
                yield f"- {error}"


def table_rows(board: Board, shape: EncoderShape) -> list[str]:
    """The lines of a model on a board, one for each budget."""
    rows: list[str] = []
    dense: Plan | None = None
    for budget in (*BUDGETS, ON_CHIP):
        try:
            plan = make_plan(board, Work(shape), budget)
        except InputError as error:
            said = f"{error.problem}; {error.accepted}" if error.field == "--tokens" else error.problem
            rows.append(f"| {board.name} | {budget} | {said} " + "| " * 14 + "|")
            continue
        dense = dense or plan  # the first budget is none
        rows.append(_cells(plan, dense))
    return rows


def _cells(plan: Plan, dense: Plan) -> str:
    chosen, accelerator = plan.chosen, plan.chosen.accelerator
    used = chosen.resources
    places: dict[str, int] = {}
    for layer in chosen.layers:
        places[layer.weight_memory.value.upper()] = places.get(layer.weight_memory.value.upper(), 0) + 1
    cells = (
        plan.board.name,
        str(plan.budget),
        accelerator.shape,
        str(accelerator.requant_interval),
        str(accelerator.vector_rows),
        f"{chosen.density:.1%}",
        f"{plan.predicted.latency_ms:.3f}",
        f"{plan.predicted.cycles:,}",
        f"{plan.predicted.speedup:.2f}×",
        f"{dense.predicted.cycles / plan.predicted.cycles:.2f}×",
        *(f"{n:,}" for n in (used.dsp, used.lut, used.bram18, used.uram)),
        ", ".join(f"{count} {place}" for place, count in sorted(places.items())),
        tightest(chosen.resources, plan.board)[0].upper(),
        ", ".join(sorted({layer.bound for layer in chosen.layers})),
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
