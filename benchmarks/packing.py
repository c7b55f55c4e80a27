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

from benchmarks.bert_base import ARRAY, BERT_BASE, BLOCK, MEMORIES, random_weight
from codesign.packing.blocks import pack
from codesign.packing.images import EngineMatrix, make_images, write_images


def main() -> None:
    """Measure and print."""
    generator = np.random.default_rng(0)
    made = [random_weight(generator, matrix) for matrix in BERT_BASE.matrices()]
    began = time.perf_counter()
    for weight, _ in made:
        hashlib.sha256(weight.tobytes()).digest()
    hashing = time.perf_counter() - began
    began = time.perf_counter()
    packed = [pack(weight, BLOCK, mask) for weight, mask in made]
    packing = time.perf_counter() - began
    began = time.perf_counter()
    matrices = []
    for number, (matrix, part) in enumerate(zip(BERT_BASE.matrices(), packed, strict=True)):
        memory = MEMORIES[number % len(MEMORIES)]
        channels = tuple(np.ones(matrix.out_features, np.int64) for _ in range(4))
        matrices.append(EngineMatrix(matrix.name, part, memory, channels))
    with tempfile.TemporaryDirectory() as folder:
        write_images(make_images(ARRAY, matrices), Path(folder))
    images = time.perf_counter() - began
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    count = sum(weight.size for weight, _ in made) / 1e6
    print(f"BERT-base, {len(made)} matrices, {count:.0f} M weights, half the blocks kept")
    print(f"  pack                 {packing:6.2f} s, {packing / hashing:5.2f} × hashing the dense weights")
    print(f"  images, all formats  {images:6.2f} s, {images / hashing:5.2f} × hashing the dense weights")
    print(f"  peak memory          {peak:6.2f} GiB")


if __name__ == "__main__":
    main()
