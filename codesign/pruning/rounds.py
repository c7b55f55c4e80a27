"""Which blocks go: one round of pruning under the plan's budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

import torch
from accelerate.utils import broadcast
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from codesign.errors import InputError
from codesign.hardware.accelerator import block_grid
from codesign.pruning.budget import Hardware
from codesign.pruning.distillation import Distillation
from codesign.pruning.encoder import Matrices
from codesign.pruning.importance import (
    Curvature,
    curvature_objective,
    mean_norms,
    measure_curvature,
    refit_,
    relative_norms,
    second_order,
)
from codesign.pruning.run import Run
from codesign.pruning.selection import Masks, Rules, impossible, least, select
from codesign.pruning.settings import Importance, Settings
from codesign.pruning.sparsity import apply_masks, round_density

HIDDEN_SHARE = 1 / 30
"""Weight of the hidden states in the importance, in parts of their weight in training. Training needs them to learn
from; what a block is worth in the end is what the prediction loses. MiniLM on MRPC at 70 % density, one cut and no
training (dense accuracy 79.7): 76.0 with equal weights, 78.7 with this one."""


def everything(hardware: Hardware) -> Masks:
    """Masks that keep all blocks."""
    return {
        name: torch.ones(block_grid(matrix, *hardware.block), dtype=torch.bool)
        for name, matrix in hardware.matrices.items()
    }


def _rules(settings: Settings) -> Rules:
    return Rules(settings.floor, settings.balance)


def choose_masks(run: Run, importance: dict[str, Tensor], number: int, count: int, present: Masks) -> Masks:
    """The masks of a round: the budget's own in the last, a part of the way there before."""
    hardware = run.hardware
    cost, free, rules = hardware.block_cost, hardware.free_blocks, _rules(run.settings)
    goal = select(importance, cost, hardware.allows, rules, present, hardware.reached, free, hardware.counted)
    if number == count:
        return goal
    total = sum(mask.numel() for mask in goal.values())
    density = round_density(sum(int(mask.sum()) for mask in goal.values()) / total, number, count)

    def allows(masks: Masks) -> bool:
        return sum(int(mask.sum()) for mask in masks.values()) <= density * total

    masks = select(importance, cost, allows, rules, present)
    # The goal is a part of them already, unless only the cheapest blocks have room.
    if rules.balance is None:
        return {name: masks[name] | goal[name] for name in masks}
    # Both together may not be balanced: where the cheapest blocks are gone from these, the goal itself, at once.
    return masks if hardware.allows(least(hardware.counted, rules, masks)) else goal


def check_budget(hardware: Hardware, settings: Settings) -> None:
    """Whether the budget leaves room for what has to stay, whatever the weights will be.

    Raises:
        InputError: It does not.
    """

    def possible(rules: Rules) -> bool:
        return hardware.allows(least(hardware.counted, rules))

    rules = _rules(settings)
    if possible(rules):
        return
    none, accepted = replace(rules, floor=0.0), "a looser budget"
    if possible(none):
        low, high = 0, ceil(settings.floor * 1000)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if possible(replace(rules, floor=middle / 1000)) else (low, middle)
        accepted += f", or --floor {low / 1000:g} or less"
    else:
        rules = none
    error = impossible(least(hardware.counted, rules), rules, hardware.reached)
    raise InputError(error.problem, accepted=accepted)


def norms(run: Run, matrices: Matrices, dense: Matrices) -> dict[str, Tensor]:
    """Norms relative to the means of the dense model."""
    return relative_norms(matrices, run.block, mean_norms(dense, run.block))


def goal_density(run: Run, matrices: Matrices) -> float:
    """Part of the blocks that the budget keeps, found on the norms."""
    goal = choose_masks(run, norms(run, matrices, matrices), 1, 1, everything(run.hardware))
    return sum(int(m.sum()) for m in goal.values()) / sum(m.numel() for m in goal.values())


def prune_round(
    run: Run, model: PreTrainedModel, dense: PreTrainedModel, number: int, count: int, present: Masks
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
        importance = norms(run, matrices, run.matrices(dense))
    masks = choose_masks(run, importance, number, count, present)
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


def _curvature(run: Run, model: PreTrainedModel, number: int) -> dict[str, Curvature]:
    """Curvature on calibration sentences, the same ones in every process."""
    training = model.training
    model.eval()
    generator = torch.Generator().manual_seed(run.settings.seed + number)
    objective = curvature_objective(
        model,
        regression=run.data.task.regression,
        hidden=HIDDEN_SHARE * run.settings.hidden if run.settings.distill else 0.0,
        temperature=Distillation().temperature,
        generator=generator,
    )
    device = run.state.device
    with torch.autocast(device.type, torch.bfloat16, enabled=run.bf16):
        found = measure_curvature(run.matrices(model), _calibration(run, device), objective)
    model.train(training)
    return found


def _calibration(run: Run, device: torch.device) -> Iterator[dict[str, Tensor]]:
    dataset = run.datasets["train"]
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(run.settings.seed))
    chosen = dataset.select(order[: run.settings.calibration].tolist())
    lengths = torch.tensor([len(ids) for ids in chosen["input_ids"]])
    chosen = chosen.select(lengths.argsort(stable=True).tolist())
    for batch in DataLoader(chosen, batch_size=32, collate_fn=run.collator):
        yield {name: tensor.to(device) for name, tensor in batch.items()}
