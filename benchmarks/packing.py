"""How long packing takes: ``python -m benchmarks.packing``.

Packs a BERT-base (72 matrices, 85 M weights, half of the 16×16 blocks kept) and writes its images. The time of each
is given beside that of hashing the dense weights with SHA-256, measured in the same run.
"""

from __future__ import annotations

import hashlib
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.models import EncoderShape
from codesign.packing.blocks import pack
from codesign.packing.images import EngineMatrix, make_images, write_images

_BASE = EncoderShape("bert-base", "bert", hidden=768, layers=12, ffn=3072, heads=12)


def main() -> None:
    """Measure and print."""
    accelerator = Accelerator(
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
    generator = np.random.default_rng(0)
    weights, masks = [], []
    for matrix in _BASE.matrices():
        mask = generator.random((matrix.out_features // 16, matrix.in_features // 16)) < 0.5
        weight = generator.integers(-127, 128, (matrix.out_features, matrix.in_features)).astype(np.int8)
        weights.append(weight * mask.repeat(16, 0).repeat(16, 1))
        masks.append(mask)
    began = time.perf_counter()
    for weight in weights:
        hashlib.sha256(weight.tobytes()).digest()
    hashing = time.perf_counter() - began
    began = time.perf_counter()
    packed = [pack(weight, (16, 16), mask) for weight, mask in zip(weights, masks, strict=True)]
    packing = time.perf_counter() - began
    began = time.perf_counter()
    matrices = []
    for number, (matrix, part) in enumerate(zip(_BASE.matrices(), packed, strict=True)):
        memory = (WeightMemory.BRAM, WeightMemory.URAM, WeightMemory.DDR)[number % 3]
        channels = tuple(np.ones(matrix.out_features, np.int64) for _ in range(4))
        matrices.append(EngineMatrix(matrix.name, part, memory, channels))
    with tempfile.TemporaryDirectory() as folder:
        write_images(make_images(accelerator, matrices), Path(folder))
    images = time.perf_counter() - began
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    count = sum(weight.size for weight in weights) / 1e6
    print(f"BERT-base, {len(weights)} matrices, {count:.0f} M weights, half the blocks kept")
    print(f"  pack                 {packing:6.2f} s, {packing / hashing:5.2f} × hashing the dense weights")
    print(f"  images, all formats  {images:6.2f} s, {images / hashing:5.2f} × hashing the dense weights")
    print(f"  peak memory          {peak:6.2f} GiB")


if __name__ == "__main__":
    main()
