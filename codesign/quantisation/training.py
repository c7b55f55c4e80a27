"""Quantisation-aware fine-tuning: the weights are rounded in the forward pass, and the gradient passes through.

The scales stay as they were chosen before; what is trained is which integer each weight comes to. The float model is
the teacher.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

from datasets import Dataset
from torch import Tensor, nn
from torch.nn.utils import parametrize

from codesign.files import read_json, to_json, write_text
from codesign.models import EncoderShape
from codesign.numerics import largest_weight
from codesign.outputs import clear_scratch
from codesign.pruning.distillation import Distillation
from codesign.pruning.encoder import encoder_matrices
from codesign.pruning.groups import Block, expand
from codesign.pruning.model import Classifier
from codesign.pruning.selection import Masks
from codesign.pruning.training import Nothing, Phase, Teacher, make_trainer, run_phase
from codesign.quantisation.grids import MATRICES, LayerGrids
from codesign.quantisation.ranges import quantise_weight
from codesign.tasks.task import Task


class RoundedWeight(nn.Module):
    """A weight as the integer model has it: rounded on its grid, pruned blocks zero.

    The gradient is that of the identity inside the range, 0 outside (straight-through; Bengio et al., 2013,
    arXiv 1308.3432).

    Args:
        columns: Scale of every input feature, K or scalar.
        rows: Scale of every row, N.
        kept: N × K, 1 or 0.
        bits: 8 or 4.
    """

    def __init__(self, columns: Tensor, rows: Tensor, kept: Tensor, bits: int) -> None:
        super().__init__()
        self.register_buffer("step", rows[:, None] / columns, persistent=False)
        self.register_buffer("kept", kept, persistent=False)
        self.limit = largest_weight(bits)

    def forward(self, weight: Tensor) -> Tensor:
        """N × K to the same."""
        step: Tensor = self.get_buffer("step")
        inside = (weight / step).clamp(-self.limit, self.limit)
        rounded = inside + (inside.round() - inside).detach()
        return rounded * step * self.get_buffer("kept")


def row_scales(model: nn.Module, shape: EncoderShape, grids: list[LayerGrids], weight_bits: int) -> dict[str, Tensor]:
    """The scale of every row of every matrix, by its name, by least error."""
    found = {}
    for number, (name, module) in enumerate(encoder_matrices(model, shape).items()):
        layer, part = divmod(number, len(MATRICES))
        given, _ = grids[layer].of(MATRICES[part])
        found[name] = quantise_weight(module.weight.detach().float() * given.scale, weight_bits)[1]
    return found


def train_rounded(
    start: Classifier,
    task: Task,
    grids: list[LayerGrids],
    rows: Mapping[str, Tensor],
    masks: Masks,
    block: Block,
    weight_bits: int,
    phase: Phase,
    work: Path,
    asked: dict[str, object],
    datasets: Mapping[str, Dataset],
) -> None:
    """Fine-tune a model so that rounding its weights costs little; its weights are changed in place.

    Args:
        start: The float model, which is also the teacher.
        task: Its task.
        grids: Of the activations.
        rows: Of ``row_scales``.
        masks: Kept blocks.
        block: R, C.
        weight_bits: 8 or 4.
        phase: How long, how fast.
        work: For checkpoints; training goes on from those there if they are of a run that was asked for alike.
        asked: What tells such runs apart.
        datasets: Tokenised splits.
    """
    record = work / "run.json"
    if work.exists() and not (record.is_file() and read_json(record) == asked):
        clear_scratch(work)
    write_text(record, to_json(asked))
    model = start.model
    teacher = Teacher(copy.deepcopy(model), Distillation())
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    matrices = encoder_matrices(model, start.shape)
    for number, (name, module) in enumerate(matrices.items()):
        layer, part = divmod(number, len(MATRICES))
        given, _ = grids[layer].of(MATRICES[part])
        kept = expand(masks[name].float(), module.weight, block)
        rounded = RoundedWeight(given.scale, rows[name], kept, weight_bits)
        parametrize.register_parametrization(module, "weight", rounded, unsafe=True)
    trainer = make_trainer(
        model,
        start.tokenizer,
        task,
        phase,
        work,
        train=datasets["train"],
        validation=datasets[task.evaluation[0]],
        teacher=teacher,
    )
    run_phase(trainer, Nothing(), work)
    for module in matrices.values():
        # What stays is the rounded weight: folding finds the same integers in it.
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    model.cpu().eval()
