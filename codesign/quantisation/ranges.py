"""Which range of a float tensor becomes the integers: largest magnitude, a percentile, or the least error.

A matrix's input may have one scale per feature at no cost in hardware: the feature's scale is folded into the
matrix's columns, and the LayerNorm (or V) that makes the feature applies it. How far to even out the features
(exponent α of their magnitude, as in SmoothQuant, arXiv 2211.10438) and where to clip is chosen by the error of the
products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from codesign.numerics import largest_value, largest_weight
from codesign.quantisation.observe import Observed


class RangeChoice(StrEnum):
    """How the range of an activation is chosen."""

    MAX = "max"
    PERCENTILE = "percentile"
    MSE = "mse"


PERCENTILE = 0.9999
_LARGEST = largest_value(8)
LEAST_RANGE = 1e-4  # of a tensor that is constantly zero
_CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
_WEIGHT_CLIPS = torch.linspace(1.0, 0.4, 31).tolist()
_EVENING = (0.0, 0.25, 0.5, 0.75, 1.0)


def quantised(value: Tensor, scale: Tensor | float, limit: int = _LARGEST) -> Tensor:
    """The nearest integers, saturated, as float."""
    return (value / scale).round().clamp(-limit, limit)


def least_error(clips: Sequence[float], error: Callable[[float], Tensor | float]) -> float:
    """The clip of least error; the first of equals."""
    return min(clips, key=lambda clip: float(error(clip)))


def tensor_scale(observed: Observed, choice: RangeChoice, features: slice = slice(None)) -> float:
    """One scale for a tensor, or for some of its features."""
    largest = max(float(observed.magnitude[features].max()), LEAST_RANGE)
    values = observed.sample[:, features]
    if choice is RangeChoice.PERCENTILE:
        largest = _percentile(values, largest)
    elif choice is RangeChoice.MSE:

        def error(clip: float) -> Tensor:
            scale = clip * largest / _LARGEST
            return (quantised(values, scale) * scale - values).square().mean()

        largest *= least_error(_CLIPS, error)
    return largest / _LARGEST


def _percentile(values: Tensor, largest: float) -> float:
    magnitudes = values.abs().flatten()
    count = max(1, round(PERCENTILE * magnitudes.numel()))
    return max(min(float(magnitudes.kthvalue(count).values), largest), LEAST_RANGE)


def feature_scales(observed: Observed, weights: Sequence[Tensor], weight_bits: int, choice: RangeChoice) -> Tensor:
    """One scale per feature of a tensor that these matrices (N × K each) read."""
    magnitude = observed.magnitude.clamp(min=LEAST_RANGE)
    values = observed.sample
    wanted = [values @ weight.T for weight in weights]
    powers = [max(float(product.square().mean()), 1e-30) for product in wanted]

    def scales(evening: float, clip: float) -> Tensor:
        profile = evened(magnitude, evening)
        if choice is RangeChoice.PERCENTILE:
            largest = _percentile(values / profile, float((magnitude / profile).max()))
        else:
            largest = clip * float((magnitude / profile).max())
        return profile * largest / _LARGEST

    def error(candidate: tuple[float, float]) -> float:
        scale = scales(*candidate)
        given = quantised(values, scale)
        found = 0.0
        for weight, product, power in zip(weights, wanted, powers, strict=True):
            integers, row_scale = quantise_weight(weight * scale, weight_bits, searched=weight_bits < 8)
            found += float(((given @ integers.T) * row_scale - product).square().mean()) / power
        return found

    clips = _CLIPS if choice is RangeChoice.MSE else (1.0,)
    return scales(*min(((evening, clip) for evening in _EVENING for clip in clips), key=error))


def read_features(weight: Tensor) -> Tensor:
    """Which of a matrix's K inputs meet a weight; all, where none does. The others may be any numbers."""
    read = (weight != 0).any(dim=0)
    return read if read.any() else torch.ones_like(read)


def evened(magnitude: Tensor, evening: float) -> Tensor:
    """Relative scales of features: magnitude to the power of ``evening``, mean 1."""
    profile = magnitude**evening
    return profile / profile.mean()


def quantise_weight(weight: Tensor, bits: int, *, searched: bool = True) -> tuple[Tensor, Tensor]:
    """(integers N × K as float, scale per row) of least squared error over the row's clip.

    Args:
        weight: N × K.
        bits: 8 or 4.
        searched: Whether to search the clip, rather than to take the row's largest magnitude.
    """
    limit = largest_weight(bits)
    largest = weight.abs().amax(1).clamp(min=1e-12)
    best = largest / limit
    if searched:
        least = torch.full_like(largest, torch.inf)
        for clip in _WEIGHT_CLIPS:
            scale = clip * largest / limit
            error = (quantised(weight, scale[:, None], limit) * scale[:, None] - weight).square().sum(1)
            best = torch.where(error < least, scale, best)
            least = torch.minimum(error, least)
    return quantised(weight, best[:, None], limit), best


def value_scales(
    value: Observed, context: Observed, weight: Tensor, weight_bits: int, choice: RangeChoice
) -> tuple[Tensor, Tensor]:
    """(scales of V, scales of its weighted means), per feature, with one ratio for all features.

    Args:
        value: V.
        context: What the attention output reads.
        weight: N × K, the attention output's.
        weight_bits: 8 or 4.
        choice: How ranges are chosen.
    """
    # What the attention output does not read (its columns are pruned) must not widen the others' range.
    read = read_features(weight)
    value, context = (_only(observed, read) for observed in (value, context))
    # The means of V set the profile; V itself must not be clipped where they are small.
    wanted = feature_scales(context, [weight], weight_bits, choice)
    profile = wanted / wanted.mean()
    even = Observed(value.low / profile, value.high / profile, value.sample / profile)
    return profile * tensor_scale(even, choice), wanted


