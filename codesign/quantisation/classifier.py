"""The integer model between a float embedding and a float head: a classifier that can be scored."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from codesign.models import EncoderShape
from codesign.models.family import family_of
from codesign.numerics import saturate
from codesign.quantisation.encoder import Encoder


class _IntegerEncoder(nn.Module):
    """Stands where the float encoder stood."""

    def __init__(self, encoder: Encoder, scales: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.encoder, self.scales = encoder, scales
        self.present = torch.ones(0)
        self.embedded = torch.ones(0)
        self.given: Tensor | None = None
        self.keep = False
        self.states: list[Tensor] = []

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> BaseModelOutputWithPastAndCrossAttentions:
        embedded = saturate((hidden_states / self.scales[0]).round().long())
        self.embedded = embedded
        self.states = []
        if self.given is not None:
            shown = torch.zeros_like(hidden_states) + self.given * self.scales[-1]
            return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=shown)
        result = hidden_states
        for scale, state in zip(self.scales[1:], self.encoder(embedded, self.present.bool()), strict=True):
            result = state * scale
            if self.keep:
                self.states.append(result)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=result)


class IntegerClassifier:
    """A sequence classifier whose encoder computes in integers.

    Attributes:
        model: Embedding and head in float, integers between.
    """

    def __init__(
        self, model: PreTrainedModel, shape: EncoderShape, encoder: Encoder, scales: tuple[Tensor, ...]
    ) -> None:
        path, _, _ = family_of(shape.family, shape.name).layer.partition(".")
        replaced = model.base_model.get_submodule(path)
        self._encoder = _IntegerEncoder(encoder, scales)
        # The float encoder is left out of the copy: nothing of it can be used by mistake.
        self.model = copy.deepcopy(model, {id(replaced): self._encoder}).eval()

    @torch.no_grad()
    def logits(self, batch: dict[str, Tensor]) -> Tensor:
        """Sentences × classes of a tokenised batch with attention mask."""
        self._encoder.present = batch["attention_mask"]
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        logits: Tensor = self.model(**inputs).logits
        return logits

    def logits_of(self, batch: dict[str, Tensor], given: Tensor) -> Tensor:
        """Sentences × classes, from what a last layer has given: sentences × tokens × features, int8."""
        self._encoder.given = given
        try:
            return self.logits(batch)
        finally:
            self._encoder.given = None

    def embedded(self, batch: dict[str, Tensor]) -> Tensor:
        """What the integers begin with: sentences × tokens × features, int8."""
        self.logits_of(batch, torch.zeros(()))
        return self._encoder.embedded

    def states(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """The output of every layer as float: sentences × tokens × features each."""
        self._encoder.keep = True
        try:
            self.logits(batch)
            return self._encoder.states
        finally:
            self._encoder.keep = False
            self._encoder.states = []
