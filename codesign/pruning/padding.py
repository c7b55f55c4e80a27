"""Batches of tokenised sentences, padded to one length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from transformers import PreTrainedTokenizerBase

PADDING = 8  # lengths are padded to multiples of this: kernels like them
Collator = Callable[[list[dict[str, Any]]], dict[str, Tensor]]


def collator(tokenizer: PreTrainedTokenizerBase) -> Collator:
    """What makes a batch of sentences: padded to a multiple of ``PADDING``, or to less where the model takes no more.

    Args:
        tokenizer: Its ``model_max_length`` is what the model takes.
    """

    def padded(sentences: list[dict[str, Any]]) -> dict[str, Tensor]:
        longest = max(len(sentence["input_ids"]) for sentence in sentences)
        length = max(longest, min(-(-longest // PADDING) * PADDING, int(tokenizer.model_max_length)))
        return dict(tokenizer.pad(sentences, padding="max_length", max_length=length, return_tensors="pt"))

    return padded
