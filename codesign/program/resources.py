"""What a whole encoder takes of the device."""

from __future__ import annotations

from collections.abc import Sequence

from codesign.boards import DspType
from codesign.hardware import resources
from codesign.hardware.arrays import EncoderSizes
from codesign.hardware.memories import ceil_div
from codesign.hardware.resources import Placed, Resources
from codesign.program.compile import memory_words
from codesign.program.constants import place_bits
from codesign.program.layout import Layout
from codesign.program.steps import Memory


def encoder_sizes(layout: Layout, layers: int, unread: int = 0) -> EncoderSizes:
    """What an encoder has beside the array and its matrices; the same as of its program, without compiling it.

    Args:
        layout: Sizes.
        layers: Of the encoder.
        unread: Heads of all layers whose context nothing reads: they are not computed.
    """
    a, words = layout.accelerator, memory_words(layout)
    norms, heads = 2 * layers, layers * layout.heads - unread
    return EncoderSizes(
        state=words[Memory.STATE],
        work=words[Memory.WORK],
        keys=words[Memory.KEYS],
        values=words[Memory.VALUES],
        sums=words[Memory.SUMS],
        gains=norms * ceil_div(layout.hidden, a.rows) * a.requant_interval,
        norms=norms * layout.norm_words,
        results=2 * layout.groups * layout.norm_words,
        head_channels=layers * layout.heads,
        place_bits=place_bits(layout).total,
        columns=max(
            layout.state_columns, layout.inner_columns, layout.head_columns, layout.groups * layout.key_columns
        ),
        key_blocks=(layout.key_rows, layout.key_columns),
        head_words=layout.head_words,
        array_steps=6 * layers + 2 * heads,
        vector_steps=1 + 2 * layers + heads,
    )


def encoder_resources(
    layout: Layout, dsp_type: DspType, sizes: EncoderSizes, placed: Sequence[Placed]
) -> dict[str, Resources]:
    """Resources of a whole encoder: module of ``hls_templates/rtl`` → counts.

    Args:
        layout: Sizes, with the array.
        dsp_type: Of the device.
        sizes: Of the encoder.
        placed: All matrices, six a layer.
    """
    a, tables = layout.accelerator, sum(p.count * p.sparse.matrix.activation for p in placed)
    return resources.merged(
        resources.fixed_resources(a, dsp_type, [p.sparse for p in placed], tables, sizes),
        resources.weight_resources(a, dsp_type, placed, sizes),
    )
