"""The parts of a model that are pruned and made integer, found from its family's description."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel

from codesign.errors import InputError
from codesign.models import EncoderShape
from codesign.models.family import family_of

Matrices = dict[str, nn.Linear]


def encoder_matrices(model: nn.Module, shape: EncoderShape) -> Matrices:
    """Q, K, V, attention output and both feed-forward matrices of every layer, in the order of use.

    Args:
        model: A sequence classifier of transformers.
        shape: Its encoder, which names the matrices below the base model.

    Raises:
        InputError: A module is missing, is no linear layer or has other sides than the shape says.
    """
    base = getattr(model, getattr(model, "base_model_prefix", ""), model)
    found = {}
    for matrix in shape.matrices():
        try:
            module = base.get_submodule(matrix.name)
        except AttributeError:
            raise InputError(
                f"the model has no module {matrix.name}",
                file=shape.name,
                accepted=f"modules as the family {shape.family} describes them",
            ) from None
        if not isinstance(module, nn.Linear) or module.weight.shape != (matrix.out_features, matrix.in_features):
            raise InputError(
                f"module {matrix.name} is no {matrix.out_features}×{matrix.in_features} linear layer", file=shape.name
            )
        found[matrix.name] = module
    return found


def layer_modules(model: PreTrainedModel, shape: EncoderShape) -> list[dict[str, nn.Module]]:
    """The modules of every layer by their name in ``Family``."""
    family = family_of(shape.family, shape.name)
    names = (
        "query",
        "key",
        "value",
        "attention_output",
        "attention_norm",
        "ffn_in",
        "ffn_out",
        "ffn_norm",
    )
    base = model.base_model
    return [
        {name: base.get_submodule(f"{family.layer.format(number)}.{getattr(family, name)}") for name in names}
        for number in range(shape.layers)
    ]


def check_finite(model: nn.Module, source: object) -> None:
    """Refuse a model with a NaN or an infinity in it.

    Raises:
        InputError: Naming the first such tensor.
    """
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise InputError(
                f"{bad} of {tensor.numel()} values are NaN or infinite",
                file=source,
                field=name,
                accepted="finite weights",
            )
