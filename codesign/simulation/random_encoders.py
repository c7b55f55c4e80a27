"""Random encoders for the simulated engine: constants of the integer model, such that results spread well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codesign.boards import DspType
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.memories import Storage, ceil_div
from codesign.hardware.timeline import ExternalMemory
from codesign.packing.blocks import PackedMatrix, pack
from codesign.program.build import build_encoder
from codesign.program.layout import Layout
from codesign.quantisation.encoder import Activation, Attention, Encoder, Layer, Linear, Norm, constants
from codesign.simulation.engine import Pauses
from codesign.simulation.random_designs import SMALL_ARRAY
from codesign.simulation.sentences import SentenceRun

_GAINS = ((1 << 16) - 1) * 64 // 127
"""What the gains of a residual sum come to together, at most (``operations.weighted_sum``)."""


SMALL_ENCODER_ARRAY = replace(SMALL_ARRAY, lanes=5, vector_width=10)
"""R does not divide L, C neither: blocks of keys are partly empty."""


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


def random_encoder(
    layout: Layout, layers: int, density: float, g: np.random.Generator, *, quiet: bool = False, places: int = 0
) -> RandomEncoder:
    """An encoder of random numbers; a part ``density`` of the blocks is kept.

    Where some channels are ``quiet``, their sums are so small, and their shifts so short, that the lowest bits of
    sums and products decide a result: half of them a bias alone, half of them one weight of one; some are far beyond
    what a result can be. The shift of LayerNorms is ``places`` shorter than it need be, and their gains with it, to
    the same end.
    """
    a, packed = layout.accelerator, []

    def linear(n: int, k: int) -> Linear:
        limit = (1 << (a.weight_bits - 1)) - 1
        mask = g.random((ceil_div(n, a.rows), ceil_div(k, a.cols))) < density
        weight = g.integers(-limit, limit + 1, (n, k)) * mask.repeat(a.rows, 0).repeat(a.cols, 1)[:n, :k]
        still = _quiet(weight, mask.repeat(a.rows, 0).repeat(a.cols, 1), g) if quiet else None
        packed.append(pack(weight.astype(np.int8), a.block, mask))
        spread = max(np.sqrt(max(density, 0.05) * k), 1) * limit * 64
        multiplier = g.integers(1 << 15, 1 << 16, n)
        shift = np.log2(multiplier * spread / 50).round().astype(np.int64) + g.integers(-1, 1, n)
        bias = g.integers(-int(spread), int(spread) + 1, n)
        if still is not None:
            rows, numbers = still
            for values, small in zip((bias, multiplier, shift), numbers, strict=True):
                values[rows] = small
        return Linear(*(torch.from_numpy(np.asarray(part, np.int64)) for part in (weight, bias, multiplier, shift)))

    def norm(shift: int) -> Norm:
        n = layout.hidden
        gain = g.integers(-32000, 32001, n)
        if places:
            gain = np.sign(gain) * np.maximum(abs(gain) >> places, 1)
        one = g.integers(0, _GAINS + 1, n)
        other = g.integers(0, _GAINS - one + 1)
        swapped = g.random(n) < 0.5
        one[3::7], other[3::7] = _GAINS, 0  # the largest that there are, on either side
        return Norm(
            residual_gain=_tensor(np.where(swapped, other, one)),
            added_gain=_tensor(np.where(swapped, one, other)),
            gain=_tensor(gain),
            offset=_tensor(g.integers(-60 << shift, 60 << shift, n)),
            shift=torch.tensor(shift),
            epsilon=torch.tensor(int(g.integers(0, 1 << 16))),
        )

    # d/σ of N features is about 2^15/√N units; times a gain of 2^14 on average it shall give some 60.
    shift = max(int(np.log2(2.0**15 / np.sqrt(layout.hidden) * 2**14 / 60)) - places, 1)
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


def _quiet(
    weight: NDArray[Any], kept: NDArray[np.bool_], g: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Makes a third of a matrix's rows quiet, in place: their numbers, and bias, multiplier and shift of each."""
    rows = np.flatnonzero(g.random(len(weight)) < 1 / 3)
    weight[rows] = 0
    # A bias alone: any product below 2^7 after any shift of up to 16 places.
    shift = g.integers(1, 17, len(rows))
    product = g.integers(1, (127 << shift) - 1)
    multiplier = g.integers(1, np.minimum(product, (1 << 16) - 1) + 1)
    bias = product // multiplier * g.choice([-1, 1], len(rows))
    for place in range(0, len(rows), 2):
        columns = np.flatnonzero(kept[rows[place], : weight.shape[1]])
        if len(columns):
            weight[rows[place], g.choice(columns)] = g.choice([-1, 1])
            bias[place], multiplier[place], shift[place] = g.integers(-100, 101), g.integers(1, 4), g.integers(1, 3)
    for place in range(3, len(rows), 6):  # and some are as loud as they get
        loud = (1 << g.integers(20, 32)) - 1
        bias[place], multiplier[place] = g.choice([-loud, loud]), g.integers(1 << 15, 1 << 16)
    return rows, np.stack([bias, multiplier, shift])


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.int64))


