"""From a float model and its grids to the integer model: every scale is folded into a constant."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from codesign.errors import InputError
from codesign.models import EncoderShape
from codesign.models.family import family_of
from codesign.numerics import BIAS_BITS, MULTIPLIER_BITS, SUM_BITS, fixed_point, largest_weight, saturate
from codesign.pruning.encoder import layer_modules
from codesign.quantisation.encoder import Activation, Attention, Encoder, Layer, Linear, Norm
from codesign.quantisation.grids import (
    LARGEST,
    MATRICES,
    Grid,
    LayerGrids,
    activation_of,
    decibels,
    table_grids,
    weight_of,
)
from codesign.quantisation.observe import Observed
from codesign.quantisation.operations import EXP_STEPS, NORMAL_BITS, SUM_SHIFT, ratio_constants
from codesign.quantisation.ranges import Tables, quantise_weight, quantised, read_features

_GAIN_LIMIT = (1 << 16) - 1
"""Of LayerNorm's gains: 17 bits signed."""
_SUM_LIMIT = (1 << SUM_BITS - 2) - 3
"""What the largest possible residual sum comes to, but for the rounding of its gains: 2^16 − 1 with it."""
_OFFSET_LIMIT = 1 << 14
_FACTOR_LIMIT = 1 << (MULTIPLIER_BITS - 2)
"""Of what a requantisation multiplies with: ``numerics.fixed_point``."""
_RATIO_LIMITS = (2.0**-30, 2.0**20)
"""Of ``ratio_constants``."""
_EPSILON_LIMIT = 1 << 40
"""Of LayerNorm's ε: far above the squares of any sums."""


@dataclass(frozen=True)
class Quantised:
    """The integer model with the scales that lead in and out.

    Attributes:
        encoder: The integer model.
        scales: Per feature, of the embedding's output and of each layer's output.
        noise: Signal to quantisation noise in dB of every matrix's result, its inputs from float, by its name; of the
            first feed-forward matrix the activation's result; of V and of that one, what the next matrix reads.
    """

    encoder: Encoder
    scales: tuple[Tensor, ...]
    noise: dict[str, float]


def fold(
    model: PreTrainedModel,
    shape: EncoderShape,
    grids: tuple[Sequence[LayerGrids], Grid],
    observed: Sequence[dict[str, Observed]],
    weight_bits: int,
    row_scales: Mapping[str, Tensor] | None = None,
    *,
    correct: bool = True,
) -> Quantised:
    """The integer model of a float one.

    Args:
        model: Float classifier.
        shape: Its encoder.
        grids: Of ``choose_grids``.
        observed: Of ``observe``: what biases are corrected on.
        weight_bits: 8 or 4.
        row_scales: Scale of every row of a matrix, by its name, where training has settled them; default: by error.
        correct: Whether biases make up for the mean error that quantisation leaves on the observed sentences.

    Raises:
        InputError: The model cannot be put into the contract's integers: an unknown activation, or constants out of
            range.
    """
    activation, family = activation_of(model, shape), family_of(shape.family, shape.name)
    names = [matrix.name for matrix in shape.matrices()]
    layers: list[Layer] = []
    noise: dict[str, float] = {}
    ends = [*(grid.state for grid in grids[0][1:]), grids[1]]
    shift = _norm_shift(layer_modules(model, shape), grids[0], ends)
    for number, (taps, modules, grid) in enumerate(zip(observed, layer_modules(model, shape), grids[0], strict=True)):
        samples = {
            "query": taps["input"].sample,
            "key": taps["input"].sample,
            "value": taps["input"].sample,
            "attention_output": taps["context"].sample,
            "ffn_in": taps["middle"].sample,
            "ffn_out": activation(taps["ffn_in"].sample),
        }
        made: dict[str, Linear] = {}
        for part, name in zip(MATRICES, names[len(MATRICES) * number :], strict=False):
            rows = row_scales[name] if row_scales else None
            with _named(shape, name):
                made[part], result = _linear(
                    modules[part], samples[part], taps[part].sample, *grid.of(part), weight_bits, rows, correct
                )
            wanted = taps[part].sample
            if part == "value":
                heard = read_features(weight_of(modules["attention_output"]))
                wanted, result = wanted[:, heard], result[:, heard]
            noise[name] = decibels(wanted, wanted - result)
        tables = _activation(grid.tables, activation)
        # Of inputs where the activation is flat nothing is kept: what counts is its result.
        found = tables(made["ffn_in"](grid.middle.integers(samples["ffn_in"]).long()))
        inner = (found - grid.inner.zero) * grid.inner.scale
        heard = read_features(weight_of(modules["ffn_out"]))
        wanted = samples["ffn_out"][:, heard]
        noise[names[len(MATRICES) * number + 4]] = decibels(wanted, wanted - inner[:, heard])
        path = family.layer.format(number)
        with _named(shape, f"{path}: attention"):
            attention = _attention(grid, shape.heads)
        with _named(shape, f"{path}.{family.attention_norm}"):
            attention_norm = _norm(modules["attention_norm"], grid.state, grid.attended, grid.middle, shift)
        with _named(shape, f"{path}.{family.ffn_norm}"):
            ffn_norm = _norm(modules["ffn_norm"], grid.middle, grid.fed, ends[number], shift)
        layers.append(
            Layer(**made, attention=attention, attention_norm=attention_norm, activation=tables, ffn_norm=ffn_norm)
        )
    return Quantised(Encoder(tuple(layers)), (grids[0][0].state.scale, *(end.scale for end in ends)), noise)


