"""Models and data so small that a whole run takes seconds: ``python -m tests.pruning.tiny FAMILY FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from codesign.models.embedded import embedded_tokenizer
from codesign.tasks.agreement import agreement_splits

SENTENCES, HELD_OUT = 192, 64


def tiny_model(family: str, vocabulary: int) -> PreTrainedModel:
    """Two layers, 32 wide, 56 feed-forward: no multiples of every block."""
    if family == "distilbert":
        sizes = {"dim": 32, "n_layers": 2, "hidden_dim": 56, "n_heads": 2}
        return DistilBertForSequenceClassification(DistilBertConfig(vocab_size=vocabulary, **sizes))
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 56, "num_attention_heads": 2}
    if family == "roberta":
        return RobertaForSequenceClassification(
            RobertaConfig(
                vocab_size=vocabulary, pad_token_id=0, max_position_embeddings=130, type_vocab_size=2, **sizes
            )
        )
    return BertForSequenceClassification(BertConfig(vocab_size=vocabulary, max_position_embeddings=128, **sizes))


def make(family: str, folder: Path, *, head: bool = False) -> Path:
    """A model's folder and, beside it, ``data`` with train.tsv and dev.tsv; returns the model's folder.

    Args:
        family: bert, roberta or distilbert.
        folder: Where to.
        head: Keep the classification head, so that the model counts as fine-tuned.
    """
    torch.manual_seed(0)
    splits = agreement_splits(SENTENCES, HELD_OUT, seed=1)
    tokenizer = embedded_tokenizer(text for (text,) in splits["train"].sentences)
    model = tiny_model(family, len(tokenizer))
    (model if head else model.base_model).save_pretrained(folder / family)
    tokenizer.save_pretrained(folder / family)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    for name, file in (("train", "train.tsv"), ("validation", "dev.tsv")):
        rows = zip(splits[name].sentences, splits[name].labels, strict=True)
        (data / file).write_text("sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for (text,), label in rows))
    return folder / family


def arguments(model: Path, output: Path, *more: object) -> list[str]:
    """Of a run of seconds."""
    planned = [] if "--plan" in more else ["--block", "4x8", "--tokens", 32]
    given = ["--board", "zcu104", "--model", model, "--task", "sst2", "--data-dir", model.parent / "data", *planned]
    given += ["--batch-size", 16, "--calibration", 64, "--precision", "fp32"]
    given += ["--dense-epochs", 1, "--sparse-epochs", 1, "--retrain-epochs", 1, "--learning-rate", 1e-3]
    ends = [] if "--quantize" in more else ["--no-quantize"]
    return ["prune", *map(str, given), "-o", str(output), *ends, *map(str, more)]


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