def draw(seed: int) -> SentenceRun:
    """The random run of this number: array, shape, heads, memories, lengths, sentences, pauses, all drawn from it."""
    g = np.random.default_rng(seed)
    heads, head = int(g.choice([1, 2, 3])), int(g.choice([2, 3, 4, 5, 6, 8, 9, 12, 32, 33]))
    external = bool(g.random() < 0.4)
    accelerator, dsp_type = _draw_array(g, head, external=external)
    layout = Layout(accelerator, heads * head, int(g.integers(1, 60)), heads)
    drawn = random_encoder(layout, int(g.integers(1, 3)), float(g.choice([0, 0.2, 0.5, 1])), g)
    places = ["bram", "uram", "ddr"] if external else ["bram", "bram", "uram"]
    drawn = replace(drawn, memories=[WeightMemory(g.choice(places)) for _ in drawn.memories])
    longest = accelerator.max_tokens
    tokens, sentences = int(g.choice([1, longest, int(g.integers(1, longest + 1))])), int(g.choice([1, 1, 2, 3]))
    pauses = Pauses(*(int(g.integers(0, 200)) for _ in range(3))) if g.random() < 0.3 else Pauses()
    cost = int(g.integers(1, 4000))
    rate = Fraction(int(g.integers(ceil_div(cost, 16), cost + 1)), cost)
    memory = ExternalMemory(int(g.integers(1, 100)), rate if g.random() < 0.5 else Fraction(1))
    embeddings = g.integers(-127, 128, (sentences, layout.hidden, tokens)).astype(np.int8)
    return sentence_run(drawn, embeddings, dsp_type, pauses=pauses, memory=memory, seed=seed + 1)


def sentence_run(
    drawn: RandomEncoder,
    sentences: NDArray[np.int8],
    dsp_type: DspType = DspType.DSP48E2,
    *,
    pauses: Pauses | None = None,
    memory: ExternalMemory | None = None,
    seed: int = 1,
) -> SentenceRun:
    """A run of an encoder on sentences × features × tokens."""
    layers = len(drawn.model.layers)
    encoder, images = build_encoder(drawn.layout, layers, drawn.constants, drawn.packed, drawn.memories)
    return SentenceRun(
        encoder,
        dsp_type,
        images,
        drawn.packed,
        drawn.model,
        sentences,
        pauses=pauses or Pauses(),
        memory=memory or ExternalMemory(),
        seed=seed,
    )


def _draw_array(g: np.random.Generator, head: int, *, external: bool) -> tuple[Accelerator, DspType]:
    """An array with a vector unit for heads of so many features, and the device's DSPs."""
    rows, cols, lanes = (int(g.choice([1, 2, 3, 4, 5, 6, 8, 12])) for _ in range(3))
    drained = int(g.choice([d for d in range(1, rows + 1) if rows % d == 0 and cols % d == 0 and head % d == 0]))
    vector = int(g.choice([v for v in range(drained, cols + 1, drained) if cols % v == 0]))
    weight_bits = int(g.choice([8, 8, 4]))
    ports, port_bits = (int(g.choice([1, 2])) if external else 0), int(g.choice([32, 64]))
    accelerator = Accelerator(
        rows=rows,
        cols=cols,
        lanes=lanes,
        weight_bits=weight_bits,
        dsp_packing=int(g.choice([1, 2])),
        clock_mhz=200.0,
        max_tokens=int(g.integers(1, 40)),
        weight_port_bits=max(int(g.choice([8, 16, 32, 64, 128])), ports * port_bits),
        axi_ports=ports,
        axi_port_bits=port_bits,
        stream_bits=int(g.choice([0, 32, 64, 128, 256])),
        requant_interval=rows // drained,
        vector_width=vector * lanes,
        sum_memory=Storage.URAM if g.random() < 0.2 else None,
        lut_sums=bool(g.random() < 0.5),
    )
    return accelerator, DspType.DSP48E1 if weight_bits == 8 and g.random() < 0.25 else DspType.DSP48E2