def _only(observed: Observed, read: Tensor) -> Observed:
    """The others are taken for as large as the mean of those that are read."""
    mean = observed.magnitude[read].mean()
    return Observed(
        torch.where(read, observed.low, -mean), torch.where(read, observed.high, mean), observed.sample * read
    )


@dataclass(frozen=True)
class Span:
    """From where to where a table of 256 entries reaches: inputs, and the results that they give."""

    low: float
    high: float
    least: float
    most: float

    @property
    def steps(self) -> tuple[float, float]:
        """Scales of the inputs and of the results."""
        return (self.high - self.low) / (2 * _LARGEST), (self.most - self.least) / (2 * _LARGEST)


@dataclass(frozen=True)
class Tables:
    """The activation's two tables and which of them each feature uses.

    Encoders have a few inner features that reach ten times as far as all others, on the first token or a separator;
    with one table for all, they would leave the others a tenth of its entries.

    Attributes:
        wide: Which features use the second table, N.
        spans: Of the first and the second table.
    """

    wide: Tensor
    spans: tuple[Span, Span]


def activation_tables(
    observed: Observed,
    activation: Callable[[Tensor], Tensor],
    weight: Tensor,
    weight_bits: int,
    reference: Tensor,
    choice: RangeChoice,
) -> Tables:
    """Choose the tables by the error that they leave in the product which reads the results.

    Args:
        observed: The activation's inputs, N features.
        activation: The activation.
        weight: The matrix that reads the results, … × N.
        weight_bits: 8 or 4.
        reference: What the product is added to, with the product, sampled tokens × …: LayerNorm follows, so a
            token's error counts relative to this token's size.
        choice: How ranges are chosen.
    """
    results = activation(observed.sample)
    read = read_features(weight)
    sizes = reference.square().sum(1).clamp(min=1e-12)
    order = observed.high.where(read, torch.tensor(-torch.inf)).argsort(descending=True)
    counts = [0] + [count for count in _WIDE if count < int(read.sum())]

    def tables(count: int) -> Tables:
        wide = torch.zeros(len(order), dtype=torch.bool)
        wide[order[:count]] = True
        # What is not read (its columns are pruned) must not widen the others' range.
        first = _span(observed, read & ~wide, activation, choice)
        return Tables(wide, (first, _span(observed, wide, activation, RangeChoice.MAX) if count else first))

    wanted = results @ weight.T

    def error(candidate: Tables) -> float:
        found = results.clone()
        scale = torch.empty(len(order))
        for features, span in ((~candidate.wide, candidate.spans[0]), (candidate.wide, candidate.spans[1])):
            found[:, features] = _through(observed.sample[:, features], activation, span)
            scale[features] = span.steps[1]
        # A wide feature's larger scale is folded into its column, which its whole row's scale must then hold.
        integers, row_scale = quantise_weight(weight * scale, weight_bits, searched=weight_bits < 8)
        difference = (found / scale) @ integers.T * row_scale - wanted
        return float(((difference - difference.mean(0)).square().sum(1) / sizes).mean())

    return min((tables(count) for count in counts), key=error)


_WIDE = (1, 2, 4, 8, 16, 32, 64)
_BOTTOMS = (-8.0, -6.0, -5.0, -4.0, -3.5, -3.0, -2.5, -2.0)
_MOST_VALUES = 1 << 18


def _span(observed: Observed, features: Tensor, activation: Callable[[Tensor], Tensor], choice: RangeChoice) -> Span:
    """The span of least squared error of the results, for some features; ``max`` keeps the top end."""
    low, high = float(observed.low[features].min()), float(observed.high[features].max())
    high = max(high, low + LEAST_RANGE)
    values = observed.sample[:, features].flatten()
    values = values[:: len(values) // _MOST_VALUES + 1]
    results = activation(values)
    tops = [high]
    if choice is RangeChoice.PERCENTILE:
        tops = [max(float(values.kthvalue(max(1, round(PERCENTILE * len(values)))).values), low + LEAST_RANGE)]
    elif choice is RangeChoice.MSE and high > 0:
        tops = [clip * high for clip in _CLIPS]
    # Where the activation is flat, inputs need no entries.
    bottoms = [low, *(bottom for bottom in _BOTTOMS if bottom > low)]

    def span(bottom: float, top: float) -> Span:
        spread = activation(torch.linspace(bottom, top, 256))
        least = float(spread.min())
        return Span(bottom, top, least, max(float(spread.max()), least + LEAST_RANGE))

    spans = [span(bottom, top) for bottom in bottoms for top in tops if top > bottom]
    return min(spans, key=lambda s: float((_through(values, activation, s) - results).square().mean()))


def _through(values: Tensor, activation: Callable[[Tensor], Tensor], span: Span) -> Tensor:
    """What a table makes of inputs."""
    step, inner = span.steps
    found = activation((values.clamp(span.low, span.high) / step).round() * step)
    return (found.clamp(span.least, span.most) / inner).round() * inner
