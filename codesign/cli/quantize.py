"""``codesign quantize``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli import options
from codesign.cli.options import Columns, columns_of, given_in
from codesign.cli.stopping import stoppable
from codesign.errors import InputError
from codesign.seeds import check_seed


def quantize(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="Folder that codesign prune wrote.", show_default=False)],
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", "-o", help="Design folder to write.", show_default="RUN/design"),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the task's files, where they have moved since.",
            show_default="where they were when pruning",
        ),
    ] = None,
    columns: Columns = None,
    board: Annotated[
        str | None,
        typer.Option(
            "--board", "-b", help="Board name or YAML file, the plan's.", show_default="the plan's, by name"
        ),
    ] = None,
    weight_bits: Annotated[
        int | None, typer.Option(help="8, or 4 with a short fine-tuning.", show_default="the plan's")
    ] = None,
    ranges: Annotated[str, typer.Option(help="How activation ranges are chosen: max, percentile or mse.")] = "mse",
    calibration: Annotated[int, typer.Option(help="Training sentences that they are chosen on.")] = 512,
    epochs: Annotated[
        float | None,
        typer.Option(help="Fine-tuning with rounded weights.", show_default="3 with 4 bits, 0 with 8"),
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Of that fine-tuning.")] = 5e-5,
    batch_size: Annotated[int, typer.Option(help="Sentences per step of that fine-tuning.")] = 32,
    precision: Annotated[str, typer.Option(help="Of that fine-tuning: auto, bf16 or fp32.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of everything drawn.", callback=check_seed)] = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """Make a pruned model integer and write its design folder: all that the hardware needs.

    Chooses the scales on training sentences, folds them into integer constants, scores the integer model, packs the
    kept blocks, and writes design.yaml, weights.safetensors and the memory images. codesign prune does this at its
    end; this command does it again with other choices. A killed fine-tuning goes on with the same command.

    Example:

        codesign quantize build/prune --ranges max -o build/design-max
    """
    # Nothing heavy before what was given has been looked at.
    from codesign.boards import board_of
    from codesign.design.folder import check_is_run
    from codesign.outputs import DESIGN, check_output
    from codesign.planning import load_plan
    from codesign.report.console import console
    from codesign.report.quantise_text import quantise_text

    check_is_run(run)
    output = output_dir or run / "design"
    inputs = options.given_paths(run, data_dir, board)
    check_output(output, DESIGN, inputs=inputs, overwrite=overwrite)
    plan = load_plan(run)
    loaded = board_of(plan.board, board, run / "plan.yaml")
    if loaded.name != plan.board:
        raise InputError("the plan is for another board", field="--board", value=loaded.name, accepted=plan.board)

    from codesign.quantisation.quantise import Choices, Request, quantise
    from codesign.quantisation.ranges import RangeChoice

    if ranges not in list(RangeChoice):
        raise InputError("not accepted", field="--ranges", value=ranges, accepted=", ".join(RangeChoice))
    choices = Choices(
        weight_bits=weight_bits,
        ranges=RangeChoice(ranges),
        calibration=calibration,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        precision=precision,
        seed=seed,
    )
    given_columns = columns_of(columns)
    if choices.trained_epochs(weight_bits or plan.accelerator.weight_bits) == 0:
        names = ("learning_rate", "batch_size", "precision")
        given = ["--" + n.replace("_", "-") for n in names if given_in(context, n)]
        if given:
            console().print(f"no effect: {', '.join(given)} (nothing is fine-tuned: --epochs)", highlight=False)
    read = tuple(options.given_paths(board))
    with stoppable(lambda: _stopped(output)):
        outcome = quantise(Request(run, loaded, output, data_dir, choices, given_columns, overwrite, read))
    for part in quantise_text(outcome, output):
        console().print(part, highlight=False, soft_wrap=True)


def _stopped(output: Path) -> str:
    from codesign.outputs import DESIGN
    from codesign.pruning.progress import complete_checkpoints

    found = complete_checkpoints(output / str(DESIGN.scratch))
    if found:
        return f"while fine-tuning; the same command goes on from {found[-1]}"
    return f"before {output} was written; the same command begins anew"
