"""The prune step: dense fine-tuning, sparse training, pruning to the budget, masked retraining, results.

Each phase leaves a folder ``work/<phase>/done`` with its model, written whole or not at all; a resumed run takes
finished phases from there and goes on with the unfinished one at its last complete checkpoint.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast
from datasets import Dataset, disable_progress_bars
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, PreTrainedModel, set_seed
from transformers.utils import logging as transformers_logging

from codesign.errors import InputError
from codesign.files import to_json
from codesign.planning import PlanDocument
from codesign.pruning.budget import Hardware
from codesign.pruning.distillation import Distillation
from codesign.pruning.encoder import Matrices, encoder_matrices
from codesign.pruning.importance import (
    Curvature,
    curvature_objective,
    mean_norms,
    measure_curvature,
    refit_,
    relative_norms,
    second_order,
)
from codesign.pruning.model import Classifier, load_classifier, make_embedded
from codesign.pruning.outcome import Outcome, write_outcome
from codesign.pruning.record import (
    RECORD,
    WORK,
    Asked,
    check_writable,
    disk_reason,
    is_disk_error,
    open_run,
    write_folder,
)
from codesign.pruning.regulariser import GroupLasso, strengths
from codesign.pruning.selection import Masks, Rules, select
from codesign.pruning.settings import Importance, Method, Settings
from codesign.pruning.sparsity import (
    BlockMovement,
    KeepMasks,
    Tighten,
    apply_masks,
    round_density,
    spread_rounds,
)
from codesign.pruning.training import (
    AfterStep,
    Nothing,
    Phase,
    Teacher,
    learning_rates,
    make_trainer,
    run_phase,
    steps_per_epoch,
    use_bf16,
)
from codesign.report.console import console
from codesign.tasks.agreement import AGREEMENT, agreement_splits
from codesign.tasks.data import TaskData, load_data, tokenised
from codesign.tasks.task import Task

DENSE, SPARSE, RETRAIN = "dense", "sparse", "retrain"
EMBEDDED_SOURCE = "made by codesign"


@dataclass(frozen=True)
class Request:
    """What is to be pruned, on what, under which plan, how, and where to.

    Attributes:
        model: Folder or hub name; None for the embedded default, which brings its own task.
        task: None with the embedded default.
        data_dir: Local files; None for the hub.
        hardware: The plan on its board.
        settings: Choices.
        output: Folder for results and, below ``work``, for checkpoints.
        resume: Go on with the run in that folder.
        overwrite: Discard an unfinished run there.
        keep_work: Leave the phases' folders when done.
    """

    model: str | None
    task: Task | None
    data_dir: Path | None
    hardware: Hardware
    settings: Settings
    output: Path
    resume: bool = False
    overwrite: bool = False
    keep_work: bool = False


@dataclass(frozen=True)
class _Run:
    """A run under way: what every phase needs."""

    request: Request
    state: PartialState
    work: Path
    data: TaskData
    start: Classifier
    datasets: dict[str, Dataset]
    bf16: bool

    @property
    def settings(self) -> Settings:
        return self.request.settings

    @property
    def hardware(self) -> Hardware:
        return self.request.hardware

    @property
    def block(self) -> tuple[int, int]:
        return self.request.hardware.block

    @property
    def collator(self) -> DataCollatorWithPadding:
        return DataCollatorWithPadding(self.start.tokenizer, pad_to_multiple_of=8)

    def say(self, text: str) -> None:
        if self.state.is_main_process:
            console().print(text, highlight=False, soft_wrap=True)

    def matrices(self, model: PreTrainedModel) -> Matrices:
        return encoder_matrices(model, self.start.shape)

    def phase(self, name: str, epochs: float, learning_rate: float, **changes: Any) -> Phase:
        settings = self.settings
        return Phase(
            name,
            epochs,
            learning_rate,
            batch_size=settings.batch_size,
            seed=settings.seed,
            bf16=self.bf16,
            save_steps=settings.save_steps,
            **changes,
        )


def prune(request: Request) -> Outcome:
    """Prune a model to its plan's budget and write the results.

    Raises:
        InputError: Of anything wrong in what was given, before or while it is used; of a disk that is full.
    """
    state = PartialState(cpu=not torch.cuda.is_available())
    try:
        return _prune(request, state)
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


def _prune(request: Request, state: PartialState) -> Outcome:
    began = time.time()
    settings = request.settings
    bf16, why = use_bf16(settings.precision)
    # Their bars for saving and loading, a line each, would hide what this program says.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    data = (
        TaskData(AGREEMENT, EMBEDDED_SOURCE, agreement_splits(seed=settings.seed))
        if request.model is None
        else load_data(request.task or AGREEMENT, request.data_dir)
    )
    tokens = request.hardware.plan.tokens
    if request.model is None:
        start = make_embedded((text for (text,) in data.splits["train"].sentences), data.task, settings.seed)
    else:
        start = load_classifier(request.model, data.task, tokens, settings.seed)
    _check_plan(request.hardware.plan, start)
    with state.main_process_first():
        if state.is_main_process:
            check_writable(request.output)
            asked = Asked(start.shape.name, data.task.name, data.source, request.hardware.plan, settings)
            open_run(request.output, asked, resume=request.resume, overwrite=request.overwrite)
    state.wait_for_everyone()
    limit = {"train": settings.limit}
    datasets = {name: tokenised(part, start.tokenizer, tokens, limit.get(name)) for name, part in data.splits.items()}
    run = _Run(request, state, request.output / WORK, data, start, datasets, bf16)
    run.say(
        f"{start.shape.name} on {data.task.name} ({len(datasets['train'])} training sentences from {data.source}),"
        f" blocks of {run.block[0]}×{run.block[1]}, {'bfloat16 autocast' if bf16 else 'float32'}: {why}"
    )

    dense = _dense(run)
    dense_scores = _evaluate(run, dense)
    run.say(f"dense: {_scores_text(dense_scores)}")
    if settings.method is Method.MAGNITUDE:
        # Nothing to train before the one cut: all epochs go to retraining.
        pruned, masks = _one_shot(run, dense)
    else:
        pruned, masks = _sparse(run, dense)
    pruned = _retrain(run, dense, pruned, masks)
    pruned_scores = _evaluate(run, pruned)
    run.say(f"pruned: {_scores_text(pruned_scores)}")

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
        precision="bf16" if bf16 else "fp32",
        phase_seconds=_phase_seconds(run),
        seconds=time.time() - began,
        processes=state.num_processes,
    )
    if state.is_main_process:
        write_outcome(outcome, request.output, keep_work=request.keep_work)
    state.wait_for_everyone()
    return outcome


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


def _scores_text(scores: dict[str, dict[str, float]]) -> str:
    parts = []
    for split, values in scores.items():
        where = "" if len(scores) == 1 else f" ({split})"
        parts += [f"{metric} {value:.2f}{where}" for metric, value in values.items()]
    return ", ".join(parts)


# --- the phases -------------------------------------------------------------------------------------------------


def _dense(run: _Run) -> PreTrainedModel:
    """Dense fine-tuning, unless the model came fine-tuned."""
    settings, model = run.settings, run.start.model
    epochs = settings.dense_epochs
    if epochs is None:
        epochs = 0.0 if run.start.fine_tuned else 3.0
    if epochs == 0:
        run.say("dense fine-tuning: none" + (", the model came fine-tuned" if run.start.fine_tuned else ""))
        return model
    phase = run.phase(DENSE, epochs, settings.dense_learning_rate, weight_decay=0.01, patience=settings.patience)
    trained, _ = _phase(run, phase, model, Nothing(), None)
    return trained


def _sparse(run: _Run, dense: PreTrainedModel) -> tuple[PreTrainedModel, Masks]:
    """Training towards sparsity, ending with the masks that meet the budget."""
    settings, hardware = run.settings, run.hardware
    model = copy.deepcopy(dense).to(run.state.device)
    phase = run.phase(SPARSE, settings.sparse_epochs, settings.learning_rate)
    steps = _steps(run, phase)
    matrices = run.matrices(model)
    everything = _everything(hardware)
    rounds = spread_rounds(min(settings.rounds, max(steps, 1)), max(steps, 1))
    after: AfterStep
    if settings.method is Method.MOVEMENT:

        def choose(number: int, scores: dict[str, Tensor]) -> Masks:
            return _choose(run, scores, number, rounds.count, everything)

        after = BlockMovement(matrices, run.block, rounds, choose, everything)
    else:
        lasso = None
        if settings.method is Method.LASSO and settings.strength > 0 and steps:
            total = sum(learning_rates(phase, steps))
            density = _goal_density(run, matrices)
            strength = strengths(matrices, run.block, density, total, hardware.block_cost, settings.strength)
            lasso = GroupLasso(matrices, run.block, strength)
            run.say(f"λ {min(strength.values()):.3g} to {max(strength.values()):.3g}, from the budget")
        per_epoch = steps_per_epoch(len(run.datasets["train"]), settings.batch_size, run.state.num_processes)
        after = Tighten(
            matrices,
            run.block,
            rounds,
            lambda number, masks: _prune_round(run, model, dense, number, rounds.count, masks),
            everything,
            lasso,
            frozenset(range(per_epoch, steps, per_epoch)),
        )
    trained, masks = _phase(run, phase, model, after, dense)
    return trained, masks


def _one_shot(run: _Run, dense: PreTrainedModel) -> tuple[PreTrainedModel, Masks]:
    """The baseline: the smallest blocks at once."""
    model = copy.deepcopy(dense).to(run.state.device)
    matrices = run.matrices(model)
    masks = _choose(run, _norms(run, matrices, matrices), 1, 1, _everything(run.hardware))
    apply_masks(matrices, masks, run.block)
    return model, masks


def _retrain(run: _Run, dense: PreTrainedModel, pruned: PreTrainedModel, masks: Masks) -> PreTrainedModel:
    """Training with fixed masks."""
    settings = run.settings
    epochs = settings.retrain_epochs
    if settings.method is Method.MAGNITUDE:
        epochs += settings.sparse_epochs
    model = copy.deepcopy(pruned).to(run.state.device)
    after = KeepMasks(run.matrices(model), run.block, masks)
    trained, _ = _phase(
        run, run.phase(RETRAIN, epochs, settings.learning_rate, patience=settings.patience), model, after, dense
    )
    return trained


def _phase(
    run: _Run, phase: Phase, model: PreTrainedModel, after: AfterStep, dense: PreTrainedModel | None
) -> tuple[PreTrainedModel, Masks]:
    """Train one phase, or take it from where an earlier run has finished it."""
    folder = run.work / phase.name
    done = folder / "done"
    if not done.is_dir():
        run.say(f"{phase.name}: {phase.epochs:g} epochs")
        began = time.time()
        set_seed(phase.seed)
        teacher = None
        if dense is not None and run.settings.distill:
            # The teacher's states are the target: dropout would only blur what is learnt.
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0
            teacher = Teacher(copy.deepcopy(dense), Distillation(hidden=run.settings.hidden))
        if _steps(run, phase):
            trainer = make_trainer(
                model,
                run.start.tokenizer,
                run.data.task,
                phase,
                folder,
                train=run.datasets["train"],
                validation=run.datasets[run.data.task.evaluation[0]],
                after=after,
                teacher=teacher,
            )
            run_phase(trainer, after, folder)
        else:
            after.after_step(1, 0.0)
        masks = _masks(after)
        if run.state.is_main_process:
            seconds = time.time() - began
            write_folder(done, lambda path: _save_phase(path, model, masks, seconds))
        run.state.wait_for_everyone()
    else:
        run.say(f"{phase.name}: done before")
    # What goes on is what was saved, so that a resumed run and an undisturbed one are the same.
    finished = type(model).from_pretrained(done, dtype=torch.float32)
    finished.to(run.state.device)
    stored = load_file(done / "masks.safetensors") if (done / "masks.safetensors").is_file() else {}
    return finished, {name: mask.bool() for name, mask in stored.items()}


def _masks(after: AfterStep) -> Masks:
    if isinstance(after, BlockMovement):
        return after.finish()
    keep = after.keep if isinstance(after, Tighten) else after
    return keep.masks if isinstance(keep, KeepMasks) else {}


def _save_phase(path: Path, model: PreTrainedModel, masks: Masks, seconds: float) -> None:
    model.save_pretrained(path)
    if masks:
        save_file({name: mask.cpu().to(torch.uint8) for name, mask in masks.items()}, path / "masks.safetensors")
    (path / "phase.json").write_text(to_json({"seconds": seconds}))


def _phase_seconds(run: _Run) -> dict[str, float]:
    return {
        name: json.loads((run.work / name / "done" / "phase.json").read_text())["seconds"]
        for name in (DENSE, SPARSE, RETRAIN)
        if (run.work / name / "done").is_dir()
    }


def _steps(run: _Run, phase: Phase) -> int:
    per_epoch = steps_per_epoch(len(run.datasets["train"]), phase.batch_size, run.state.num_processes)
    return int(-(-phase.epochs * per_epoch // 1))


# --- which blocks go --------------------------------------------------------------------------------------------


def _everything(hardware: Hardware) -> Masks:
    return {
        layer.name: torch.ones(
            -(-layer.out_features // hardware.block[0]), -(-layer.in_features // hardware.block[1]), dtype=torch.bool
        )
        for layer in hardware.plan.layers
    }


def _rules(settings: Settings) -> Rules:
    return Rules(settings.floor, settings.balance)


def _choose(run: _Run, importance: dict[str, Tensor], number: int, count: int, present: Masks) -> Masks:
    """The masks of a round: the budget's own in the last, a part of the way there before."""
    hardware = run.hardware
    cost, free, rules = hardware.block_cost, hardware.free_blocks, _rules(run.settings)
    goal = select(importance, cost, hardware.allows, rules, present, hardware.reached, free)
    if number == count:
        return goal
    total = sum(mask.numel() for mask in goal.values())
    density = round_density(sum(int(mask.sum()) for mask in goal.values()) / total, number, count)

    def allows(masks: Masks) -> bool:
        return sum(int(mask.sum()) for mask in masks.values()) <= density * total

    return select(importance, cost, allows, rules, present, free=free)


