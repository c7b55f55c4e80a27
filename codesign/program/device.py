"""An encoder as the device has it: layout, program, and the numbers that its steps need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.numerics import fixed_point
from codesign.program.constants import place_bits
from codesign.program.layout import Layout
from codesign.program.steps import ArrayStep, Kind, Memory, Program

TARGETS = {
    Memory.WORK: "TO_WORK",
    Memory.KEYS: "TO_KEYS",
    Memory.VALUES: "TO_VALUES",
}


@dataclass(frozen=True)
class Encoder:
    """What hardware is made of beside the images.

    Attributes:
        layout: Sizes.
        program: Steps.
        numerators, shifts: Of the quotients, layers × heads.
        epsilons: Of every LayerNorm.
        norm_shift: Places behind the point of their gains.
        head_channels: Word of channels of the first head's scores.
    """

    layout: Layout
    program: Program
    numerators: NDArray[np.int64]
    shifts: NDArray[np.int64]
    epsilons: tuple[int, ...]
    norm_shift: int
    head_channels: int

    def array_fields(self, step: ArrayStep, matrix: Mapping[str, Any] | None) -> dict[str, Any]:
        """A row of the layer table; ``matrix`` is that of its matrix."""
        layout = self.layout
        fields: dict[str, Any] = {
            "name": step.name,
            "kind": step.kind.name,
            "operand_work": int(step.operand.memory is Memory.WORK),
            "operand_base": step.operand.base,
            "stationary_base": 0 if step.stationary is None else step.stationary.base,
            "target": "TO_SUMS" if step.residual else TARGETS.get(step.target.memory, "TO_SCORES"),
            "target_base": step.target.base,
            "residual_base": 0 if step.residual is None else step.residual.base,
            "place_column": 0,
            "place_sub": 0,
            "gain_base": 0,
            "head_buffer": step.head_buffer,
            "after_vector": step.after_vector,
            "after_array": step.after_array,
        }
        if step.residual:
            # Two sums a layer.
            rows = -(-layout.hidden // layout.accelerator.rows) * layout.accelerator.requant_interval
            fields["gain_base"] = rows * (2 * step.layer + int("ffn" in step.name))
        if matrix is not None:
            return {**matrix, **fields}
        assert step.head is not None
        if step.kind is Kind.CONTEXT:
            first = step.head * layout.head
            fields["place_column"] = first // layout.accelerator.cols
            fields["place_sub"] = first % layout.accelerator.cols // layout.drained
        return {
            **dict.fromkeys(("entries", "index_base", "weight_base", "constants_base", "external_base"), 0),
            **dict.fromkeys(("index_beats", "channel_beats", "weight_beats", "columns"), 0),
            "nonzero_blocks": 1,
            "out_features": layout.head,
            "in_features": layout.head,
            "channel_base": self.head_channels + step.layer * layout.heads + step.head,
            "memory": "KEYS" if step.kind is Kind.SCORES else "VALUES",
            "table": None,
            **fields,
        }

    def vector_fields(self) -> Iterator[dict[str, Any]]:
        """The steps of the vector unit as rows of their table."""
        for step in self.program.vector:
            head = (step.layer, step.head) if step.head is not None else None
            yield {
                "name": step.name,
                "kind": step.kind.name,
                "sums_base": step.source.base if step.source else 0,
                "state_base": step.target.base,
                "to_stream": int(step.to_stream),
                "head_buffer": step.head_buffer,
                "numerator": int(self.numerators[head]) if head else 0,
                "shift": int(self.shifts[head]) if head else 0,
                "norm_base": 0 if step.norm is None else step.norm * self.layout.norm_words,
                "epsilon": 0 if step.norm is None else self.epsilons[step.norm],
                "after_array": step.after_array,
            }

    def parameters(self) -> Iterator[tuple[str, int, str]]:
        """(name, value, meaning) of the package's parameters that an encoder needs."""
        layout, a, sizes = self.layout, self.layout.accelerator, self.program.memories
        bits = place_bits(layout)
        drained = layout.drained
        multiplier, shift = (int(part) for part in fixed_point(np.asarray(1 / layout.hidden)))
        norms = len(self.epsilons) * layout.norm_words
        period = max(layout.groups * layout.key_words, layout.norm_words, a.lanes)
        yield "V", a.vector_rows, "features (or keys) of L tokens that the vector unit takes per cycle"
        yield "LUT_SUMS", int(a.lut_sums), "1: products of residual sums in LUTs"
        yield "FEATURES", layout.hidden, "of the residual stream"
        yield "HEAD_COLUMNS", layout.head_columns, "block columns of a head's features"
        yield "HEAD_ROWS", layout.head_rows, "block rows of them"
        yield "HEAD_WORDS", layout.head_words, "words of a block of K or V"
        yield "LAST_HEAD_FEATURES", layout.head - (layout.head_columns - 1) * a.cols, "in the last block column"
        yield (
            "LAST_HEAD_PARTS",
            layout.head // drained - (layout.head_rows - 1) * a.requant_interval,
            "in the last block row",
        )
        yield "KEY_ROWS", layout.key_rows, "blocks of R keys of a token group"
        yield "KEY_COLUMNS", layout.key_columns, "blocks of C keys of it"
        yield "KEY_WORDS", layout.key_words, "words of V keys of it"
        yield (
            "LAST_KEY_PARTS",
            -(-a.lanes // drained) - (layout.key_rows - 1) * a.requant_interval,
            "in the last block of R keys",
        )
        yield "STATE_COLUMNS", layout.state_columns, "block columns of the residual stream"
        yield "STATE_PARTS", layout.state_parts, "parts of D features of a block column"
        yield "STATE_VECTORS", a.cols // a.vector_rows, "parts of V features of it"
        yield "VALUE_PARTS", a.requant_interval, "parts of D features of a block row"
        yield "SUM_BANKS", layout.sum_banks, "parts of D features of a word of sums"
        yield "NORM_WORDS", layout.norm_words, "words of V features"
        yield "NORM_PERIOD", max(layout.norm_words, a.lanes), "cycles from one token group of LayerNorm to the next"
        yield "MEAN_MULTIPLIER", multiplier, "MEAN_MULTIPLIER >> MEAN_SHIFT is 1 / FEATURES"
        yield "MEAN_SHIFT", shift, "likewise"
        yield "NORM_SHIFT", self.norm_shift, "places behind the point of LayerNorm's gains"
        yield "DEVIATION_PLACES", 18, "places behind the point of a reciprocal deviation"
        yield "STATE_WORDS", sizes[Memory.STATE], "words of C features: residual stream, exponentials"
        yield "WORK_WORDS", sizes[Memory.WORK], "queries and context, or the feed-forward part"
        yield "KEY_MEMORY_WORDS", sizes[Memory.KEYS], "keys"
        yield "VALUE_MEMORY_WORDS", sizes[Memory.VALUES], "values, of R features"
        yield "SUM_WORDS", sizes[Memory.SUMS], "scores and sums, of V features"
        yield "NORM_CONSTANTS", norms, "words of LayerNorm's constants"
        yield (
            "GAIN_WORDS",
            len(self.epsilons) * (-(-layout.hidden // a.rows)) * a.requant_interval,
            "words of the sums' gains",
        )
        yield "PLACE_COLUMN_BITS", bits.column, "number of a word in a memory"
        yield "PLACE_SUB_BITS", bits.sub, "number of a part of it"
        yield "BASE_BITS", (max(sizes.values()) + 1).bit_length(), "address of any of these memories"
        counts = max(layout.groups, layout.head_columns, layout.head_rows, layout.key_rows, layout.key_columns)
        yield "HEAD_COUNT_BITS", (counts + 1).bit_length(), "of a count of a head's blocks"
        yield "STATIONARY_BITS", (max(layout.head_columns, layout.head_rows) + 1).bit_length(), "number of a block"
        yield (
            "STATIONARY_LANE_BITS",
            max((max(layout.key_rows, layout.key_columns) - 1).bit_length(), 1),
            "of its lanes",
        )
        yield "KEY_LANE_BITS", (layout.key_rows * a.rows + a.rows).bit_length(), "number of a key of a token group"
        yield "KEY_WORD_BITS", (layout.key_words + 1).bit_length(), "number of a word of V keys"
        yield "GAIN_ADDRESS_BITS", (len(self.epsilons) * (layout.hidden + a.rows)).bit_length(), "of a word of gains"
        yield "NORM_ADDRESS_BITS", (norms + 1).bit_length(), "of a word of LayerNorm's constants"
        yield "PERIOD_BITS", (period + 1).bit_length(), "of a count of a token group's words"
        yield "SENTENCE_WORDS_BITS", (layout.groups * layout.norm_words + 1).bit_length(), "of a sentence's words"
        yield "VECTOR_STEPS", len(self.program.vector), "of the vector unit"
        yield "VECTOR_STEP_BITS", (len(self.program.vector)).bit_length(), "number of one"
