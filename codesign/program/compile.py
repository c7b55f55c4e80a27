"""From an encoder's shape and the array to the program."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from codesign.program.layout import Layout
from codesign.program.steps import ArrayStep, Buffer, Kind, Memory, Program, VectorStep
from codesign.program.unread import Needed, everything

_MATRICES = ("query", "key", "value", "attention_output", "ffn_in", "ffn_out")
"""In the order of the images."""


def compile_encoder(layout: Layout, layers: int, needed: Needed | None = None) -> Program:
    """The program of one sentence.

    Per layer: K, Q and V; the heads' two products, softmax of a head while the array has the next one; the attention
    output onto the residual sum, LayerNorm, the feed-forward part, LayerNorm.

    Args:
        layout: Sizes.
        layers: Of the encoder.
        needed: What is computed; None: everything.
    """
    needed = needed or everything(layout, layers)
    buffers = _buffers(layout)
    array: list[ArrayStep] = []
    vector: list[VectorStep] = [VectorStep("embeddings", Kind.LOAD, 0, buffers["state"])]
    order: list[ArrayStep | VectorStep] = [*vector]

    def on_array(step: ArrayStep) -> None:
        array.append(step)
        order.append(step)

    def on_vector(step: VectorStep) -> None:
        vector.append(step)
        order.append(step)

    for layer in range(layers):

        def matmul(part: str, operand: str, target: str, residual: str | None = None, layer: int = layer) -> None:
            matrix = len(_MATRICES) * layer + _MATRICES.index(part)
            on_array(
                ArrayStep(
                    f"layer {layer} {part}",
                    Kind.MATMUL,
                    layer,
                    buffers[operand],
                    buffers[target],
                    matrix=matrix,
                    rows=needed.rows[matrix],
                    residual=buffers[residual] if residual else None,
                )
            )

        def context(head: int, half: int, layer: int = layer) -> None:
            on_array(
                ArrayStep(
                    f"layer {layer} head {head} context",
                    Kind.CONTEXT,
                    layer,
                    buffers[f"exponentials {half}"],
                    buffers["context"],
                    head=head,
                    head_buffer=half,
                    stationary=_of_head(layout, buffers["values"], head),
                )
            )

        for part, target in (("key", "keys"), ("query", "queries"), ("value", "values")):
            matmul(part, "state", target)
        waiting: list[tuple[int, int]] = []
        for number, head in enumerate(needed.heads[layer]):
            half = number % 2
            scores = buffers[f"scores {half}"]
            on_array(
                ArrayStep(
                    f"layer {layer} head {head} scores",
                    Kind.SCORES,
                    layer,
                    _of_head(layout, buffers["queries"], head),
                    scores,
                    head=head,
                    head_buffer=half,
                    stationary=_of_head(layout, buffers["keys"], head),
                )
            )
            if waiting:
                context(*waiting.pop())
            on_vector(
                VectorStep(
                    f"layer {layer} head {head} softmax",
                    Kind.SOFTMAX,
                    layer,
                    buffers[f"exponentials {half}"],
                    source=scores,
                    head=head,
                    head_buffer=half,
                )
            )
            waiting.append((head, half))
        for last in waiting:
            context(*last)
        matmul("attention_output", "context", "sums", "state")
        on_vector(
            VectorStep(f"layer {layer} norm 0", Kind.NORM, layer, buffers["state"], buffers["sums"], norm=2 * layer)
        )
        matmul("ffn_in", "state", "inner")
        matmul("ffn_out", "inner", "sums", "state")
        on_vector(
            VectorStep(
                f"layer {layer} norm 1",
                Kind.NORM,
                layer,
                buffers["state"],
                buffers["sums"],
                norm=2 * layer + 1,
                to_stream=layer == layers - 1,
            )
        )
    return _ordered(order, buffers.values())


def _buffers(layout: Layout) -> dict[str, Buffer]:
    """Every buffer. What the feed-forward part makes lies where queries and context have lain."""
    groups, columns = layout.groups, layout.heads * layout.head_columns
    state, scores = layout.state_columns * groups, groups * layout.key_words * groups
    exponentials, sums = groups * layout.key_columns * groups, layout.norm_words * groups
    found = (
        Buffer("state", Memory.STATE, 0, state),
        Buffer("exponentials 0", Memory.STATE, state, exponentials),
        Buffer("exponentials 1", Memory.STATE, state + exponentials, exponentials),
        Buffer("queries", Memory.WORK, 0, columns * groups),
        Buffer("context", Memory.WORK, columns * groups, state),
        Buffer("inner", Memory.WORK, 0, layout.inner_columns * groups),
        Buffer("keys", Memory.KEYS, 0, columns * groups),
        Buffer("values", Memory.VALUES, 0, layout.heads * layout.head_rows * groups),
        Buffer("sums", Memory.SUMS, 0, sums),
        Buffer("scores 0", Memory.SUMS, 0, scores),
        Buffer("scores 1", Memory.SUMS, scores, scores),
    )
    return {buffer.name: buffer for buffer in found}


def _of_head(layout: Layout, buffer: Buffer, head: int) -> Buffer:
    """A head's part of queries, keys or values."""
    words = buffer.words // layout.heads
    return Buffer(f"{buffer.name} of head {head}", buffer.memory, buffer.base + head * words, words)


def _ordered(order: list[ArrayStep | VectorStep], buffers: Iterable[Buffer]) -> Program:
    """Steps with what they must wait for.

    A step waits for those of the other unit that write what it reads, or read or write what it writes. The array's
    own results come a while after it has turned to its next step, so it waits for itself where it reads them; what it
    writes is never early, as the steps before it have read theirs by then. Residuals are read as the results come,
    through the port of the operands in STATE: a step with such operands waits for the sums before it.
    """
    array: list[ArrayStep] = []
    vector: list[VectorStep] = []
    for step in order:
        if isinstance(step, ArrayStep):
            after_vector = _last((_conflict(step, other) for other in reversed(vector)), len(vector))
            after_array = _last((_own_conflict(step, other) for other in reversed(array)), len(array))
            array.append(replace(step, after_vector=after_vector, after_array=after_array))
        else:
            after_array = _last((_conflict(step, other) for other in reversed(array)), len(array))
            vector.append(replace(step, after_array=after_array))
    return Program(tuple(array), tuple(vector), _words(buffers))


def _last(conflicts: Iterable[bool], count: int) -> int:
    """Number of the last of so many steps that matters, counted from one, given backwards; 0 where none does."""
    return next((count - number for number, matters in enumerate(conflicts) if matters), 0)


def memory_words(layout: Layout) -> dict[Memory, int]:
    """Words of each memory, as every program has them."""
    return _words(_buffers(layout).values())


def _words(buffers: Iterable[Buffer]) -> dict[Memory, int]:
    sizes = dict.fromkeys(Memory, 0)
    for buffer in buffers:
        sizes[buffer.memory] = max(sizes[buffer.memory], buffer.base + buffer.words)
    return sizes


def _own_conflict(step: ArrayStep, before: ArrayStep) -> bool:
    """Whether the array must wait for its own results."""
    if any(before.target.overlaps(read) for read in step.reads):
        return True
    return step.operand.memory is Memory.STATE and before.residual is not None


def _conflict(step: ArrayStep | VectorStep, before: ArrayStep | VectorStep) -> bool:
    """Whether the order of two steps matters to what they compute."""
    written = any(before.target.overlaps(buffer) for buffer in (*step.reads, step.target))
    return written or any(step.target.overlaps(buffer) for buffer in before.reads)
