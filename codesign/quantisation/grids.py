"""Where the integers of every tensor lie: scales and zeros, chosen from what was observed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from codesign.design.document import PARTS
from codesign.errors import InputError
from codesign.models import EncoderShape
from codesign.models.family import ACTIVATIONS, family_of
from codesign.numerics import largest_value
from codesign.pruning.encoder import layer_modules
from codesign.quantisation.observe import Observed
from codesign.quantisation.ranges import (
    LEAST_RANGE,
    RangeChoice,
    Tables,
    activation_tables,
    feature_scales,
    tensor_scale,
    value_scales,
)

LARGEST = largest_value(8)
MATRICES = PARTS
"""The matrices of a layer in the order of use, as in ``EncoderShape.matrices``."""


@dataclass(frozen=True)
class Grid:
    """Where the integers of a tensor lie: value = scale · (integer − zero), scale and zero per feature or for all."""

    scale: Tensor
    zero: Tensor = field(default_factory=lambda: torch.zeros(()))

    def integers(self, value: Tensor) -> Tensor:
        """Nearest integers, as float."""
        return ((value / self.scale).round() + self.zero).clamp(-LARGEST, LARGEST)


@dataclass(frozen=True)
class LayerGrids:
    """The tensors of one layer.

    Attributes:
        state: The layer's input.
        query, key, value: Results of the three matrices.
        context: What the attention output reads.
        attended: The attention output's result.
        middle: The first LayerNorm's result.
        tables: Of the activation.
        before, inner: The activation's input and result.
        fed: The second feed-forward matrix's result.
    """

    state: Grid
    query: Grid
    key: Grid
    value: Grid
    context: Grid
    attended: Grid
    middle: Grid
    tables: Tables
    before: Grid
    inner: Grid
    fed: Grid

    def of(self, matrix: str) -> tuple[Grid, Grid]:
        """(what a matrix reads, what it gives)."""
        return {
            "query": (self.state, self.query),
            "key": (self.state, self.key),
            "value": (self.state, self.value),
            "attention_output": (self.context, self.attended),
            "ffn_in": (self.middle, self.before),
            "ffn_out": (self.inner, self.fed),
        }[matrix]


def weight_of(module: nn.Module) -> Tensor:
    """A linear layer's weight as a plain float tensor."""
    assert isinstance(module, nn.Linear)
    return module.weight.detach().float()


def choose_grids(
    model: PreTrainedModel,
    shape: EncoderShape,
    observed: Sequence[dict[str, Observed]],
    weight_bits: int,
    ranges: RangeChoice,
) -> tuple[list[LayerGrids], Grid]:
    """The grids of every layer, and of the last output.

    Args:
        model: Float classifier.
        shape: Its encoder.
        observed: Of ``observe``.
        weight_bits: 8 or 4: features are evened out by the error of the products.
        ranges: How activation ranges are chosen.
    """
    activation = activation_of(model, shape)
    layers = [
        _layer_grids(taps, modules, shape.heads, activation, weight_bits, ranges)
        for taps, modules in zip(observed, layer_modules(model, shape), strict=True)
    ]
    return layers, by_feature(observed[-1]["output"])


def _layer_grids(
    taps: dict[str, Observed],
    modules: dict[str, nn.Module],
    heads: int,
    activation: Callable[[Tensor], Tensor],
    weight_bits: int,
    ranges: RangeChoice,
) -> LayerGrids:
    width = len(taps["query"].low) // heads

    def by_head(tap: str) -> Grid:
        scales = [tensor_scale(taps[tap], ranges, slice(h * width, (h + 1) * width)) for h in range(heads)]
        return Grid(torch.tensor(scales).repeat_interleave(width))

    def read(tap: str, *names: str) -> Grid:
        return Grid(feature_scales(taps[tap], [weight_of(modules[n]) for n in names], weight_bits, ranges))

    value, context = value_scales(
        taps["value"], taps["context"], weight_of(modules["attention_output"]), weight_bits, ranges
    )
    tables = activation_tables(
        taps["ffn_in"],
        activation,
        weight_of(modules["ffn_out"]),
        weight_bits,
        taps["middle"].sample + taps["ffn_out"].sample,
        ranges,
    )
    before, inner = table_grids(tables, tables.wide)
    return LayerGrids(
        state=read("input", "query", "key", "value"),
        query=by_head("query"),
        key=by_head("key"),
        value=Grid(value),
        context=Grid(context),
        # Added to the residual stream before LayerNorm: outliers must stay, and are in features of their own.
        attended=by_feature(taps["attention_output"]),
        middle=read("middle", "ffn_in"),
        tables=tables,
        before=before,
        inner=inner,
        fed=by_feature(taps["ffn_out"]),
    )


def by_feature(observed: Observed) -> Grid:
    """Each feature at its own largest magnitude."""
    return Grid(observed.magnitude.clamp(min=LEAST_RANGE) / LARGEST)


def table_grids(tables: Tables, which: Tensor) -> tuple[Grid, Grid]:
    """The activation's input and result, for features that use the first (0) or the second (1) table."""
    spans = tables.spans
    return (
        _spanning([(span.low, span.steps[0]) for span in spans], which),
        _spanning([(span.least, span.steps[1]) for span in spans], which),
    )


def _spanning(starts: Sequence[tuple[float, float]], which: Tensor) -> Grid:
    """int8 upwards from (low, scale), one of two for each feature; zero is an integer of its own."""
    scales = torch.tensor([scale for _, scale in starts])
    zeros = torch.tensor([-LARGEST - round(low / scale) for low, scale in starts])
    return Grid(scales[which.long()], zeros[which.long()].float())


def activation_of(model: PreTrainedModel, shape: EncoderShape) -> Callable[[Tensor], Tensor]:
    """The feed-forward activation.

    Raises:
        InputError: It is none of those that two tables can hold.
    """
    name = family_of(shape.family, shape.name).activation
    value = getattr(model.config, name, None)
    if value not in ACTIVATIONS:
        raise InputError(
            "unknown activation", file=shape.name, field=name, value=value, accepted=", ".join(ACTIVATIONS)
        )
    found: Callable[[Tensor], Tensor] = ACT2FN[value]
    return found


def decibels(signal: Tensor, noise: Tensor) -> float:
    """10·log₁₀ of the ratio of the powers; 120 at most."""
    ratio = max(float(signal.square().mean()), 1e-30) / max(float(noise.square().mean()), 1e-30)
    return min(120.0, 10 * math.log10(ratio))
