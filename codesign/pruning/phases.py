"""The phases: dense fine-tuning, training towards sparsity, retraining with fixed masks.

Each leaves a folder ``work/<phase>/done`` with its model, written whole or not at all; a resumed run takes finished
phases from there and goes on with the unfinished one at its last complete checkpoint.
"""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, set_seed

from codesign.files import to_json, write_folder
from codesign.pruning.distillation import Distillation
from codesign.pruning.progress import DENSE, PHASES, RETRAIN, SPARSE
from codesign.pruning.regulariser import GroupLasso, strengths
from codesign.pruning.rounds import choose_masks, everything, goal_density, norms, prune_round
from codesign.pruning.run import Run
from codesign.pruning.selection import Masks
from codesign.pruning.settings import DENSE_EPOCHS, Method
from codesign.pruning.sparsity import (
    BlockMovement,
    KeepMasks,
    Tighten,
    apply_masks,
    spread_rounds,
)
from codesign.pruning.training import (
    AfterStep,
    Nothing,
    Phase,
    Teacher,
    learning_rates,
    make_trainer,
    phase_steps,
    run_phase,
    steps_per_epoch,
)


def fine_tune(run: Run) -> PreTrainedModel:
    """Dense fine-tuning, unless the model came fine-tuned."""
    settings, model = run.settings, run.start.model
    epochs = settings.dense_epochs
    if epochs is None:
        epochs = 0.0 if run.start.fine_tuned else DENSE_EPOCHS
    if epochs == 0:
        run.say("dense fine-tuning: none" + (", the model came fine-tuned" if run.start.fine_tuned else ""))
        return model
    phase = run.phase(DENSE, epochs, settings.dense_learning_rate, weight_decay=0.01, patience=settings.patience)
    trained, _ = _phase(run, phase, model, Nothing(), None)
    return trained


def sparsify(run: Run, dense: PreTrainedModel) -> tuple[PreTrainedModel, Masks]:
    """Training towards sparsity, ending with the masks that meet the budget."""
    settings, hardware = run.settings, run.hardware
    model = copy.deepcopy(dense).to(run.state.device)
    phase = run.phase(SPARSE, settings.sparse_epochs, settings.learning_rate)
    steps = _steps(run, phase)
    matrices = run.matrices(model)
    all_blocks = everything(hardware)
    # Without training the rounds follow each other.
    rounds = spread_rounds(min(settings.rounds, steps), steps) if steps else spread_rounds(*2 * (settings.rounds,))
    if rounds.count < settings.rounds:
        run.say(f"{SPARSE}: {steps} steps of training, so {rounds.count} rounds of pruning, not {settings.rounds}")
    after: AfterStep
    if settings.method is Method.MOVEMENT:

        def choose(number: int, scores: dict[str, Tensor]) -> Masks:
            return choose_masks(run, scores, number, rounds.count, all_blocks)

        after = BlockMovement(matrices, run.block, rounds, choose, all_blocks)
    else:
        lasso = None
        if settings.method is Method.LASSO and settings.strength > 0 and steps:
            total = sum(learning_rates(phase, steps))
            density = goal_density(run, matrices)
            strength = strengths(matrices, run.block, density, total, hardware.block_cost, settings.strength)
            lasso = GroupLasso(matrices, run.block, strength)
            run.say(f"λ {min(strength.values()):.3g} to {max(strength.values()):.3g}, from the budget")
        per_epoch = steps_per_epoch(len(run.datasets["train"]), settings.batch_size, run.state.num_processes)
        after = Tighten(
            matrices,
            run.block,
            rounds,
            lambda number, masks: prune_round(run, model, dense, number, rounds.count, masks),
            all_blocks,
            lasso,
            frozenset(range(per_epoch, steps, per_epoch)),
        )
    trained, masks = _phase(run, phase, model, after, dense)
    return trained, masks


def cut_once(run: Run, dense: PreTrainedModel) -> tuple[PreTrainedModel, Masks]:
    """The baseline: the smallest blocks at once."""
    model = copy.deepcopy(dense).to(run.state.device)
    matrices = run.matrices(model)
    masks = choose_masks(run, norms(run, matrices, matrices), 1, 1, everything(run.hardware))
    apply_masks(matrices, masks, run.block)
    return model, masks


def retrain(run: Run, dense: PreTrainedModel, pruned: PreTrainedModel, masks: Masks) -> PreTrainedModel:
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
    run: Run, phase: Phase, model: PreTrainedModel, after: AfterStep, dense: PreTrainedModel | None
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
            for step in range(1, run.settings.rounds + 1):
                after.after_step(step, 0.0)
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


def phase_seconds(run: Run) -> dict[str, float]:
    """Wall time of each phase, whichever process trained it."""
    return {
        name: json.loads((run.work / name / "done" / "phase.json").read_text())["seconds"]
        for name in PHASES
        if (run.work / name / "done").is_dir()
    }


def _steps(run: Run, phase: Phase) -> int:
    return phase_steps(phase, len(run.datasets["train"]), run.state.num_processes)
