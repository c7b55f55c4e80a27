"""What every step of a program gives on a sentence by the integer model, in the words that hardware gives it in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codesign.hardware.cycles import token_groups
from codesign.hardware.memories import ceil_div
from codesign.program.layout import Layout
from codesign.program.steps import ArrayStep, Kind, Program, VectorStep
from codesign.quantisation.encoder import Encoder, Layer
from codesign.quantisation.operations import exponentials, matmul, scores, weighted_mean


@dataclass(frozen=True)
class StepWords:
    """Results of a step: words × features (or keys) × lanes, and which of them count."""

    values: NDArray[np.int64]
    counts: NDArray[np.bool_]

    def mismatches(self, found: NDArray[np.integer]) -> int:
        """How many of those that count are other numbers."""
        return int(((found != self.values) & self.counts).sum())


@dataclass(frozen=True)
class Reference:
    """Results of every step but LOAD, and the last layer's, features × tokens."""

    array: tuple[StepWords, ...]
    vector: tuple[StepWords, ...]
    output: NDArray[np.int64]


def reference(layout: Layout, program: Program, model: Encoder, sentence: NDArray[np.int8]) -> Reference:
    """What a program gives.

    Args:
        layout: Sizes.
        program: Steps.
        model: The integer model.
        sentence: Embeddings, features × tokens, int8.
    """
    state = torch.from_numpy(sentence.T.astype(np.int64))
    tensors: list[dict[str, Tensor]] = []
    for layer in model.layers:
        tensors.append(dict(_layer(layer, state)))
        state = tensors[-1]["norm 1"]
    tokens = sentence.shape[1]
    array = tuple(_array_words(layout, program, step, tensors[step.layer], tokens) for step in program.array)
    vector = tuple(
        _vector_words(layout, step, tensors[step.layer], tokens)
        for step in program.vector
        if step.kind is not Kind.LOAD
    )
    return Reference(array, vector, state.numpy().T)


def outputs(model: Encoder, sentence: NDArray[np.int8]) -> NDArray[np.int64]:
    """What the last layer gives alone, features × tokens; embeddings likewise."""
    state = torch.from_numpy(sentence.T.astype(np.int64))[None]
    for found in model(state, torch.ones(state.shape[:2], dtype=torch.bool)):
        state = found
    return state[0].numpy().T