@contextmanager
def _named(shape: EncoderShape, part: str) -> Iterator[None]:
    """Says in which part of the model a constant is out of range."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise InputError(f"cannot be made integer: {error}", file=shape.name, field=part) from None


def _linear(
    module: nn.Module,
    sample: Tensor,
    product: Tensor,
    given: Grid,
    wanted: Grid,
    weight_bits: int,
    row_scale: Tensor | None,
    correct: bool,
) -> tuple[Linear, Tensor]:
    """A matrix, and its results as float, tokens × N.

    Args:
        module: The float layer.
        sample: Float inputs, tokens × K.
        product: Its float results on them, tokens × N.
        given: Of the inputs.
        wanted: Of the results.
        weight_bits: 8 or 4.
        row_scale: N, or by error.
        correct: The bias, by the mean error.
    """
    assert isinstance(module, nn.Linear)
    weight, limit = weight_of(module) * given.scale, largest_weight(weight_bits)
    bias = module.bias.detach().float() if module.bias is not None else weight.new_zeros(len(weight))
    if row_scale is None:
        _, row_scale = quantise_weight(weight, weight_bits, searched=weight_bits < 8)
    # A row of few or no weights must still hold its bias in int32; 2^30 leaves room for zeros and correction.
    room = 1 << (BIAS_BITS - 2)
    scale = torch.maximum(row_scale, torch.maximum(bias.abs(), wanted.scale.expand_as(bias)) / room)
    integers = quantised(weight, scale[:, None], limit)
    read = given.integers(sample)
    if correct:
        found = (read - given.zero) @ integers.T * scale + bias
        bias = bias + (product - found).mean(0)
    # Zeros of both grids go into the bias: Σ w·(x − z) = Σ w·x − z·Σ w.
    zeros = integers.double() @ given.zero.double().expand(integers.shape[1])
    total = (bias.double() + wanted.zero * wanted.scale.double()) / scale - zeros
    multiplier, shift = _fixed_point(
        (scale.double() / wanted.scale.double()).expand_as(total),
        lambda row: (
            f"row {row}: a step of its sums against a step of its results; its weights reach"
            f" {(weight[row] / given.scale).abs().max():.3g}, its bias {bias[row].abs():.3g}, what it reads"
            f" {(given.scale * LARGEST).max():.3g}, its results on the calibration sentences"
            f" {wanted.scale.expand_as(bias)[row] * LARGEST:.3g}"
        ),
    )
    made = Linear(integers.long(), saturate(total.round().long(), BIAS_BITS), multiplier, shift)
    return made, (made(read.long()) - wanted.zero) * wanted.scale


def _attention(grid: LayerGrids, heads: int) -> Attention:
    width = len(grid.query.scale) // heads
    query, key = (side.scale.unflatten(0, (heads, width))[:, 0].double() for side in (grid.query, grid.key))
    # Scores are in units of both scales / √d; the table's steps are 1/128 of an octave.
    multiplier, shift = _fixed_point(
        query * key / math.sqrt(width) * math.log2(math.e) * EXP_STEPS,
        lambda head: (
            f"head {head}: a step of its scores against a step of softmax; its queries reach"
            f" {query[head] * LARGEST:.3g} and its keys {key[head] * LARGEST:.3g}"
        ),
    )
    ratio = float((grid.value.scale / grid.context.scale).mean())  # the same for every feature
    if not _RATIO_LIMITS[0] <= ratio <= _RATIO_LIMITS[1]:
        raise ValueError(
            f"values against their weighted means: factor {ratio:.3g} is not from 2^−30 to 2^20; values"
            f" reach {grid.value.scale.max() * LARGEST:.3g}, means {grid.context.scale.max() * LARGEST:.3g}"
        )
    numerator, mean_shift = (torch.from_numpy(part) for part in ratio_constants(np.full(heads, ratio)))
    return Attention(multiplier, shift, numerator, mean_shift)


def _activation(tables: Tables, activation: Callable[[Tensor], Tensor]) -> Activation:
    """The two tables: for each integer input the integer result."""
    steps = torch.arange(-LARGEST - 1, LARGEST + 1).clamp(min=-LARGEST)
    rows = []
    for number in (0, 1):
        before, after = table_grids(tables, torch.tensor([number]))
        rows.append(after.integers(activation((steps - before.zero) * before.scale)).long())
    return Activation(torch.stack(rows), tables.wide.long())


def _norm(module: nn.Module, residual: Grid, added: Grid, wanted: Grid, shift: int) -> Norm:
    """The LayerNorm of the sum of two grids to a third."""
    assert isinstance(module, nn.LayerNorm)
    # No sum can be larger than this, so none is ever cut.
    unit = float((LARGEST * (residual.scale + added.scale)).max()) / _SUM_LIMIT
    gain = _norm_gain(module, wanted)
    features = module.normalized_shape[0]
    largest = float(gain.abs().max())
    if not largest * 2.0**shift <= _GAIN_LIMIT + 0.5:
        raise ValueError(
            f"gains against a step of its results: factor {largest:.3g} is not at most {_GAIN_LIMIT / 2:g};"
            f" its weights reach {module.weight.abs().max():.3g}, a step of its results is"
            f" {float(wanted.scale.min()):.3g}"
        )
    epsilon = features * module.eps / unit**2
    if not epsilon < _EPSILON_LIMIT:
        raise ValueError(
            f"ε = {module.eps:g} is {epsilon:.3g} squared steps of its sums, not below 2^40; they reach"
            f" {unit * _SUM_LIMIT:.3g} on the calibration sentences"
        )
    return Norm(
        residual_gain=_sum_gain(residual, unit),
        added_gain=_sum_gain(added, unit),
        gain=(gain * 2.0**shift).round().long(),
        offset=(_norm_offset(module, wanted) * 2.0**shift).round().long(),
        shift=torch.tensor(shift),
        epsilon=torch.tensor(round(epsilon)),
    )


def _sum_gain(grid: Grid, unit: float) -> Tensor:
    """One side's gains of a residual sum."""
    return (grid.scale.double() / unit * 2.0**SUM_SHIFT).round().long()


