"""The integer model: the whole encoder between the embedding's output and the pooler's input, in integers.

All constants are int64 tensors that hold numbers of the widths in ``codesign.numerics``; scales are folded into them,
so nothing here knows a scale. Every tensor between two operations is int8, the residual stream too: it has one scale
per feature, which the matrices have in their columns and the sums before LayerNorm in their gains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

import torch
from torch import Tensor

from codesign.quantisation.operations import (
    exponentials,
    layer_norm,
    linear,
    look_up,
    matmul,
    scores,
    weighted_mean,
    weighted_sum,
)


@dataclass(frozen=True)
class Linear:
    """One matrix: y = requantise(x·Wᵀ + b, m, s).

    Attributes:
        weight: N × K, int8 or int4.
        bias: N, int32, at the scale of the sums.
        multiplier: N.
        shift: N.
    """

    weight: Tensor
    bias: Tensor
    multiplier: Tensor
    shift: Tensor

    def __call__(self, value: Tensor) -> Tensor:
        """… × K, int8, to … × N, int8."""
        return linear(value, self.weight, self.bias, self.multiplier, self.shift)


@dataclass(frozen=True)
class Attention:
    """softmax(QKᵀ)·V by head; all constants have one entry per head.

    Attributes:
        score_multiplier, score_shift: Of ``scores``.
        mean_numerator, mean_shift: Of ``weighted_mean``.
    """

    score_multiplier: Tensor
    score_shift: Tensor
    mean_numerator: Tensor
    mean_shift: Tensor

    @property
    def heads(self) -> int:
        """Heads."""
        return len(self.score_shift)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, present: Tensor) -> Tensor:
        """Sentences × tokens × features each, int8; ``present``: sentences × tokens, which are not padding."""
        q, k, v = (self._by_head(t) for t in (query, key, value))
        multiplier, shift, numerator, mean_shift = (
            c[:, None, None] for c in (self.score_multiplier, self.score_shift, self.mean_numerator, self.mean_shift)
        )
        found = exponentials(scores(matmul(q, k.transpose(-1, -2)), multiplier, shift), present[:, None, None, :])
        return weighted_mean(found, v, numerator, mean_shift).transpose(1, 2).flatten(2)

    def _by_head(self, tensor: Tensor) -> Tensor:
        return tensor.unflatten(-1, (self.heads, -1)).transpose(1, 2)


@dataclass(frozen=True)
class Norm:
    """A residual sum and its LayerNorm.

    Attributes:
        residual_gain, added_gain: N, of ``weighted_sum``.
        gain, offset: N, of ``layer_norm``.
        shift, epsilon: Scalars, likewise; the shift is the same in every LayerNorm of a model.
    """

    residual_gain: Tensor
    added_gain: Tensor
    gain: Tensor
    offset: Tensor
    shift: Tensor
    epsilon: Tensor

    def __call__(self, residual: Tensor, added: Tensor) -> Tensor:
        """… × N each, int8, to the same."""
        total = weighted_sum(residual, added, self.residual_gain, self.added_gain)
        return layer_norm(total, self.gain, self.offset, self.shift, self.epsilon)


@dataclass(frozen=True)
class Activation:
    """The feed-forward activation by table.

    Attributes:
        tables: 2 × 256, int8: results for −128 … 127.
        which: N, 0 or 1: the table that each feature uses.
    """

    tables: Tensor
    which: Tensor

    def __call__(self, value: Tensor) -> Tensor:
        """… × N, int8, to the same."""
        return look_up(self.tables, self.which, value)


@dataclass(frozen=True)
class Layer:
    """One encoder layer."""

    query: Linear
    key: Linear
    value: Linear
    attention: Attention
    attention_output: Linear
    attention_norm: Norm
    ffn_in: Linear
    activation: Activation
    ffn_out: Linear
    ffn_norm: Norm

    def __call__(self, state: Tensor, present: Tensor) -> Tensor:
        """Sentences × tokens × features, int8, to the same."""
        context = self.attention(self.query(state), self.key(state), self.value(state), present)
        state = self.attention_norm(state, self.attention_output(context))
        return self.ffn_norm(state, self.ffn_out(self.activation(self.ffn_in(state))))


@dataclass(frozen=True)
class Encoder:
    """The integer model."""

    layers: tuple[Layer, ...]

    def __call__(self, state: Tensor, present: Tensor) -> Iterator[Tensor]:
        """The output of each layer.

        Args:
            state: Embeddings, sentences × tokens × features, int8 in int64.
            present: Sentences × tokens, bool: which tokens are not padding.
        """
        for layer in self.layers:
            state = layer(state, present)
            yield state


def constants(part: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every constant with its path, such as ``layers.0.query.weight``."""
    if isinstance(part, Tensor):
        yield prefix, part
    elif isinstance(part, tuple):
        for number, item in enumerate(part):
            yield from constants(item, f"{prefix}.{number}" if prefix else str(number))
    elif is_dataclass(part):
        for field in fields(part):
            yield from constants(getattr(part, field.name), f"{prefix}.{field.name}" if prefix else field.name)


PartT = TypeVar("PartT")


def rebuild(kind: type[PartT], found: Mapping[str, Tensor], prefix: str = "") -> PartT:
    """The inverse of ``constants``.

    Raises:
        KeyError: A constant is missing.
    """
    parts: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        path = f"{prefix}.{name}" if prefix else name
        if hint is Tensor:
            parts[name] = found[path].long()
        elif hint == tuple[Layer, ...]:
            numbers = sorted({int(key.split(".")[1]) for key in found if key.startswith(f"{path}.")})
            parts[name] = tuple(rebuild(Layer, found, f"{path}.{number}") for number in numbers)
        else:
            parts[name] = rebuild(hint, found, path)
    return kind(**parts)


def stored(tensor: Tensor) -> Tensor:
    """A constant in the narrowest integer type that holds it, for a file."""
    for dtype in (torch.int8, torch.int16, torch.int32):
        limits = torch.iinfo(dtype)
        if not tensor.numel() or (tensor.min() >= limits.min and tensor.max() <= limits.max):
            return tensor.to(dtype)
    return tensor
