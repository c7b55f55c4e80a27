"""Loading a sequence classifier: from a folder, the hub, or the embedded default made from nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from codesign.errors import InputError
from codesign.models import EMBEDDED_DEFAULT, EncoderShape, load_shape
from codesign.models.embedded import embedded_model, embedded_tokenizer
from codesign.pruning.encoder import check_finite
from codesign.report.console import asking
from codesign.tasks.task import Task


@dataclass(frozen=True)
class Classifier:
    """A model with what belongs to it.

    Attributes:
        model: A sequence classifier, float32.
        tokenizer: Its tokenizer.
        shape: Its encoder.
        fine_tuned: Whether it came with a classification head of the right size.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    shape: EncoderShape
    fine_tuned: bool


def load_classifier(model: str | Path, task: Task, tokens: int, seed: int) -> Classifier:
    """A model from a local folder or the hub.

    Args:
        model: Folder or hub name.
        task: Decides the size of the head.
        tokens: Longest sentence it has to take.
        seed: Of a new head's weights.

    Raises:
        InputError: It is not to be had, of an unknown family, too short for ``tokens``, or has a NaN or infinity.
    """
    with asking(model):
        return _load(model, task, tokens, seed)


def _load(model: str | Path, task: Task, tokens: int, seed: int) -> Classifier:
    shape = load_shape(str(model))
    set_seed(seed)
    outputs = 1 if task.regression else len(task.labels)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        loaded, info = AutoModelForSequenceClassification.from_pretrained(
            model,
            num_labels=outputs,
            problem_type="regression" if task.regression else "single_label_classification",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except Exception as error:  # transformers raises many kinds; all mean "cannot be loaded"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"cannot be loaded: {reason}", field="--model", value=str(model)) from None
    # transformers makes up what is missing or has other sides than the config says: right for a head, never inside.
    keys = [*info["missing_keys"], *(key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"])]
    inside = sorted(key for key in keys if key.startswith(f"{loaded.base_model_prefix}.") and ".pooler." not in key)
    if inside:
        raise InputError(
            f"weights are missing or of another size, {len(inside)} tensors, the first {inside[0]}",
            file=model,
            accepted="a folder with config.json, tokenizer and all weights of the encoder",
        )
    check_finite(loaded, model)
    known = loaded.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        raise InputError(
            f"the tokenizer has {len(tokenizer)} tokens, the model embeddings for {known}",
            file=model,
            accepted="the tokenizer that the model was trained with",
        )
    longest = min(int(loaded.config.max_position_embeddings), int(tokenizer.model_max_length))
    if tokens > longest:
        raise InputError(
            f"the model takes at most {longest} tokens", field="--tokens", value=tokens, accepted=f"1 to {longest}"
        )
    fine_tuned = not keys
    if not fine_tuned and task.labels:
        loaded.config.id2label = dict(enumerate(task.labels))
        loaded.config.label2id = {label: number for number, label in enumerate(task.labels)}
    return Classifier(loaded, tokenizer, shape, fine_tuned)


def make_embedded(sentences: Iterable[str], task: Task, seed: int) -> Classifier:
    """The embedded default: a small BERT with random weights, its tokenizer trained on the sentences."""
    set_seed(seed)
    tokenizer = embedded_tokenizer(sentences)
    model = embedded_model(len(tokenizer))
    model.config.id2label = dict(enumerate(task.labels))
    model.config.label2id = {label: number for number, label in enumerate(task.labels)}
    return Classifier(model, tokenizer, EMBEDDED_DEFAULT, fine_tuned=False)