def _norm_gain(module: nn.Module, wanted: Grid) -> Tensor:
    """γ·√N·2^−15 / scale per feature."""
    assert isinstance(module, nn.LayerNorm)
    return module.weight.detach().double() * math.sqrt(module.normalized_shape[0]) * 2.0**-NORMAL_BITS / wanted.scale


def _norm_offset(module: nn.Module, wanted: Grid) -> Tensor:
    """β / scale per feature; where that is beyond any result, as near as has no other result."""
    assert isinstance(module, nn.LayerNorm)
    return (module.bias.detach().double() / wanted.scale).clamp(-_OFFSET_LIMIT, _OFFSET_LIMIT)


def _norm_shift(modules: Sequence[Mapping[str, nn.Module]], grids: Sequence[LayerGrids], ends: Sequence[Grid]) -> int:
    """The places behind the point of every LayerNorm's gains: as many as the largest gain of all allows."""
    norms = [
        (module, wanted)
        for parts, grid, end in zip(modules, grids, ends, strict=True)
        for module, wanted in ((parts["attention_norm"], grid.middle), (parts["ffn_norm"], end))
    ]
    gain, offset = (max(float(of(*norm).abs().max()) for norm in norms) for of in (_norm_gain, _norm_offset))
    return min(_shift(gain, _GAIN_LIMIT), _shift(offset, (1 << BIAS_BITS - 1) - 1))


def _shift(largest: float, limit: int) -> int:
    """The most places by which a factor may be scaled up without passing a limit: 1 … 31."""
    return min(max(math.floor(math.log2(limit / max(largest, 1e-12))), 1), 31)


def _fixed_point(factor: Tensor, meaning: Callable[[int], str]) -> tuple[Tensor, Tensor]:
    """(m, s) of each factor; ``meaning`` says of the number of one out of range what it is, and from what.

    Raises:
        ValueError: One is not positive, not finite or too large.
    """
    bad = ~((factor > 0) & (factor < _FACTOR_LIMIT))
    if bad.any():
        number = int(bad.double().argmax())
        raise ValueError(
            f"{meaning(number)}: factor {float(factor[number]):.3g} is not above 0 and below {_FACTOR_LIMIT}"
        )
    multiplier, shift = fixed_point(factor.double().numpy())
    return torch.from_numpy(multiplier), torch.from_numpy(shift)
