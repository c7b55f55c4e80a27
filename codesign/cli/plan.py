"""``codesign plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.errors import InputError

if TYPE_CHECKING:
    from codesign.hardware.work import Budget


def plan(
    board: Annotated[str, typer.Option("--board", "-b", help="Board name or YAML file.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Folder with a config.json, or a hub name. No weights needed."),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(help="Instead of a model: hidden=384,layers=6,ffn=1536,heads=12 [,family=bert] [,name=…]."),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Tokens of a sentence.")] = 128,
    batch: Annotated[int, typer.Option(help="Sentences worked on together.")] = 1,
    latency_ms: Annotated[
        float | None, typer.Option(help="Budget: prune until a batch takes at most this long.")
    ] = None,
    compression: Annotated[
        float | None, typer.Option(help="Budget: all over remaining weights of the encoder's matrices.")
    ] = None,
    fit: Annotated[
        str | None, typer.Option(help="Budget: 'on-chip', prune until no weight needs external memory.")
    ] = None,
    weight_bits: Annotated[int, typer.Option(help="8 or 4.")] = 8,
    granularity: Annotated[
        str, typer.Option(help="Groups of the pruner: block (R×C), column (R×1) or row (1×C).")
    ] = "block",
    clock_mhz: Annotated[float | None, typer.Option(help="Clock of the array; default: the board's.")] = None,
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Folder to write to.")] = Path("build/plan"),
    seed: Annotated[
        int,
        typer.Option(help="Passed on in plan.yaml to the steps that draw random numbers; planning draws none."),
    ] = 0,
) -> None:
    """Choose the PE array, and with it the block shape of the pruner, for a model on a board.

    Searches arrays of R×C×L multipliers, places weights in block RAM, URAM or external memory, and picks by
    predicted latency under the budget; near ties go to the smaller block. At most one budget; none plans the dense
    model. Writes plan.yaml, plan.json and plan.png. Without --model or --shape: the small BERT that codesign makes
    itself.

    Example:

        codesign plan --board zcu104 --shape hidden=768,layers=12,ffn=3072,heads=12 --compression 2
    """
    from codesign.boards import load_board
    from codesign.hardware.plan import make_plan
    from codesign.hardware.work import Granularity, Work
    from codesign.models import EMBEDDED_DEFAULT, load_shape, parse_shape
    from codesign.planning import write_plan
    from codesign.report.console import console
    from codesign.report.plan_text import plan_text

    if model is not None and shape is not None:
        raise InputError("give --model or --shape, not both", field="--shape", value=shape)
    budget = _budget(latency_ms, compression, fit)
    if granularity not in list(Granularity):
        raise InputError("not accepted", field="--granularity", value=granularity, accepted=", ".join(Granularity))
    loaded = load_board(board)
    encoder = load_shape(model) if model else parse_shape(shape) if shape else EMBEDDED_DEFAULT
    if encoder is EMBEDDED_DEFAULT:
        console().print(
            "[dim]No model given: planning for the small BERT that codesign makes itself"
            " (--model or --shape for another).[/dim]"
        )
    work = Work(encoder, tokens, batch, weight_bits, Granularity(granularity), clock_mhz)
    result = make_plan(loaded, work, budget)
    for part in plan_text(result):
        console().print(part)
    for path in write_plan(result, output_dir, seed):
        console().print(f"wrote {path}", highlight=False, soft_wrap=True)


def _budget(latency_ms: float | None, compression: float | None, fit: str | None) -> Budget:
    from codesign.hardware.work import Budget, BudgetKind

    given = [
        name
        for name, value in (("--latency-ms", latency_ms), ("--compression", compression), ("--fit", fit))
        if value is not None
    ]
    if len(given) > 1:
        raise InputError(f"give one budget, not {len(given)}", value=" ".join(given))
    if latency_ms is not None:
        return Budget(BudgetKind.LATENCY, latency_ms)
    if compression is not None:
        return Budget(BudgetKind.COMPRESSION, compression)
    if fit is not None:
        if fit != "on-chip":
            raise InputError("not accepted", field="--fit", value=fit, accepted="on-chip")
        return Budget(BudgetKind.ON_CHIP)
    return Budget()
