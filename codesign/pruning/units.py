"""Regression inside and outside: trained in standard deviations from the mean, answered in the user's own unit.

Between the two lies the last linear layer alone: with its weights times the deviation, and its bias too with the
mean added, a model that predicts standardised values predicts the user's. Targets far from 0 or of another size
than 1 would otherwise have to be learnt by that layer's bias and weights first, at a learning rate made for others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from codesign.errors import InputError
from codesign.tasks.values import Unit


@torch.no_grad()
def standardise_(model: PreTrainedModel, unit: Unit) -> None:
    """Let a model that predicts in the user's unit predict standard deviations from the mean."""
    weight, bias = _last_linear(model)
    weight.copy_(weight.double() / unit.deviation)
    bias.copy_((bias.double() - unit.mean) / unit.deviation)


@torch.no_grad()
def restore_(model: PreTrainedModel, unit: Unit) -> None:
    """The inverse of ``standardise_``."""
    weight, bias = _last_linear(model)
    weight.copy_(weight.double() * unit.deviation)
    bias.copy_(bias.double() * unit.deviation + unit.mean)


def _last_linear(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Weight and bias of the layer that gives the value: the head's only one with a single output."""
    inside = f"{model.base_model_prefix}."
    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == 1 and not name.startswith(inside)
    ]
    if len(found) != 1 or found[0].bias is None:
        raise InputError(
            f"the head has {len(found)} linear layers with one output, where one with a bias is needed",
            file=type(model).__name__,
        )
    return found[0].weight, found[0].bias
