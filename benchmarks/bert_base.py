"""BERT-base with random weights, half of its 16×16 blocks kept, and an array for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.models import EncoderShape, Matrix

BERT_BASE = EncoderShape("bert-base", "bert", hidden=768, layers=12, ffn=3072, heads=12)
MEMORIES = (WeightMemory.BRAM, WeightMemory.URAM, WeightMemory.DDR)
"""Where its matrices lie, by turns."""
BLOCK = (16, 16)
ARRAY = Accelerator(
    rows=16,
    cols=16,
    lanes=8,
    weight_bits=8,
    dsp_packing=2,
    clock_mhz=300.0,
    max_tokens=128,
    weight_port_bits=128,
    axi_ports=1,
    axi_port_bits=128,
    requant_interval=4,
)


def random_weight(generator: np.random.Generator, matrix: Matrix) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Weights (int8, out × in features) and the mask of their blocks."""
    n, k = matrix.out_features, matrix.in_features
    mask = generator.random((n // BLOCK[0], k // BLOCK[1])) < 0.5
    weight = generator.integers(-127, 128, (n, k)).astype(np.int8)
    weight *= mask.repeat(BLOCK[0], 0).repeat(BLOCK[1], 1)
    return weight, mask
