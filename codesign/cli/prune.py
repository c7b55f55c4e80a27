"""``codesign prune``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codesign.cli import options
from codesign.cli.stopping import prune_stopped, stoppable
from codesign.errors import InputError
from codesign.pruning.settings import DENSE_EPOCHS, EMBEDDED, MOST_STEPS, Importance, Method, Settings, without_effect

if TYPE_CHECKING:
    from codesign.planning import PlanDocument

DEFAULT_COMPRESSION = 2.0
_MODEL, _PLAN, _HOW, _TRAINING, _RUN = "Model and data", "Plan", "How to prune", "Training", "Run"


_DEFAULTS = Settings()


def _setting(name: str, text: str, panel: str, default: str | None = None) -> Any:
    """An option of ``Settings``: None where it is not given, its default shown."""
    shown = str(getattr(_DEFAULTS, name)) if default is None else default
    return typer.Option(help=text, rich_help_panel=panel, show_default=shown)


def prune(
    context: typer.Context,
    board: options.Board,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Folder or hub name, with its tokenizer; a head with the task's classes, in any order, counts as"
            " fine-tuned. Default: a small BERT made here.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            "-t",
            help="cola, sst2, mrpc, qqp, stsb, mnli, qnli, rte, wnli; for own files: classification, regression.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder with train and dev (.tsv, .csv, .jsonl: sentence or sentence1, sentence2; label);"
            " default: GLUE from the hub.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    columns: options.Columns = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            help="Use this plan.yaml, and the budget in it, rather than planning now.", rich_help_panel="Plan"
        ),
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
    method: Annotated[
        str | None,
        _setting(
            "method",
            "lasso (reweighted group lasso), gradual (no penalty); baselines: magnitude (one cut), movement.",
            _HOW,
        ),
    ] = None,
    importance: Annotated[
        str | None,
        _setting(
            "importance",
            "What decides which blocks go: second-order (the loss that removal costs, other weights making up for it)"
            " or norm.",
            _HOW,
        ),
    ] = None,
    distill: Annotated[
        bool | None,
        typer.Option(
            "--distill/--no-distill",
            help="Learn from the dense model, or from the labels.",
            rich_help_panel=_HOW,
            show_default="distill",
        ),
    ] = None,
    hidden: Annotated[float | None, _setting("hidden", "Weight of hidden states in distillation.", _HOW)] = None,
    rounds: Annotated[int | None, _setting("rounds", "Rounds of pruning; 1 prunes once.", _HOW)] = None,
    strength: Annotated[
        float | None, _setting("strength", "Factor on λ, which follows from the budget.", _HOW)
    ] = None,
    floor: Annotated[
        float | None, _setting("floor", "Part of each matrix's blocks that stays at least.", _HOW)
    ] = None,
    balance: Annotated[
        int | None, _setting("balance", "Most blocks by which block rows of a matrix may differ.", _HOW, "any")
    ] = None,
    dense_epochs: Annotated[
        float | None,
        _setting("dense_epochs", "Dense fine-tuning.", _TRAINING, f"{DENSE_EPOCHS:g}; 0 for a fine-tuned model"),
    ] = None,
    sparse_epochs: Annotated[float | None, _setting("sparse_epochs", "Epochs while pruning.", _TRAINING)] = None,
    retrain_epochs: Annotated[float | None, _setting("retrain_epochs", "Epochs with fixed masks.", _TRAINING)] = None,
    dense_learning_rate: Annotated[
        float | None, _setting("dense_learning_rate", "Of dense fine-tuning.", _TRAINING)
    ] = None,
    learning_rate: Annotated[float | None, _setting("learning_rate", "Of both later phases.", _TRAINING)] = None,
    batch_size: Annotated[int | None, _setting("batch_size", "Sentences per process and step.", _TRAINING)] = None,
    calibration: Annotated[
        int | None, _setting("calibration", "Sentences that the curvature is measured on.", _TRAINING)
    ] = None,
    precision: Annotated[
        str | None, _setting("precision", "auto (bfloat16 where hardware has it), bf16, fp32.", _TRAINING)
    ] = None,
    patience: Annotated[
        int | None,
        _setting(
            "patience",
            "Stop fine-tuning or retraining after so many epochs without a better metric and keep the best; 0 never.",
            _TRAINING,
        ),
    ] = None,
    limit: Annotated[
        int | None, _setting("limit", "Use only so many training sentences, drawn by the seed.", _TRAINING, "all")
    ] = None,
    seed: Annotated[int | None, _setting("seed", "Of everything drawn.", _RUN)] = None,
    output_dir: options.OutputDir = Path("build/prune"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the unfinished run in the folder.", rich_help_panel=_RUN)
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace a finished run in the folder, or discard an unfinished one.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    save_steps: Annotated[
        int | None, _setting("save_steps", "Steps between checkpoints.", _RUN, f"an epoch's, at most {MOST_STEPS}")
    ] = None,
    quantize: Annotated[
        bool,
        typer.Option(
            "--quantize/--no-quantize",
            help="Whether to make the design folder (OUTPUT_DIR/design) at the end, as codesign quantize does.",
            rich_help_panel=_RUN,
        ),
    ] = True,
    keep_work: Annotated[
        bool, typer.Option("--keep-work", help="Leave the phases' checkpoints when done.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Prune a model in blocks of the planned array while it is fine-tuned on a task.

    Plans the array first (or reads --plan), fine-tunes the model, makes whole blocks of its weights vanish until the
    budget is met (default: 2× compression), retrains what is left, and writes checkpoint, masks, plan.yaml,
    metrics.json and blocks.png, then the integer design (design/, see codesign quantize --help). A killed run goes on
    with the same command and --resume, and so does one that Ctrl-C stopped. Several processes:
    accelerate launch --multi_gpu --num_processes 2 -m codesign prune … (on CPUs too).

    With neither --model nor --task: a small BERT made and trained here, offline, in a minute or two.

    Example:

        codesign prune --board zcu104 --model bert-base-uncased --task sst2 --compression 2
    """
    settings = {
        name: value
        for name, value in {
            "method": method,
            "importance": importance,
            "distill": distill,
            "hidden": hidden,
            "rounds": rounds,
            "strength": strength,
            "floor": floor,
            "balance": balance,
            "dense_epochs": dense_epochs,
            "sparse_epochs": sparse_epochs,
            "retrain_epochs": retrain_epochs,
            "dense_learning_rate": dense_learning_rate,
            "learning_rate": learning_rate,
            "batch_size": batch_size,
            "calibration": calibration,
            "precision": precision,
            "patience": patience,
            "limit": limit,
            "seed": seed,
            "save_steps": save_steps,
        }.items()
        if value is not None
    }
    if (model is None) != (task is None):
        missing = "--task" if task is None else "--model"
        raise InputError(f"{missing} is needed too", accepted="both, or neither for the embedded default")
    if task is None and (data_dir is not None or columns is not None):
        raise InputError(
            "the embedded default makes its own data",
            field="--columns" if data_dir is None else "--data-dir",
            accepted="with --model and --task",
        )
    if resume and overwrite:
        raise InputError("give --resume or --overwrite, not both")
    budget = options.budget_of(latency_ms, compression, fit)
    groups, given_block = options.granularity_of(granularity), options.block_of(block)
    checked, given_columns = _settings(settings, embedded=model is None), options.columns_of(columns)

    # Nothing heavy before what was given has been looked at.
    from codesign.boards import load_board
    from codesign.models import EMBEDDED_DEFAULT, load_shape
    from codesign.outputs import RUN, check_output
    from codesign.planning import load_plan, plan_document
    from codesign.planning.plan import make_plan
    from codesign.planning.work import Budget, BudgetKind, Work
    from codesign.report.console import asking, console, say, tracked
    from codesign.tasks.task import find_task

    read = tuple(options.given_paths(plan, board))
    inputs = options.given_paths(model, data_dir, *read)
    if int(os.environ.get("RANK", "0")) == 0:
        check_output(output_dir, RUN, inputs=inputs, overwrite=overwrite, resume=resume)
    found_task = find_task(task) if task else None
    loaded = load_board(board)
    if plan is not None:
        _check_nothing_else_planned(context)
        document = load_plan(plan)
        _check_board(document, loaded.name, plan)
    else:
        if budget.kind is BudgetKind.DENSE:
            budget = Budget(BudgetKind.COMPRESSION, DEFAULT_COMPRESSION)
        with asking(model):
            shape = load_shape(model, tokens) if model else EMBEDDED_DEFAULT
        work = Work(shape, tokens, batch, weight_bits, groups, clock_mhz, given_block)
        document = plan_document(make_plan(loaded, work, budget, tracked), seed or 0)

    main_process = int(os.environ.get("RANK", "0")) == 0
    if main_process:
        if model is None:
            console().print(
                "No model given: a small BERT is made here and trained on sentences made by rule (is the next verb"
                " singular or plural?).\nA real run: --model bert-base-uncased --task sst2, or local folders with"
                " --data-dir.",
                highlight=False,
            )
        console().print(
            f"plan: array {document.accelerator.shape} on {document.board}, budget {document.budget}", highlight=False
        )
        if document.budget.kind is BudgetKind.DENSE:
            console().print("the plan has no budget: nothing will be pruned (codesign plan --compression 2 …)")
        widest = max(-(-layer.in_features // document.accelerator.cols) for layer in document.layers)
        for line in without_effect(checked, settings, widest):
            say(line)
    # Imported here: torch and transformers take seconds.
    from codesign.pruning.budget import Hardware
    from codesign.pruning.prune import prune as run_prune
    from codesign.pruning.run import Request
    from codesign.report.prune_text import prune_text

    request = Request(
        model=model,
        task=found_task,
        data_dir=data_dir,
        hardware=Hardware(document, loaded),
        settings=checked,
        output=output_dir,
        resume=resume,
        overwrite=overwrite,
        keep_work=keep_work,
        columns=given_columns,
        read=read,
    )
    with stoppable(lambda: prune_stopped(output_dir)):
        outcome = run_prune(request)
    if main_process:
        for part in prune_text(outcome, output_dir):
            console().print(part, highlight=False, soft_wrap=True)
    if quantize and outcome.processes > 1:
        if main_process:
            say(f"next: codesign quantize {output_dir}")
    elif quantize:
        from codesign.quantisation.quantise import Choices
        from codesign.quantisation.quantise import Request as QuantiseRequest
        from codesign.quantisation.quantise import quantise as run_quantise
        from codesign.report.quantise_text import quantise_text

        choices = Choices(batch_size=checked.batch_size, precision=checked.precision, seed=checked.seed)
        design = output_dir / "design"
        console().print("", "quantising", sep="\n", highlight=False)
        again = f"codesign quantize {output_dir}"
        with stoppable(lambda: f"while quantising; the pruned model is whole, to go on from it: {again}"):
            made = run_quantise(QuantiseRequest(output_dir, loaded, design, data_dir, choices, given_columns))
        for part in quantise_text(made, design):
            console().print(part, highlight=False, soft_wrap=True)


_PLANNED = ("tokens", "batch", "latency_ms", "compression", "fit", "weight_bits", "granularity", "block", "clock_mhz")


def _check_nothing_else_planned(context: typer.Context) -> None:
    for name in _PLANNED:
        if options.given_in(context, name):
            option = "--" + name.replace("_", "-")
            raise InputError("the plan decides that", field=option, accepted=f"--plan, or {option}")


def _check_board(document: PlanDocument, board: str, plan: Path) -> None:
    if document.board != board:
        raise InputError(
            "the plan is for another board", file=plan, field="board", value=document.board, accepted=board
        )


def _settings(given: dict[str, Any], *, embedded: bool) -> Settings:
    for name, kind in (("method", Method), ("importance", Importance)):
        if name in given:
            if given[name] not in list(kind):
                raise InputError("not accepted", field=f"--{name}", value=given[name], accepted=", ".join(kind))
            given[name] = kind(given[name])
    return Settings(**({**EMBEDDED, **given} if embedded else given))
