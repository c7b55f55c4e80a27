"""A design as whole sentences run on it: embeddings in, the last layer out, and what a host makes of that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codesign.boards import Board
from codesign.design.content import Design, unpacked_constants
from codesign.hardware.timeline import LATENCY, external_memory
from codesign.program.build import build_encoder
from codesign.program.estimate import layout_of
from codesign.quantisation.classifier import IntegerClassifier
from codesign.quantisation.load import load_classifier, load_encoder
from codesign.simulation.sentences import SentenceRun

Batch = dict[str, Tensor]
"""Tokenised sentences with attention mask, sentences × tokens each."""


@dataclass(frozen=True)
class WholeDesign:
    """A design on its board.

    Attributes:
        design: The design folder.
        board: Its board.
        latency: Of external memory, in cycles; its rate is the board's.
    """

    design: Design
    board: Board
    latency: int = LATENCY

    @cached_property
    def classifier(self) -> IntegerClassifier:
        """Embedding and head in float, integers between."""
        return load_classifier(self.design, self.run.model)

    @cached_property
    def run(self) -> SentenceRun:
        """All that a run needs but sentences; every step's results are compared."""
        document = self.design.document
        a, shape = document.accelerator, document.shape
        constants = {
            name: values.astype(np.int64)
            for name, values in unpacked_constants(self.design).items()
            if values.dtype.kind == "i"
        }
        packed = [self.design.packed(layer) for layer in document.layers]
        memories = [layer.weight_memory for layer in document.layers]
        encoder, images = build_encoder(layout_of(a, shape), shape.layers, constants, packed, memories)
        return SentenceRun(
            encoder,
            self.board.device.dsp_type,
            images,
            packed,
            load_encoder(self.design),
            np.zeros((0, shape.hidden, a.max_tokens), np.int8),
            memory=external_memory(a, self.board, self.latency),
        )

    def embeddings(self, batch: Batch) -> list[NDArray[np.int8]]:
        """What goes into the device for each sentence: features × tokens, padding left out."""
        found = self.classifier.embedded(batch)
        return [
            np.ascontiguousarray(row[mask.bool()].T.to(torch.int8).numpy())
            for row, mask in zip(found, batch["attention_mask"], strict=True)
        ]

    def logits(self, batch: Batch, outputs: list[NDArray[np.int8]]) -> NDArray[np.float32]:
        """Sentences × classes that the host makes of what the device gives, features × tokens of each sentence."""
        given = torch.zeros(*batch["attention_mask"].shape, self.design.document.shape.hidden, dtype=torch.int64)
        for row, mask, output in zip(given, batch["attention_mask"], outputs, strict=True):
            row[mask.bool()] = torch.from_numpy(output.astype(np.int64)).T
        return self.classifier.logits_of(batch, given).numpy()

    def labels(self, logits: NDArray[np.float32]) -> list[str]:
        """Names of the classes, or values of a regression."""
        names = self.classifier.model.config.id2label
        if logits.shape[1] == 1:
            return [f"{value:.4f}" for value in logits[:, 0]]
        return [str(names[int(row.argmax())]) for row in logits]
