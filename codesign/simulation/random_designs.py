"""Random designs for the simulated engine, with what they must give, worked out by plain integer matrix products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from codesign.boards import DspType
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.memories import ceil_div
from codesign.hardware.timeline import ExternalMemory
from codesign.packing.blocks import pack
from codesign.packing.images import EngineMatrix, make_images
from codesign.simulation.engine import EngineRun, Pauses

SMALL_ARRAY = Accelerator(
    rows=4,
    cols=6,
    lanes=3,
    weight_bits=8,
    dsp_packing=2,
    clock_mhz=200.0,
    max_tokens=12,
    weight_port_bits=64,
    axi_ports=1,
    axi_port_bits=64,
    requant_interval=2,
)
"""An array that is built in seconds."""


@dataclass(frozen=True)
class RandomMatrix:
    """What a random matrix is like.

    Attributes:
        out_features: N.
        in_features: K.
        density: Share of kept blocks.
        table: Whether an activation by table follows.
        memory: Where its weights lie.
        extreme: Whether biases, multipliers and shifts are any that there are, not such that results spread well.
    """

    out_features: int
    in_features: int
    density: float
    table: bool = False
    memory: WeightMemory = WeightMemory.BRAM
    extreme: bool = False


def random_run(
    accelerator: Accelerator,
    shapes: list[RandomMatrix],
    tokens: int,
    seed: int,
    *,
    dsp_type: DspType = DspType.DSP48E2,
    repeats: int = 1,
) -> tuple[EngineRun, list[NDArray[np.int64]]]:
    """A run on random numbers, and the results (features × tokens) that it must give."""
    generator = np.random.default_rng(seed)
    matrices, activations, expected = [], [], []
    for number, shape in enumerate(shapes):
        matrix, weight = _matrix(accelerator, shape, f"m{number}", generator)
        x = generator.integers(-128, 128, (shape.in_features, tokens)).astype(np.int8)
        matrices.append(matrix)
        activations.append(x)
        expected.append(_results(matrix, weight, x))
    run = EngineRun(
        accelerator,
        dsp_type,
        make_images(accelerator, matrices),
        [matrix.packed for matrix in matrices],
        activations,
        repeats=repeats,
        seed=seed + 1,
    )
    return run, expected


def _matrix(
    accelerator: Accelerator, shape: RandomMatrix, name: str, generator: np.random.Generator
) -> tuple[EngineMatrix, NDArray[np.int64]]:
    rows, cols = accelerator.block
    n, k = shape.out_features, shape.in_features
    limit = (1 << (accelerator.weight_bits - 1)) - 1
    mask = generator.random((ceil_div(n, rows), ceil_div(k, cols))) < shape.density
    weight = generator.integers(-limit, limit + 1, (n, k)) * mask.repeat(rows, 0).repeat(cols, 1)[:n, :k]
    # Results that neither all vanish nor all saturate.
    spread = int(np.sqrt(k) * limit * 64)
    multiplier = generator.integers(1, 1 << 16, n)
    shift = np.clip(np.log2(multiplier * spread / 64).round().astype(np.int64) + generator.integers(-1, 3, n), 1, 63)
    bias = generator.integers(-spread, spread + 1, n)
    if shape.extreme:
        bias, shift = generator.integers(-(1 << 31), 1 << 31, n), generator.integers(1, 64, n)
    channels = (bias, multiplier, shift, generator.integers(0, 2, n))
    tables = generator.integers(-127, 128, (2, 256)) if shape.table else None
    packed = pack(weight.astype(np.int8), (rows, cols), mask)
    return EngineMatrix(name, packed, shape.memory, channels, tables), weight


def _results(matrix: EngineMatrix, weight: NDArray[np.int64], x: NDArray[np.int8]) -> NDArray[np.int64]:
    which = matrix.channels[3][:, None]
    # Python's integers: 2^63 is one of the divisors.
    bias, multiplier, shift = (values[:, None].astype(object) for values in matrix.channels[:3])
    scaled = ((weight @ x.astype(np.int64)).astype(object) + bias) * multiplier
    # Round half up, then keep to ±127.
    y = np.clip((scaled + 2 ** (shift - 1)) // 2**shift, -127, 127).astype(np.int64)
    return np.asarray(y if matrix.tables is None else matrix.tables[which, y + 128], np.int64)


def draw(seed: int) -> tuple[EngineRun, list[NDArray[np.int64]]]:
    """The random design of this number: array, packing, matrices, tokens, pauses, all drawn from it."""
    g = np.random.default_rng(seed)
    accelerator, dsp_type, external = _draw_array(g)
    tokens = int(g.choice([1, accelerator.max_tokens, int(g.integers(1, accelerator.max_tokens + 1))]))
    shapes = [_draw_matrix(g, external=external) for _ in range(int(g.integers(1, 6)))]
    run, expected = random_run(
        accelerator, shapes, tokens, seed, dsp_type=dsp_type, repeats=int(g.choice([1, 1, 2, 5]))
    )
    if g.random() < 0.3:
        run = replace(run, pauses=Pauses(*(int(g.integers(0, 230)) for _ in range(3))))
    run = replace(run, rom_tiles=bool(g.random() < 0.3))
    latency, cost = int(g.integers(1, 100)), int(g.integers(1, 4000))
    rate = Fraction(int(g.integers(ceil_div(cost, 16), cost + 1)), cost)
    run = replace(run, memory=ExternalMemory(latency, rate if g.random() < 0.7 else Fraction(1)))
    return replace(run, accelerator=_with_streams(run.accelerator, g)), expected


def draw_sharing(seed: int, designs: int) -> list[tuple[EngineRun, list[NDArray[np.int64]]]]:
    """Random designs with one array: their matrices lie in one set of images, each design is a run of some of them.

    What has to be built for an array, such as a compiled kernel, is so built once for all of them.
    """
    g = np.random.default_rng(seed)
    accelerator, dsp_type, external = _draw_array(g)
    accelerator = _with_streams(accelerator, np.random.default_rng([seed, 1]))
    matrices: list[EngineMatrix] = []
    activations, expected, sizes, tokens = [], [], [], []
    for _ in range(designs):
        sizes.append(int(g.integers(1, 4)))
        tokens.append(int(g.choice([1, accelerator.max_tokens, int(g.integers(1, accelerator.max_tokens + 1))])))
        for _ in range(sizes[-1]):
            shape = _draw_matrix(g, external=external)
            matrix, weight = _matrix(accelerator, shape, f"m{len(matrices)}", g)
            x = g.integers(-128, 128, (shape.in_features, tokens[-1])).astype(np.int8)
            matrices.append(matrix)
            activations.append(x)
            expected.append(_results(matrix, weight, x))
    images, packed = make_images(accelerator, matrices), [matrix.packed for matrix in matrices]
    found, first = [], 0
    for size in sizes:
        part = slice(first, first + size)
        run = EngineRun(accelerator, dsp_type, images, packed, activations[part], first=first, seed=seed + 1)
        found.append((run, expected[part]))
        first += size
    return found


def _with_streams(accelerator: Accelerator, g: np.random.Generator) -> Accelerator:
    """Streams as wide as a port, narrower or wider."""
    return replace(accelerator, stream_bits=int(g.choice([0, 0, 32, 64, 128, 256, 512])))


def _draw_array(g: np.random.Generator) -> tuple[Accelerator, DspType, bool]:
    """An array, the device's DSPs, and whether there is external memory."""
    weight_bits = int(g.choice([8, 8, 4]))
    dsp_type = DspType.DSP48E1 if weight_bits == 8 and g.random() < 0.25 else DspType.DSP48E2
    rows, cols = (int(g.choice([1, 2, 3, 4, 5, 8, 12, 16])) for _ in range(2))
    lanes = int(g.choice([1, 2, 3, 4, 5, 7]))
    interval = int(g.choice([q for q in (1, 2, 4, 8) if rows % q == 0]))
    external = bool(g.random() < 0.4)
    ports, port_bits = (int(g.choice([1, 1, 2, 4])) if external else 0), int(g.choice([32, 64, 128]))
    word_bits = int(g.choice([8, 16, 32, 64, 128]))
    accelerator = Accelerator(
        rows=rows,
        cols=cols,
        lanes=lanes,
        weight_bits=weight_bits,
        dsp_packing=int(g.choice([1, 2, 2] if weight_bits == 8 else [1, 2, 4, 4])),
        clock_mhz=200.0,
        max_tokens=int(g.integers(1, 131)),
        weight_port_bits=max(word_bits, ports * port_bits),
        axi_ports=ports,
        axi_port_bits=port_bits,
        requant_interval=interval,
    )
    return accelerator, dsp_type, external


def _draw_matrix(g: np.random.Generator, *, external: bool) -> RandomMatrix:
    return RandomMatrix(
        int(g.integers(1, 60)),
        int(g.integers(1, 60)),
        float(g.choice([0.0, 1.0, g.random(), g.random(), g.random() / 5])),
        bool(g.random() < 0.3),
        WeightMemory(g.choice(["bram", "uram", "ddr", "ddr"] if external else ["bram", "bram", "uram"])),
        bool(g.random() < 0.1),
    )
