"""Activations and results as the beats of the engine's streams, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign.hardware.accelerator import Accelerator
from codesign.hardware.memories import ceil_div
from codesign.packing.images import ImageSet
from codesign.packing.words import Words


def activation_beats(accelerator: Accelerator, activations: NDArray[np.int8]) -> Words:
    """The beats that bring a matrix's activations.

    Words come block column by block column, in each the token groups in order; a word has C features × L tokens,
    feature c and token l as byte c·L + l, and begins with a beat of its own.

    Args:
        accelerator: The array.
        activations: Features × tokens, int8; padded with zeros to whole words.
    """
    features, tokens = activations.shape
    a = accelerator
    columns, groups = ceil_div(features, a.cols), ceil_div(tokens, a.lanes)
    padded = np.zeros((columns * a.cols, groups * a.lanes), np.int8)
    padded[:features, :tokens] = activations
    words = padded.reshape(columns, a.cols, groups, a.lanes).transpose(0, 2, 1, 3)
    return _beats(words.reshape(columns * groups, a.cols * a.lanes).view(np.uint8), a.stream_bits)


def result_beats(accelerator: Accelerator, results: NDArray[np.int8]) -> Words:
    """The beats that results leave in: the inverse of ``results_of_beats``.

    Words come block row by block row, in each the token groups in order, in each its Q parts; a word has R/Q features
    × L tokens, feature r and token l as byte r·L + l.

    Args:
        accelerator: The array.
        results: Features × tokens, int8; padded with zeros.
    """
    features, tokens = results.shape
    a = accelerator
    rows, groups, parts = ceil_div(features, a.rows), ceil_div(tokens, a.lanes), a.requant_interval
    padded = np.zeros((rows * a.rows, groups * a.lanes), np.int8)
    padded[:features, :tokens] = results
    words = padded.reshape(rows, parts, a.rows // parts, groups, a.lanes).transpose(0, 3, 1, 2, 4)
    return _beats(words.reshape(rows * groups * parts, -1).view(np.uint8), a.stream_bits)


def results_of_beats(accelerator: Accelerator, beats: Words, features: int, tokens: int) -> NDArray[np.int8]:
    """Features × tokens, int8, of the beats that a matrix's results left in."""
    a = accelerator
    rows, groups, parts = ceil_div(features, a.rows), ceil_div(tokens, a.lanes), a.requant_interval
    size = a.rows // parts * a.lanes
    words = beats.reshape(rows * groups * parts, -1)[:, :size]
    found = words.reshape(rows, groups, parts, a.rows // parts, a.lanes).transpose(0, 2, 3, 1, 4)
    whole = np.ascontiguousarray(found).reshape(rows * a.rows, groups * a.lanes)
    return whole[:features, :tokens].view(np.int8)


def uram_beats(accelerator: Accelerator, images: ImageSet) -> Words:
    """The beats that fill URAM with weights; none where nothing lies there. A word begins with a beat of its own."""
    if "weights_uram" not in images.contents:
        return np.zeros((0, accelerator.stream_bits // 8), np.uint8)
    _, _, words = images.contents["weights_uram"]
    return _beats(words, accelerator.stream_bits)


def _beats(words: NDArray[np.uint8], beat_bits: int) -> Words:
    count, size = words.shape
    beat = beat_bits // 8
    padded = np.zeros((count, ceil_div(size, beat) * beat), np.uint8)
    padded[:, :size] = words
    return padded.reshape(-1, beat)
