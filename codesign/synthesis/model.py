"""The resource model of a synthesised design, and the fit of its coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from codesign.files import write_text
from codesign.hardware import arrays
from codesign.hardware.accelerator import sparse_matrix
from codesign.hardware.arrays import EncoderSizes
from codesign.hardware.logic import WHAT, encoder_logic, engine_logic, stream_logic, weight_logic
from codesign.hardware.resources import (
    COEFFICIENTS_FILE,
    Placed,
    Resources,
    fixed_resources,
    merged,
    priced_memories,
    weight_contents,
    weight_resources,
)
from codesign.models import Matrix
from codesign.program.build import PARTS
from codesign.program.resources import encoder_sizes
from codesign.synthesis.designs import SynthesisDesign
from codesign.synthesis.units import Unit

Counted = Mapping[str, Unit]


def predicted(design: SynthesisDesign) -> dict[str, Resources]:
    """What the resource model says of a design, by module."""
    a, dsp_type, placed, encoder = design.accelerator, design.dsp_type, _placed(design), _sizes(design)
    return merged(
        fixed_resources(a, dsp_type, [p.sparse for p in placed], _tables(design), encoder),
        weight_resources(a, dsp_type, placed, encoder),
    )


def _tables(design: SynthesisDesign) -> int:
    return sum(table for *_, table in design.matrices)


def _sizes(design: SynthesisDesign) -> EncoderSizes | None:
    return encoder_sizes(design.layout, len(design.matrices) // len(PARTS)) if design.layout else None


def _placed(design: SynthesisDesign) -> list[Placed]:
    rows, cols = design.accelerator.block
    return [
        Placed(sparse_matrix(Matrix(f"m{i}", n, k), rows, cols, packed.row_blocks.tolist()), memory, 1)
        for i, ((n, k, memory, _), packed) in enumerate(zip(design.matrices, design.run().packed, strict=True))
    ]


def _contents(design: SynthesisDesign) -> tuple[dict[str, Mapping[str, float]], dict[str, Resources]]:
    """(what the modules consist of, what their memories take)."""
    a, placed, encoder = design.accelerator, _placed(design), _sizes(design)
    contents = weight_contents(a, placed, encoder)
    columns = max(-(-k // a.cols) for _, k, *_ in design.matrices)
    block_rows = max(p.sparse.block_rows for p in placed)
    around = arrays.encoder_memories(a, encoder) if encoder else arrays.buffer_memories(a, columns, block_rows)
    memories = merged(
        priced_memories(arrays.engine_memories(a, _tables(design)), design.dsp_type),
        priced_memories(around, design.dsp_type),
        priced_memories(arrays.weight_memories(a, contents), design.dsp_type),
    )
    counts: dict[str, Mapping[str, float]] = {
        **engine_logic(a, design.dsp_type, _tables(design), encoder),
        **(encoder_logic(a, encoder) if encoder else stream_logic(a)),
        **weight_logic(a, contents, encoder),
    }
    return counts, memories


def fit(results: Sequence[tuple[SynthesisDesign, Counted]]) -> dict[str, tuple[float, float]]:
    """(LUT, FF) of every coefficient: the non-negative ones that come nearest to what was counted, module by module.

    A design's error counts as a part of its whole engine: what is asked for is the error of the total.
    """
    modules: dict[str, list[str]] = {}
    for name in WHAT:
        module, what = name.split(".")
        modules.setdefault(module, []).append(what)
    found: dict[str, tuple[float, float]] = {}
    prepared = [(counted, *_contents(design)) for design, counted in results]
    for module, items in modules.items():
        columns = []
        for kind in ("lut", "ff"):
            matrix, target = [], []
            for counted, counts, memories in prepared:
                if module not in counted or module not in counts:
                    continue
                size = sum(unit.resources[kind] for unit in counted.values())
                of_memories = getattr(memories.get(module, Resources()), kind)
                matrix.append([counts[module].get(what, 0) / size for what in items])
                target.append((counted[module].resources[kind] - of_memories) / size)
            scale = np.abs(np.array(matrix)).max(axis=0)
            scale[scale == 0] = 1
            solution, _ = nnls(np.array(matrix) / scale, np.array(target))
            columns.append(solution / scale)
        for what, lut, ff in zip(items, *columns, strict=True):
            found[f"{module}.{what}"] = (float(lut), float(ff))
    return found


def write_coefficients(table: Mapping[str, tuple[float, float]], how: str, path: Path = COEFFICIENTS_FILE) -> None:
    """The table as the package reads it."""
    lines = [f"# LUTs and flip-flops of what the engine consists of. {how}"]
    lines += [f"{name}: {{lut: {lut:.4g}, ff: {ff:.4g}}}  # per {WHAT[name]}" for name, (lut, ff) in table.items()]
    write_text(path, "\n".join(lines) + "\n")