def _norms(run: _Run, matrices: Matrices, dense: Matrices) -> dict[str, Tensor]:
    return relative_norms(matrices, run.block, mean_norms(dense, run.block))


def _goal_density(run: _Run, matrices: Matrices) -> float:
    """Part of the blocks that the budget keeps, found on the norms."""
    goal = _choose(run, _norms(run, matrices, matrices), 1, 1, _everything(run.hardware))
    return sum(int(m.sum()) for m in goal.values()) / sum(m.numel() for m in goal.values())


def _prune_round(
    run: _Run, model: PreTrainedModel, dense: PreTrainedModel, number: int, count: int, present: Masks
) -> Masks:
    """One round of pruning: importance, selection, and the remaining weights making up for what goes."""
    matrices = run.matrices(model)
    second = run.settings.importance is Importance.SECOND_ORDER
    curvature: dict[str, Curvature] = {}
    if second:
        curvature = _curvature(run, model, number)
        importance = {
            name: second_order(module.weight.detach(), curvature[name], present[name], run.block)
            for name, module in matrices.items()
        }
    else:
        importance = _norms(run, matrices, run.matrices(dense))
    masks = _choose(run, importance, number, count, present)
    if second:
        for name, module in matrices.items():
            refit_(module, curvature[name], present[name], masks[name].to(module.weight.device), run.block)
    apply_masks(matrices, masks, run.block)
    if run.state.num_processes > 1:
        # Every process has worked out the same; rounding must not let them drift apart.
        masks = {name: broadcast(mask.to(run.state.device, torch.uint8)).bool().cpu() for name, mask in masks.items()}
        for module in matrices.values():
            module.weight.data.copy_(broadcast(module.weight.data))
            if module.bias is not None:
                module.bias.data.copy_(broadcast(module.bias.data))
    kept = sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
    run.say(f"  round {number} of {count}: {kept:.1%} of the blocks stay")
    return masks


