"""Distillation: the pruned model learns from the dense fine-tuned one, its predictions and its hidden states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Distillation:
    """Weights of the loss's parts.

    Attributes:
        temperature: Softens both predictions (Hinton et al., 2015).
        hidden: Weight of the hidden states' relative errors, summed over layers.
        labels: Weight of the task's own loss.
    """

    temperature: float = 2.0
    hidden: float = 1.0
    labels: float = 0.0


def read_states(states: Sequence[Tensor], present: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """(hidden state, which of its tokens count) of every layer.

    Padding never counts. Of the last layer only the first token does: BERT, RoBERTa and DistilBERT classify by it,
    and nothing reads the others.

    Args:
        states: Of the embedding's output and of every layer, sentences × tokens × features.
        present: Attention mask, sentences × tokens.
    """
    tokens = present.bool()
    first = torch.zeros_like(tokens)
    first[:, 0] = tokens[:, 0]
    for number, state in enumerate(states[1:], start=2):
        yield state, first if number == len(states) else tokens


def distillation_loss(
    student: Any, teacher: Any, present: Tensor, labels_loss: Tensor, weights: Distillation, *, regression: bool
) -> Tensor:
    """The loss against a teacher.

    Args:
        student: Model output with logits and, if ``weights.hidden``, hidden states.
        teacher: The same of the teacher.
        present: Attention mask: padding tokens do not count.
        labels_loss: The task's own loss.
        weights: Of the parts.
        regression: Whether the prediction is a value: its part is then the squared error.
    """
    ours, theirs = student.logits.float(), teacher.logits.float()
    if regression:
        loss = functional.mse_loss(ours, theirs)
    else:
        temperature = weights.temperature
        loss = temperature**2 * functional.kl_div(
            (ours / temperature).log_softmax(-1),
            (theirs / temperature).log_softmax(-1),
            log_target=True,
            reduction="batchmean",
        )
    if weights.labels:
        loss = loss + weights.labels * labels_loss.float()
    if weights.hidden:
        pairs = zip(
            read_states(student.hidden_states, present), read_states(teacher.hidden_states, present), strict=True
        )
        for (state, read), (goal, _) in pairs:
            token, goal = read[..., None].float(), goal.float()
            count = token.sum() * goal.shape[-1]
            mean = (goal * token).sum() / count
            variance = ((goal - mean).square() * token).sum() / count
            error = ((state.float() - goal).square() * token).sum() / count
            loss = loss + weights.hidden * error / variance
    return loss
