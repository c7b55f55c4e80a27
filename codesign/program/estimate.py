"""What an encoder has and does beside its weight matrices, in closed form: asked of thousands of arrays."""

from __future__ import annotations

from codesign.hardware.accelerator import Accelerator
from codesign.hardware.cycles import block_row_cycles
from codesign.hardware.memories import ceil_div
from codesign.hardware.predict import Beside
from codesign.models import EncoderShape
from codesign.numerics import ACTIVATION_BITS
from codesign.program.layout import Layout
from codesign.program.resources import encoder_sizes
from codesign.program.timeline import norm_cycles, softmax_cycles


def beside(accelerator: Accelerator, shape: EncoderShape, unread: int = 0) -> Beside:
    """What an encoder has and does beside its matrices.

    Args:
        accelerator: The array; its ``max_tokens`` are a sentence's.
        shape: The encoder.
        unread: Heads that are not computed, of all layers.

    Raises:
        InputError: The array does not fit its heads.
    """
    layout = layout_of(accelerator, shape)
    return Beside(encoder_sizes(layout, shape.layers, unread), beside_cycles(layout, shape.layers))


def layout_of(accelerator: Accelerator, shape: EncoderShape) -> Layout:
    """Sizes of an encoder on an array.

    Raises:
        InputError: The array does not fit its heads.
    """
    return Layout(accelerator, shape.hidden, shape.ffn, shape.heads)


def beside_cycles(layout: Layout, layers: int) -> int:
    """Cycles of the longest sentence that are not its matrices', about (exactly: ``codesign.program.timeline``).

    Of each layer: the heads' products and softmax in turns, whichever takes longer; the last head's softmax; two
    LayerNorms. The array drains as often as a layer has matrices, whose cycles have that in them: behind Q, K and V,
    the last scores, the last context, and three matrices.
    """
    a, groups = layout.accelerator, layout.groups
    softmax = softmax_cycles(layout, groups)
    heads = layout.heads * max(attention_cycles(layout, groups), softmax)
    load = layout.state_columns * groups * ceil_div(a.cols * a.lanes * ACTIVATION_BITS, a.stream_bits)
    return layers * (heads + softmax + 2 * norm_cycles(layout, groups)) + load


def attention_cycles(layout: Layout, groups: int) -> int:
    """Cycles that the two products of a head hold the array, at its full rate."""
    a, fetch = layout.accelerator, layout.head_words
    scores = groups * layout.key_rows * block_row_cycles(a, layout.head_columns, groups, fetch)
    return scores + layout.head_rows * block_row_cycles(a, groups * layout.key_columns, groups, fetch)
