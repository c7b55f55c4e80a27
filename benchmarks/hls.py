"""How long generating and C simulation of HLS code take: ``python -m benchmarks.hls``.

Generates the project of a BERT-base (72 matrices, 85 M weights, half of the 16×16 blocks kept, weights in block RAM,
URAM and external memory by turns), and compiles and runs the C simulation of one of its 3072×768 matrices at 128
tokens. Seconds are of this machine; beside the first stands hashing the dense weights with SHA-256, measured in the
same run.
"""

from __future__ import annotations

import hashlib
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bert_base import ARRAY, BERT_BASE, BLOCK, MEMORIES, random_weight
from codesign.boards import load_board
from codesign.codegen.hls import HlsDesign, VectorRun, hls_files
from codesign.hardware.accelerator import WeightMemory
from codesign.models import Matrix
from codesign.outputs import PROJECT, claim
from codesign.packing.blocks import PackedMatrix, pack
from codesign.packing.images import EngineMatrix, make_images
from codesign.simulation.hls import simulate_kernel

TOKENS = 128
SHIFT = 20


def made(matrices: list[Matrix], memories: list[WeightMemory], seed: int) -> HlsDesign:
    """A design of random numbers with one run of all its matrices."""
    generator = np.random.default_rng(seed)
    parts, activations, results = [], [], []
    for matrix, memory in zip(matrices, memories, strict=True):
        n, k = matrix.out_features, matrix.in_features
        weight, mask = random_weight(generator, matrix)
        multiplier = generator.integers(1, 16, n)
        channels = (np.zeros(n, np.int64), multiplier, np.full(n, SHIFT), np.zeros(n, np.int64))
        parts.append(EngineMatrix(matrix.name, pack(weight, BLOCK, mask), memory, channels))
        x = generator.integers(-127, 128, (k, TOKENS)).astype(np.int8)
        activations.append(x)
        results.append(_results(weight, multiplier, x))
    images = make_images(ARRAY, parts)
    packed: list[PackedMatrix] = [part.packed for part in parts]
    run = VectorRun(0, TOKENS, activations, results)
    return HlsDesign("BERT-base, random", load_board("zcu104"), ARRAY, images, packed, [run])


def _results(weight: NDArray[np.int8], multiplier: NDArray[np.int64], x: NDArray[np.int8]) -> NDArray[np.int8]:
    # Sums of 3072 products of int8 are exact in float64.
    total = np.rint(weight.astype(np.float64) @ x.astype(np.float64)).astype(np.int64) * multiplier[:, None]
    return np.asarray(((total + (1 << (SHIFT - 1))) >> SHIFT).clip(-127, 127), np.int8)


def main() -> None:
    """Measure and print."""
    matrices = list(BERT_BASE.matrices())
    memories = [MEMORIES[n % len(MEMORIES)] for n in range(len(matrices))]
    design = made(matrices, memories, 0)
    dense = [np.zeros((m.out_features, m.in_features), np.int8) for m in matrices]
    began = time.perf_counter()
    for part in dense:
        hashlib.sha256(part.tobytes()).digest()
    hashing = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        files = hls_files(design)
        with claim(Path(folder) / "hls", PROJECT) as output:
            output.write_files(files)
        generating = time.perf_counter() - began
        # Kilobytes on Linux, bytes on macOS.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        code = {name: len(data) for name, data in files.items() if not name.endswith((".bin", ".mem"))}
        print(f"BERT-base, {len(matrices)} matrices, half the blocks kept, {len(files)} files")
        print(f"  generate and write   {generating:6.2f} s, {generating / hashing:5.2f} × hashing the dense weights")
        print(f"  peak memory          {peak / 2**30:6.2f} GiB, with the making of the random design")
        print(f"  largest source file  {max(code.values()) / 1e6:6.2f} MB ({max(code, key=lambda name: code[name])})")
        del files
        large = next(m for m in matrices if (m.out_features, m.in_features) == (3072, 768))
        one = made([large], [WeightMemory.BRAM], 1)
        found = simulate_kernel(one, Path(folder))
        (matrix,) = found.matrices
        assert matrix.right, matrix
        print(f"C simulation of {large.out_features}×{large.in_features}, {TOKENS} tokens, {matrix.trips:,} trips")
        print(f"  compile              {found.compile_seconds:6.2f} s")
        print(
            f"  run                  {found.seconds:6.2f} s, {matrix.mismatches} of {matrix.outputs:,} outputs differ"
        )


if __name__ == "__main__":
    main()