def _curvature(run: _Run, model: PreTrainedModel, number: int) -> dict[str, Curvature]:
    """Curvature on calibration sentences, the same ones in every process."""
    training = model.training
    model.eval()
    generator = torch.Generator().manual_seed(run.settings.seed + number)
    objective = curvature_objective(
        model,
        regression=run.data.task.regression,
        hidden=run.settings.hidden if run.settings.distill else 0.0,
        generator=generator,
    )
    device = run.state.device
    with torch.autocast(device.type, torch.bfloat16, enabled=run.bf16):
        found = measure_curvature(run.matrices(model), _calibration(run, device), objective)
    model.train(training)
    return found


def _calibration(run: _Run, device: torch.device) -> Iterator[dict[str, Tensor]]:
    dataset = run.datasets["train"]
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(run.settings.seed))
    chosen = dataset.select(order[: run.settings.calibration].tolist())
    lengths = torch.tensor([len(ids) for ids in chosen["input_ids"]])
    chosen = chosen.select(lengths.argsort(stable=True).tolist())
    for batch in DataLoader(chosen, batch_size=32, collate_fn=run.collator):
        yield {name: tensor.to(device) for name, tensor in batch.items()}


def _evaluate(run: _Run, model: PreTrainedModel) -> dict[str, dict[str, float]]:
    """Every metric on every evaluation split, in float32."""
    phase = replace(run.phase("evaluation", 1, 1.0), bf16=False)
    trainer = make_trainer(model, run.start.tokenizer, run.data.task, phase, run.work / "evaluation")
    scores = {}
    for split in run.data.task.evaluation:
        found = trainer.evaluate(run.datasets[split])
        scores[split] = {m.value: float(found[f"eval_{m.value}"]) for m in run.data.task.metrics}
    return scores


__all__ = ["RECORD", "Request", "prune"]
