"""Loading a sequence classifier: from a folder, the hub, or the embedded default made from nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from codesign.errors import InputError, reason_of
from codesign.models import EMBEDDED_DEFAULT, EncoderShape, load_shape
from codesign.models.embedded import embedded_model, embedded_tokenizer
from codesign.models.family import Family, family_of
from codesign.models.shape import read_config
from codesign.pruning.encoder import check_finite
from codesign.pruning.head import settle_head
from codesign.pruning.tokenizer import check_tokenizer, load_tokenizer
from codesign.report.console import asking
from codesign.tasks.task import Task


@dataclass(frozen=True)
class Classifier:
    """A model with what belongs to it.

    Attributes:
        model: A sequence classifier, float32.
        tokenizer: Its tokenizer.
        shape: Its encoder.
        fine_tuned: Whether it came with a classification head for the task.
        reordered: Whether that head's rows were put into the order of the task's classes.
        notes: Lines on what was found in its files.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    shape: EncoderShape
    fine_tuned: bool
    reordered: bool = False
    notes: tuple[str, ...] = ()


def load_classifier(model: str | Path, task: Task, tokens: int, seed: int) -> Classifier:
    """A model from a local folder or the hub.

    Args:
        model: Folder or hub name.
        task: Decides the head.
        tokens: Longest sentence it has to take.
        seed: Of a new head's weights.

    Raises:
        InputError: It is not to be had, of an unknown family, no plain encoder, weights are missing or too
            many, one is NaN or infinite, its tokenizer does not fit, or cannot take ``tokens``.
    """
    with asking(model):
        return _load(model, task, tokens, seed)


def _load(model: str | Path, task: Task, tokens: int, seed: int) -> Classifier:
    shape = load_shape(str(model))
    config, _ = read_config(str(model))
    family = family_of(shape.family, shape.name)
    set_seed(seed)
    outputs = 1 if task.regression else len(task.labels)
    try:
        # Before the tokenizer, which reads it too and would be blamed for what is wrong in it.
        AutoConfig.from_pretrained(model)
    except Exception as error:  # transformers raises many kinds; all mean "cannot be loaded"
        raise InputError(
            f"config.json cannot be taken: {reason_of(error)}", field="--model", value=str(model)
        ) from None
    tokenizer = load_tokenizer(model)
    try:
        loaded, info = AutoModelForSequenceClassification.from_pretrained(
            model,
            num_labels=outputs,
            problem_type="regression" if task.regression else "single_label_classification",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            dtype=torch.float32,
            # What a config may ask for beside the logits is not read here.
            output_hidden_states=False,
            output_attentions=False,
            return_dict=True,
        )
    except Exception as error:  # transformers raises many kinds; all mean "cannot be loaded"
        raise InputError(f"cannot be loaded: {reason_of(error)}", field="--model", value=str(model)) from None
    # transformers makes up what is missing or has other sides than the config says: right for a head, never inside.
    missing = sorted(info["missing_keys"])
    other_size = sorted(key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"])
    prefix = f"{loaded.base_model_prefix}."
    inside = sorted(key for key in [*missing, *other_size] if key.startswith(prefix) and ".pooler." not in key)
    if inside:
        raise InputError(
            f"weights are missing or of another size, {len(inside)} tensors, the first {inside[0]}",
            file=model,
            accepted="a folder with config.json, tokenizer and all weights of the encoder",
        )
    left = sorted(info["unexpected_keys"])
    extra = [key for key in left if _of_encoder(key, prefix, family)]
    if extra:
        raise InputError(
            f"the encoder has no place for weights of the file, {len(extra)} tensors, the first {extra[0]}",
            file=model,
            accepted=f"the weights of a plain {family.model_type} encoder with as many layers as config.json says",
        )
    check_finite(loaded, model)
    embeddings = loaded.get_input_embeddings().num_embeddings
    check_tokenizer(tokenizer, family, loaded.config, embeddings, task, tokens, model)
    head = settle_head(loaded, config, task, missing, other_size)
    notes = [head.note] if head.note else []
    if left:
        notes.append(f"{len(left)} tensors of {model} are not used, the first {left[0]}")
    return Classifier(loaded, tokenizer, shape, head.fine_tuned, head.reordered, tuple(notes))


def _of_encoder(key: str, prefix: str, family: Family) -> bool:
    """Whether a weight that the model has no place for belongs to what is before its head."""
    name = key.removeprefix(prefix)
    encoder = family.layer.partition(".")[0]
    return not name.startswith("pooler.") and (name != key or name.startswith((f"{encoder}.", "embeddings.")))


def make_embedded(sentences: Iterable[str], task: Task, tokens: int, seed: int) -> Classifier:
    """The embedded default: a small BERT with random weights, its tokenizer trained on the sentences.

    Raises:
        InputError: It cannot take ``tokens``.
    """
    set_seed(seed)
    tokenizer = embedded_tokenizer(sentences)
    model = embedded_model(len(tokenizer))
    family = family_of(EMBEDDED_DEFAULT.family, EMBEDDED_DEFAULT.name)
    check_tokenizer(tokenizer, family, model.config, len(tokenizer), task, tokens, EMBEDDED_DEFAULT.name)
    model.config.id2label = dict(enumerate(task.labels))
    model.config.label2id = {label: number for number, label in enumerate(task.labels)}
    return Classifier(model, tokenizer, EMBEDDED_DEFAULT, fine_tuned=False)
