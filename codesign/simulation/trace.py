"""What every matrix of a design gets and gives when real sentences pass the integer model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor

from codesign.design.content import Design
from codesign.design.document import SENTENCES
from codesign.packing.part import WholeResults
from codesign.quantisation.encoder import Activation, Layer, Linear
from codesign.quantisation.load import load_classifier, load_encoder


@dataclass(frozen=True)
class Traced:
    """One matrix: features × tokens, int8, that it gets and gives (behind its activation, if it has one).

    Attributes:
        activations, results: Of the whole matrix.
        inputs: Input features that the engine reads.
        whole: Makes ``results`` of those that the engine gives.
    """

    activations: NDArray[np.int8]
    results: NDArray[np.int8]
    inputs: NDArray[np.int64]
    whole: WholeResults

    @property
    def read(self) -> NDArray[np.int8]:
        """Activations that the engine reads."""
        return self.activations[self.inputs]

    @property
    def given(self) -> NDArray[np.int8]:
        """Results that the engine gives."""
        return self.results[self.whole.given]


class _Watched:
    """A part of a layer that keeps what passes it."""

    def __init__(self, part: Linear | Activation) -> None:
        self.part = part
        self.given: Tensor | None = None
        self.found: Tensor | None = None

    def __call__(self, value: Tensor) -> Tensor:
        self.given, self.found = value, self.part(value)
        return self.found


def trace(design: Design) -> dict[str, Traced]:
    """Every matrix's activations and results by its key, for the design's own sentences."""
    batch = {name: torch.from_numpy(part) for name, part in load_file(design.folder / SENTENCES).items()}
    encoder = load_encoder(design)
    watched: list[dict[str, Any]] = [
        {name: _Watched(getattr(layer, name)) for name in _watched_parts(layer)} for layer in encoder.layers
    ]
    layers = [replace(layer, **parts) for layer, parts in zip(encoder.layers, watched, strict=True)]
    load_classifier(design, replace(encoder, layers=tuple(layers))).logits(batch)
    found = {}
    for layer in design.document.layers:
        _, number, part = layer.key.split(".")
        parts = watched[int(number)]
        behind = [parts[part], parts["activation"]] if layer.activation else [parts[part]]
        nothing = torch.zeros(1, 1, layer.in_features, dtype=torch.int64)
        run = design.part(layer)
        whole = WholeResults(
            run.outputs,
            _by_feature(reduce(lambda value, watched: watched.part(value), behind, nothing))[:, 0],
        )
        found[layer.key] = Traced(_by_feature(parts[part].given), _by_feature(behind[-1].found), run.inputs, whole)
    return found


def _watched_parts(layer: Layer) -> list[str]:
    return [name for name, part in vars(layer).items() if isinstance(part, Linear | Activation)]


def _by_feature(values: Tensor | None) -> NDArray[np.int8]:
    """Sentences × tokens × features to features × tokens."""
    assert values is not None, "every matrix is used"
    return np.ascontiguousarray(values.flatten(0, 1).T.to(torch.int8).numpy())
