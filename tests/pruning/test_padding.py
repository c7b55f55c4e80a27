"""Batches are as long as kernels like, and no longer than the model takes."""

from __future__ import annotations

import pytest

from codesign.models.embedded import embedded_tokenizer
from codesign.pruning.padding import collator


@pytest.mark.parametrize(
    ("longest", "takes", "padded"), [(5, 128, 8), (8, 128, 8), (49, 50, 50), (50, 50, 50), (41, 50, 48)]
)
def test_to_multiples_of_eight_but_not_beyond_the_positions(longest: int, takes: int, padded: int) -> None:
    tokenizer = embedded_tokenizer(["the key"])
    tokenizer.model_max_length = takes
    sentences = [
        {"input_ids": [7] * length, "token_type_ids": [0] * length, "attention_mask": [1] * length, "labels": label}
        for label, length in enumerate((3, longest))
    ]
    batch = collator(tokenizer)(sentences)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, padded)
    assert batch["attention_mask"].sum(1).tolist() == [3, longest]
    assert batch["input_ids"][0].tolist() == [7] * 3 + [tokenizer.pad_token_id] * (padded - 3)
    assert batch["labels"].tolist() == [0, 1]
