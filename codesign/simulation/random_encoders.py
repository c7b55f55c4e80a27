"""Random encoders for the simulated engine: constants of the integer model, such that results spread well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.memories import ceil_div
from codesign.packing.blocks import PackedMatrix, pack
from codesign.program.layout import Layout
from codesign.quantisation.encoder import Activation, Attention, Encoder, Layer, Linear, Norm, constants


@dataclass(frozen=True)
class RandomEncoder:
    """An encoder with its matrices packed.

    Attributes:
        layout: Sizes.
        model: The integer model.
        packed: Every matrix, six a layer.
        memories: Where each lies.
    """

    layout: Layout
    model: Encoder
    packed: list[PackedMatrix]
    memories: list[WeightMemory]

    @property
    def constants(self) -> dict[str, Any]:
        """Of the integer model by their paths."""
        return {name: tensor.numpy() for name, tensor in constants(self.model)}


def random_encoder(layout: Layout, layers: int, density: float, g: np.random.Generator) -> RandomEncoder:
    """An encoder of random numbers; a part ``density`` of the blocks is kept."""
    a, packed = layout.accelerator, []

    def linear(n: int, k: int) -> Linear:
        limit = (1 << (a.weight_bits - 1)) - 1
        mask = g.random((ceil_div(n, a.rows), ceil_div(k, a.cols))) < density
        weight = g.integers(-limit, limit + 1, (n, k)) * mask.repeat(a.rows, 0).repeat(a.cols, 1)[:n, :k]
        packed.append(pack(weight.astype(np.int8), a.block, mask))
        spread = max(np.sqrt(max(density, 0.05) * k), 1) * limit * 64
        multiplier = g.integers(1 << 15, 1 << 16, n)
        shift = np.log2(multiplier * spread / 50).round().astype(np.int64) + g.integers(-1, 1, n)
        bias = g.integers(-int(spread), int(spread) + 1, n)
        return Linear(*(torch.from_numpy(np.asarray(part, np.int64)) for part in (weight, bias, multiplier, shift)))

    def norm(shift: int) -> Norm:
        n = layout.hidden
        gain = g.integers(-32000, 32001, n)
        return Norm(
            residual_gain=_tensor(g.integers(1, 16000, n)),
            added_gain=_tensor(g.integers(1, 16000, n)),
            gain=_tensor(gain),
            offset=_tensor(g.integers(-60 << shift, 60 << shift, n)),
            shift=torch.tensor(shift),
            epsilon=torch.tensor(int(g.integers(0, 1 << 16))),
        )

    # d/σ of N features is about 2^15/√N units; times a gain of 2^14 on average it shall give some 60.
    shift = max(int(np.log2(2.0**15 / np.sqrt(layout.hidden) * 2**14 / 60)), 1)
    found = []
    for _ in range(layers):
        spread = 60 * 60 * np.sqrt(layout.head)
        scores = np.log2(32768 * spread / g.uniform(100, 600, layout.heads)).round().astype(np.int64)
        parts = [linear(layout.hidden, layout.hidden) for _ in range(4)]
        parts += [linear(layout.ffn, layout.hidden), linear(layout.hidden, layout.ffn)]
        query, key, value, output, ffn_in, ffn_out = parts
        found.append(
            Layer(
                query=query,
                key=key,
                value=value,
                attention=Attention(
                    _tensor(g.integers(1 << 15, 1 << 16, layout.heads)),
                    _tensor(scores),
                    _tensor(g.integers(1 << 30, 1 << 31, layout.heads)),
                    _tensor(g.integers(28, 31, layout.heads)),
                ),
                attention_output=output,
                attention_norm=norm(shift),
                ffn_in=ffn_in,
                activation=Activation(
                    _tensor(g.integers(-127, 128, (2, 256))), _tensor(g.integers(0, 2, layout.ffn))
                ),
                ffn_out=ffn_out,
                ffn_norm=norm(shift),
            )
        )
    return RandomEncoder(layout, Encoder(tuple(found)), packed, [WeightMemory.BRAM] * len(packed))


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.int64))


def small_layout(accelerator: Accelerator, hidden: int = 24, ffn: int = 36, heads: int = 2) -> Layout:
    """An encoder that is built in seconds."""
    return Layout(accelerator, hidden, ffn, heads)
