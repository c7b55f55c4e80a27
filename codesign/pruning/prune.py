"""The prune step, from a request to results: load, train and prune in phases, evaluate, write."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import torch
from accelerate import PartialState
from datasets import disable_progress_bars
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from codesign.errors import InputError
from codesign.files import disk_reason, is_disk_error
from codesign.outputs import RUN, Output, claim
from codesign.planning import PlanDocument
from codesign.pruning.fingerprint import model_sha256
from codesign.pruning.model import Classifier, load_classifier, make_embedded
from codesign.pruning.outcome import Outcome, write_outcome
from codesign.pruning.phases import cut_once, fine_tune, phase_seconds, retrain, sparsify
from codesign.pruning.record import WORK, Asked, open_run
from codesign.pruning.rounds import check_budget
from codesign.pruning.run import Request, Run
from codesign.pruning.settings import Method
from codesign.pruning.training import use_bf16
from codesign.pruning.understood import check_understood
from codesign.pruning.units import restore_, standardise_
from codesign.report.console import say_left, tracked
from codesign.tasks.agreement import AGREEMENT, agreement_data
from codesign.tasks.data import cut_text, drawn, load_data, tokenised, unknown_text
from codesign.tasks.evaluate import Scores, predict, scores_of, scores_text
from codesign.tasks.files import Split
from codesign.tasks.values import unit_of


def prune(request: Request) -> Outcome:
    """Prune a model to its plan's budget and write the results.

    Raises:
        InputError: Of anything wrong in what was given, before or while it is used; of a disk that is full.
    """
    state = PartialState(cpu=not torch.cuda.is_available())
    try:
        with ExitStack() as stack:
            output = None
            with state.main_process_first():
                if state.is_main_process:
                    output = stack.enter_context(
                        claim(
                            request.output,
                            RUN,
                            inputs=request.inputs,
                            overwrite=request.overwrite,
                            resume=request.resume,
                        )
                    )
            return _prune(request, state, output)
    except InputError:
        raise
    except Exception as error:
        if is_disk_error(error):
            raise InputError(
                f"cannot be written: {disk_reason(error)}",
                file=request.output,
                accepted="free the disk, then the same command with --resume",
            ) from error
        raise


def _prune(request: Request, state: PartialState, output: Output | None) -> Outcome:
    """``output`` is the main process's; the others write nothing."""
    began = time.time()
    settings = request.settings
    bf16, why = use_bf16(settings.precision)
    check_budget(request.hardware, settings)
    # Their bars for saving and loading, a line each, would hide what this program says.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    data = (
        agreement_data(settings.seed)
        if request.model is None
        else load_data(request.task or AGREEMENT, request.data_dir, request.columns)
    )
    tokens = request.hardware.plan.tokens
    if request.model is None:
        sentences = (text for (text,) in data.splits["train"].sentences)
        start = make_embedded(sentences, data.task, tokens, settings.seed)
    else:
        start = load_classifier(request.model, data.task, tokens, settings.seed)
    _check_plan(request.hardware.plan, start)
    check_understood(start, data, tokens)
    train = drawn(data.splits["train"], settings.limit, settings.seed)
    splits = {**data.splits, "train": train}
    datasets = {name: tokenised(part, start.tokenizer, tokens) for name, part in splits.items()}
    cut = [cut_text(name, part, datasets[name], start.tokenizer, tokens) for name, part in splits.items()]
    cut += [unknown_text(name, part, start.tokenizer, data.source) for name, part in datasets.items()]
    unit = unit_of(train.labels, data.source) if data.task.regression else None
    sha256 = {"data": data.sha256, "model": model_sha256(request.model, start.model)}
    with state.main_process_first():
        if output:
            asked = Asked(
                _whole(request.model) if request.model else start.shape.name,
                data.task.name,
                data.source,
                request.hardware.plan,
                settings,
                data.columns,
                sha256,
            )
            open_run(output.scratch, asked, resume=request.resume)
    state.wait_for_everyone()
    if unit is not None:
        # Everything between loading and writing is in standard deviations from the mean.
        standard = {n: Split(part.sentences, unit.standardised(part.labels)) for n, part in splits.items()}
        datasets = {name: tokenised(part, start.tokenizer, tokens) for name, part in standard.items()}
        if start.fine_tuned:
            standardise_(start.model, unit)
    run = Run(request, state, request.output / WORK, data, start, datasets, bf16)
    run.say(
        f"{start.shape.name} on {data.task.name} ({len(datasets['train'])} training sentences from {data.source}),"
        f" blocks of {run.block[0]}×{run.block[1]}, {'bfloat16 autocast' if bf16 else 'float32'}: {why}"
    )
    if settings.limit is not None:
        whole = len(data.splits["train"].labels)
        drew = (
            f"{len(train.labels):,} of {whole:,} drawn by seed {settings.seed}"
            if len(train.labels) < whole
            else "all"
        )
        run.say(f"  limit of {settings.limit:,} training sentences: {drew}")
    for note in (*start.notes, *data.notes, *filter(None, cut)):
        run.say(f"  {note}")

    dense = fine_tune(run)
    dense_scores = _evaluate(run, dense, "dense")
    run.say(f"dense: {scores_text(dense_scores)}")
    if settings.method is Method.MAGNITUDE:
        # Nothing to train before the one cut: all epochs go to retraining.
        pruned, masks = cut_once(run, dense)
    else:
        pruned, masks = sparsify(run, dense)
    pruned = retrain(run, dense, pruned, masks)
    pruned_scores = _evaluate(run, pruned, "pruned")
    run.say(f"pruned: {scores_text(pruned_scores)}")
    if unit is not None:
        restore_(pruned, unit)

    outcome = Outcome(
        hardware=request.hardware,
        task=data.task,
        settings=settings,
        model=pruned,
        tokenizer=start.tokenizer,
        matrices=run.matrices(pruned),
        masks=masks,
        dense_scores=dense_scores,
        pruned_scores=pruned_scores,
        source=data.source,
        columns=data.columns,
        sha256=sha256,
        precision="bf16" if bf16 else "fp32",
        phase_seconds=phase_seconds(run),
        seconds=time.time() - began,
        processes=state.num_processes,
    )
    if output:
        say_left(write_outcome(outcome, output, keep_work=request.keep_work))
    state.wait_for_everyone()
    return outcome


def _whole(model: str) -> str:
    """A model's folder whole, from wherever it is looked for; a hub name as it is."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _check_plan(plan: PlanDocument, start: Classifier) -> None:
    shape, planned = start.shape, plan.shape
    for field in ("family", "hidden", "layers", "ffn", "heads"):
        if getattr(shape, field) != getattr(planned, field):
            raise InputError(
                f"the plan is for {field} = {getattr(planned, field)}, the model {shape.name} has",
                field=f"shape.{field}",
                value=getattr(shape, field),
                accepted="a plan of this model",
            )


def _evaluate(run: Run, model: PreTrainedModel, which: str) -> Scores:
    """Scores of a model, by each process for itself; ``which`` names it in an error.

    Not by the Trainer: once one of them has trained in bfloat16, all later ones of the process evaluate in it.
    """
    device = run.state.device
    model.to(device).eval()

    def logits(batch: dict[str, Tensor]) -> Tensor:
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        found: Tensor = model(**inputs).logits
        return found

    shown = tracked("evaluation") if run.state.is_main_process else lambda items, _: items
    found = predict(logits, run.data.task, run.datasets, run.collator, shown)
    return scores_of(run.data.task, found, f"{run.start.shape.name}, {which}")