def _layer(layer: Layer, state: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Every result of a layer by its step: tokens × features, of scores and softmax heads × queries × keys."""
    heads = layer.attention.heads
    query, key, value = layer.query(state), layer.key(state), layer.value(state)
    yield from (("query", query), ("key", key), ("value", value))
    q, k, v = (part.reshape(len(state), heads, -1).transpose(0, 1) for part in (query, key, value))
    a = layer.attention
    multiplier, shift, numerator, mean_shift = (
        part[:, None, None] for part in (a.score_multiplier, a.score_shift, a.mean_numerator, a.mean_shift)
    )
    found = scores(matmul(q, k.transpose(-1, -2)), multiplier, shift)
    yield "scores", found
    weights = exponentials(found, torch.ones(1, 1, len(state), dtype=torch.bool))
    yield "softmax", weights
    context = weighted_mean(weights, v, numerator, mean_shift)
    yield "context", context
    output = layer.attention_output(context.transpose(0, 1).flatten(1))
    yield "attention_output", output
    middle = layer.attention_norm(state, output)
    yield "norm 0", middle
    inner = layer.activation(layer.ffn_in(middle))
    yield "ffn_in", inner
    fed = layer.ffn_out(inner)
    yield "ffn_out", fed
    yield "norm 1", layer.ffn_norm(middle, fed)


def _array_words(
    layout: Layout, program: Program, step: ArrayStep, found: dict[str, Tensor], tokens: int
) -> StepWords:
    a = layout.accelerator
    groups = token_groups(a, tokens)
    if step.kind is Kind.SCORES:
        # Keys × queries; of every token group of keys, blocks of R of its L lanes, as whole words.
        keys = found["scores"][step.head].T.numpy()
        lanes = ceil_div(a.lanes, layout.drained) * layout.drained
        rows = np.zeros((groups, layout.key_rows * a.rows, tokens), np.int64)
        there = np.zeros(rows.shape[:2], bool)
        for group in range(groups):
            part = keys[group * a.lanes : (group + 1) * a.lanes]
            rows[group, : len(part)] = part
            there[group, : len(part)] = True
        wanted = np.arange(layout.key_rows * a.rows) < lanes
        return _drained(layout, rows.reshape(-1, tokens), there.reshape(-1), np.tile(wanted, groups), tokens)
    if step.kind is Kind.CONTEXT:
        assert step.head is not None
        values = found["context"][step.head].T.numpy()
        # What is made of values that are not computed, nothing reads.
        (run,) = (s.rows for s in program.array if s.layer == step.layer and s.name.endswith(" value"))
        counts = np.isin((step.head * layout.head + np.arange(layout.head)) // a.rows, run)
        chosen = np.arange(ceil_div(layout.head, a.rows))
    else:
        values = found[step.name.rpartition(" ")[2]].T.numpy()
        counts, chosen = np.ones(len(values), bool), np.asarray(step.rows)
    features = len(values)
    rows = np.zeros((ceil_div(features, a.rows) * a.rows, tokens), np.int64)
    rows[:features] = values
    present = np.arange(len(rows)) < features
    there = present.copy()
    there[:features] = counts
    of_rows = (chosen[:, None] * a.rows + np.arange(a.rows)).reshape(-1)
    return _drained(layout, rows[of_rows], there[of_rows], present[of_rows], tokens)


def _drained(
    layout: Layout, rows: NDArray[np.int64], there: NDArray[np.bool_], wanted: NDArray[np.bool_], tokens: int
) -> StepWords:
    """Rows as they leave the array: block rows, in each token groups, in each the wanted ones of Q parts."""
    a, drained = layout.accelerator, layout.drained
    groups = token_groups(a, tokens)

    def words(values: NDArray[Any]) -> NDArray[Any]:
        padded = np.zeros((len(values), groups * a.lanes), values.dtype)
        padded[:, : values.shape[1]] = values
        split = padded.reshape(-1, a.requant_interval, drained, groups, a.lanes)
        return split.transpose(0, 3, 1, 2, 4).reshape(-1, drained, a.lanes)

    columns = np.ones((1, tokens), bool)
    kept = words(wanted[:, None] & columns)[:, 0, 0]
    return StepWords(words(rows)[kept].astype(np.int64), words(there[:, None] & columns)[kept].astype(bool))


def _vector_words(layout: Layout, step: VectorStep, found: dict[str, Tensor], tokens: int) -> StepWords:
    """Token groups outermost; of exponentials, the token groups of keys next."""
    a, v = layout.accelerator, layout.accelerator.vector_rows
    groups = token_groups(a, tokens)
    if step.kind is Kind.NORM:
        values = found[f"norm {(step.norm or 0) % 2}"].T.numpy()
        rows = np.zeros((layout.norm_words * v, groups * a.lanes), np.int64)
        rows[: len(values), :tokens] = values
        counts = np.zeros(rows.shape, bool)
        counts[: len(values), :tokens] = True
        return StepWords(_by_group(rows, v, a.lanes), _by_group(counts, v, a.lanes).astype(bool))
    keys = found["softmax"][step.head].T.numpy()
    size = layout.key_words * v
    rows = np.zeros((groups * size, groups * a.lanes), np.int64)
    counts = np.zeros(rows.shape, bool)
    for group in range(groups):
        part = keys[group * a.lanes : (group + 1) * a.lanes]
        rows[group * size :][: len(part), :tokens] = part
        # Absent keys are zero, which counts.
        counts[group * size :][: a.lanes, :tokens] = True
    return StepWords(_by_group(rows, v, a.lanes), _by_group(counts, v, a.lanes).astype(bool))


def _by_group(rows: NDArray[Any], size: int, lanes: int) -> NDArray[Any]:
    """Rows × tokens as words of so many rows × lanes, token groups outermost."""
    split = rows.reshape(len(rows) // size, size, -1, lanes)
    return split.transpose(2, 0, 1, 3).reshape(-1, size, lanes)
