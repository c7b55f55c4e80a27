"""``codesign plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli import options
from codesign.errors import InputError
from codesign.seeds import check_seed


def plan(
    board: options.Board,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Folder with a config.json, or a hub name. No weights needed."),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(help="Instead of a model: hidden=384,layers=6,ffn=1536,heads=12 [,family=bert] [,name=…]."),
    ] = None,
    tokens: options.Tokens = 128,
    batch: options.Batch = 1,
    latency_ms: options.LatencyMs = None,
    compression: options.Compression = None,
    fit: options.Fit = None,
    weight_bits: options.WeightBits = 8,
    granularity: options.GranularityName = "block",
    block: options.BlockShape = None,
    clock_mhz: options.ClockMhz = None,
    output_dir: options.OutputDir = Path("build/plan"),
    overwrite: options.Overwrite = False,
    seed: Annotated[
        int,
        typer.Option(
            help="Passed on in plan.yaml to the steps that draw random numbers; planning draws none.",
            callback=check_seed,
        ),
    ] = 0,
) -> None:
    """Choose the PE array, and with it the block shape of the pruner, for a model on a board.

    Searches arrays of R×C×L multipliers and vector units beside them, places weights in block RAM, URAM or external
    memory, and picks the fastest under the budget; near ties go to the smaller block. What is predicted of the
    choice, and held against --latency-ms, are whole sentences, from embeddings in to the last layer out, with the
    blocks of every matrix spread evenly. At most one budget; none plans the dense model. Writes plan.yaml, plan.json
    and plan.png. Without --model or --shape: the small BERT that codesign makes itself.

    Example:

        codesign plan --board zcu104 --shape hidden=768,layers=12,ffn=3072,heads=12 --compression 2
    """
    from codesign.boards import load_board
    from codesign.models import EMBEDDED_DEFAULT, load_shape, parse_shape
    from codesign.outputs import PLAN, claim
    from codesign.planning import write_plan
    from codesign.planning.plan import make_plan
    from codesign.planning.work import Work
    from codesign.report.console import asking, console, say, tracked
    from codesign.report.plan_text import plan_text

    if model is not None and shape is not None:
        raise InputError("give --model or --shape, not both", field="--shape", value=shape)
    budget = options.budget_of(latency_ms, compression, fit)
    groups, given_block = options.granularity_of(granularity), options.block_of(block)
    loaded = load_board(board)
    if model:
        with asking(model):
            encoder = load_shape(model, tokens)
    else:
        encoder = parse_shape(shape) if shape else EMBEDDED_DEFAULT
    if encoder is EMBEDDED_DEFAULT:
        console().print(
            "[dim]No model given: planning for the small BERT that codesign makes itself"
            " (--model or --shape for another).[/dim]"
        )
    work = Work(encoder, tokens, batch, weight_bits, groups, clock_mhz, given_block)
    with claim(output_dir, PLAN, inputs=options.given_paths(board, model), overwrite=overwrite) as output:
        result = make_plan(loaded, work, budget, tracked)
        for part in plan_text(result):
            console().print(part)
        for path in write_plan(result, output, seed):
            say(f"wrote {path}")
