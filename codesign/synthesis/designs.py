"""The designs that are synthesised: arrays, packings, interfaces and memories of every kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from codesign.boards import DspType
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.program.build import PARTS, build_encoder
from codesign.program.layout import Layout
from codesign.simulation.engine import EngineRun
from codesign.simulation.random_designs import RandomMatrix, random_run
from codesign.simulation.random_encoders import random_encoder

_E1, _E2 = DspType.DSP48E1, DspType.DSP48E2
_BRAM, _URAM, _DDR = WeightMemory.BRAM, WeightMemory.URAM, WeightMemory.DDR


@dataclass(frozen=True)
class SynthesisDesign:
    """One design.

    Attributes:
        name: What the table calls it.
        fitted: Whether the resource model's coefficients may be fitted on it; otherwise it judges them.
        dsp_type: Of the device family.
        accelerator: The array.
        matrices: (N, K, memory, whether an activation follows) of each; half of the blocks are kept.
        heads: Of the whole encoder whose matrices these are; 0: matrices alone.
    """

    name: str
    fitted: bool
    dsp_type: DspType
    accelerator: Accelerator
    matrices: tuple[tuple[int, int, WeightMemory, bool], ...]
    heads: int = 0

    @property
    def layout(self) -> Layout | None:
        """Of the whole encoder, if it is one."""
        if not self.heads:
            return None
        return Layout(self.accelerator, self.matrices[0][0], self.matrices[PARTS.index("ffn_in")][0], self.heads)

    def run(self) -> EngineRun:
        """The design on random numbers: a synthesiser finds nothing constant in its memories."""
        return _run(self)


@cache
def _run(design: SynthesisDesign) -> EngineRun:
    a, seed = design.accelerator, len(design.name)
    if design.layout is None:
        shapes = [RandomMatrix(n, k, 0.5, table, memory) for n, k, memory, table in design.matrices]
        return random_run(a, shapes, 1, seed, dsp_type=design.dsp_type)[0]
    layers = len(design.matrices) // len(PARTS)
    model = random_encoder(design.layout, layers, 0.5, np.random.default_rng(seed))
    memories = [memory for _, _, memory, _ in design.matrices]
    encoder, images = build_encoder(design.layout, layers, model.constants, model.packed, memories)
    sentence = np.zeros((design.layout.hidden, 1), np.int8)
    return EngineRun(a, design.dsp_type, images, model.packed, [sentence], encoder=encoder)


def _array(
    rows: int,
    cols: int,
    lanes: int,
    interval: int,
    *,
    bits: int = 8,
    packing: int = 2,
    tokens: int = 128,
    port: int = 128,
    axi: tuple[int, int] = (0, 128),
    stream: int = 0,
    vector: int = 0,
    luts: bool = False,
) -> Accelerator:
    """``vector``: features of all lanes that the vector unit takes per cycle; ``luts``: residual sums in LUTs."""
    ports, width = axi
    return Accelerator(
        rows=rows,
        cols=cols,
        lanes=lanes,
        weight_bits=bits,
        dsp_packing=packing,
        clock_mhz=300.0,
        max_tokens=tokens,
        weight_port_bits=max(port, ports * width),
        axi_ports=ports,
        axi_port_bits=width,
        stream_bits=stream,
        requant_interval=interval,
        vector_width=vector * lanes,
        lut_sums=luts,
    )


def _layer(
    hidden: int, ffn: int, *memories: WeightMemory, layers: int = 1
) -> tuple[tuple[int, int, WeightMemory, bool], ...]:
    """The matrices of encoder layers, in these memories in turn."""
    shapes = ([(hidden, hidden)] * 4 + [(ffn, hidden), (hidden, ffn)]) * layers
    return tuple((n, k, memories[i % len(memories)], (n, k) == (ffn, hidden)) for i, (n, k) in enumerate(shapes))


DESIGNS = (
    SynthesisDesign("8×8×2", True, _E2, _array(8, 8, 2, 1, tokens=64, port=64), _layer(64, 128, _BRAM)),
    SynthesisDesign(
        "8×8×4, 2 ports", False, _E2, _array(8, 8, 4, 4, axi=(2, 128)), _layer(96, 256, _DDR, _BRAM, _URAM)
    ),
    SynthesisDesign("16×16×4", True, _E2, _array(16, 16, 4, 4), _layer(128, 512, _BRAM)),
    SynthesisDesign(
        "16×16×4, 1 port, 512-bit streams",
        False,
        _E2,
        _array(16, 16, 4, 2, axi=(1, 128), stream=512),
        _layer(192, 384, _URAM, _DDR),
    ),
    SynthesisDesign("8×12×6, URAM", True, _E2, _array(8, 12, 6, 4), _layer(192, 768, _URAM, _BRAM)),
    SynthesisDesign("32×32×2", False, _E2, _array(32, 32, 2, 8), _layer(128, 256, _BRAM)),
    SynthesisDesign(
        "16×16×4 of int4", True, _E2, _array(16, 16, 4, 4, bits=4, packing=4), _layer(128, 256, _BRAM, _URAM)
    ),
    SynthesisDesign(
        "8×16×6 of int4, 1 port",
        False,
        _E2,
        _array(8, 16, 6, 2, bits=4, packing=4, axi=(1, 128)),
        _layer(96, 192, _DDR),
    ),
    SynthesisDesign("column 16×1×16", False, _E2, _array(16, 1, 16, 8), _layer(128, 256, _BRAM)),
    SynthesisDesign("column 16×1×32, 1 port", True, _E2, _array(16, 1, 32, 8, axi=(1, 128)), _layer(64, 128, _DDR)),
    SynthesisDesign("row 1×16×16", True, _E2, _array(1, 16, 16, 1), _layer(128, 256, _BRAM)),
    SynthesisDesign("row 1×16×32, 1 port", False, _E2, _array(1, 16, 32, 1, axi=(1, 128)), _layer(64, 128, _DDR)),
    SynthesisDesign(
        "8×8×4, one product per DSP",
        True,
        _E2,
        _array(8, 8, 4, 2, packing=1, axi=(4, 64)),
        _layer(64, 256, _DDR, _URAM),
    ),
    SynthesisDesign(
        "8×8×3, no activation",
        False,
        _E2,
        _array(8, 8, 3, 2, tokens=100),
        ((100, 80, _BRAM, False), (40, 100, _URAM, False)),
    ),
    SynthesisDesign("8×8×2, 36 matrices", True, _E2, _array(8, 8, 2, 1, port=64), _layer(32, 64, _BRAM, layers=6)),
    SynthesisDesign(
        "8×8×4, 72 matrices, 1 port",
        False,
        _E2,
        _array(8, 8, 4, 2, axi=(1, 128)),
        _layer(32, 64, _DDR, _BRAM, layers=12),
    ),
    SynthesisDesign("7 series, 8×8×4", True, _E1, _array(8, 8, 4, 2, port=64), _layer(96, 192, _BRAM)),
    SynthesisDesign(
        "7 series, 8×8×2, 1 port", False, _E1, _array(8, 8, 2, 1, axi=(1, 64)), _layer(64, 256, _DDR, _BRAM)
    ),
    SynthesisDesign(
        "encoder 4×4×2",
        True,
        _E2,
        _array(4, 4, 2, 2, tokens=16, port=64, vector=2, luts=True),
        _layer(16, 24, _BRAM),
        heads=2,
    ),
    SynthesisDesign(
        "encoder 4×8×4, one product per DSP",
        False,
        _E2,
        _array(4, 8, 4, 2, packing=1, tokens=64, vector=4),
        _layer(32, 48, _URAM, _BRAM, layers=2),
        heads=2,
    ),
    SynthesisDesign(
        "encoder 8×4×8 of int4, 1 port",
        True,
        _E2,
        _array(8, 4, 8, 4, bits=4, tokens=32, axi=(1, 64), port=64, vector=4, luts=True),
        _layer(24, 32, _DDR, _BRAM),
        heads=3,
    ),
    SynthesisDesign(
        "encoder 8×8×3 of int4, 512-bit streams",
        False,
        _E2,
        _array(8, 8, 3, 2, bits=4, stream=512, vector=8),
        _layer(48, 96, _BRAM),
        heads=4,
    ),
    SynthesisDesign(
        "7 series, encoder 4×8×2",
        True,
        _E1,
        _array(4, 8, 2, 1, tokens=100, port=64, vector=8),
        _layer(32, 64, _BRAM),
        heads=2,
    ),
    SynthesisDesign(
        "7 series, encoder 8×8×2, 1 port",
        False,
        _E1,
        _array(8, 8, 2, 2, tokens=64, axi=(1, 64), vector=8, luts=True),
        _layer(64, 96, _DDR, _BRAM),
        heads=8,
    ),
    SynthesisDesign(
        "encoder 8×8×4",
        False,
        _E2,
        _array(8, 8, 4, 2, tokens=64, vector=4, luts=True),
        _layer(32, 64, _URAM, _BRAM),
        heads=4,
    ),
    SynthesisDesign(
        "encoder 8×8×2, 8 layers",
        True,
        _E2,
        _array(8, 8, 2, 4, tokens=64, port=64, vector=2),
        _layer(16, 32, _BRAM, layers=8),
        heads=2,
    ),
    SynthesisDesign(
        "encoder 16×16×4, 3 layers",
        True,
        _E2,
        _array(16, 16, 4, 4, vector=8),
        _layer(64, 128, _BRAM, layers=3),
        heads=4,
    ),
    SynthesisDesign(
        "encoder 8×12×4, 2 ports",
        False,
        _E2,
        _array(8, 12, 4, 2, axi=(2, 128), vector=12),
        _layer(48, 96, _DDR, _BRAM),
        heads=4,
    ),
)
