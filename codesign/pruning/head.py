"""A model's classification head: whether it is a task's, and its rows in the order of the task's classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from codesign.tasks.head_names import class_order, head_names
from codesign.tasks.task import Task

_CLASSIFIER = "ForSequenceClassification"


@dataclass(frozen=True)
class Head:
    """What was found of the head in a model's files.

    Attributes:
        fine_tuned: Whether it is one for the task.
        reordered: Whether its rows were put into another order.
        note: A line on what was done with it; empty where there is nothing to say.
    """

    fine_tuned: bool
    reordered: bool = False
    note: str = ""


def settle_head(
    model: PreTrainedModel,
    config: Mapping[str, object],
    task: Task,
    missing: Sequence[str],
    other_size: Sequence[str],
) -> Head:
    """Make the head the task's, in place: its rows in the order of the task's classes, or new, and named so.

    Args:
        model: As loaded for the task, its head as large as the task needs.
        config: The model's config.json.
        task: Its classes known.
        missing: Tensors that the model's files lack.
        other_size: Tensors that have another size there.
    """
    names = head_names(config)
    found = _settled(model, config, task, names, missing, other_size)
    if task.labels:
        model.config.id2label = dict(enumerate(task.labels))
        model.config.label2id = {label: number for number, label in enumerate(task.labels)}
    return found


def _settled(
    model: PreTrainedModel,
    config: Mapping[str, object],
    task: Task,
    names: tuple[str, ...],
    missing: Sequence[str],
    other_size: Sequence[str],
) -> Head:
    wanted = "one value" if task.regression else f"the classes {', '.join(task.labels)}"
    had = f"the classes {', '.join(names)}" if names else "classes whose id2label and label2id contradict each other"
    output = output_layer(model, 1 if task.regression else len(task.labels))
    of_output = [key for key in missing if model.get_submodule(key.rpartition(".")[0]) is output]
    if of_output:
        return Head(False)  # a pretrained model: there is no head to speak of
    deviation = float(getattr(model.config, "initializer_range", 0.02))
    problem = _other_problem(config, task)
    if other_size:
        problem = problem or had
    elif missing:
        problem = problem or f"no {missing[0]}"
    if task.regression or problem:
        if not problem:
            return Head(True)
        if not missing and not other_size:
            _renew(output, deviation)
        return Head(False, note=f"the head is not taken as fine-tuned: it has {problem}, the task {wanted}")
    order = class_order(names, task.labels)
    if order is None:
        _renew(output, deviation)
        return Head(False, note=f"the head is not taken as fine-tuned: it has {had}, the task {wanted}")
    if order == tuple(range(len(order))):
        return Head(True)
    with torch.no_grad():
        output.weight.copy_(output.weight[list(order)])
        if output.bias is not None:
            output.bias.copy_(output.bias[list(order)])
    return Head(True, True, f"the head's classes {', '.join(names)} are put into the task's order")


def _other_problem(config: Mapping[str, object], task: Task) -> str:
    """What a head was trained for, where that is something else; empty where it may be the task's."""
    kind = config.get("problem_type")
    if kind not in (None, "regression" if task.regression else "single_label_classification"):
        return f"problem_type {kind}"
    made = config.get("architectures")
    if isinstance(made, list) and made and not any(str(name).endswith(_CLASSIFIER) for name in made):
        return f"architecture {made[0]}"
    return ""


def output_layer(model: PreTrainedModel, outputs: int) -> nn.Linear:
    """The layer that gives the logits: the last one outside the base model."""
    inside = {id(module) for module in model.base_model.modules()}
    layers = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and id(module) not in inside and module.out_features == outputs
    ]
    return layers[-1]


def _renew(output: nn.Linear, deviation: float) -> None:
    """As transformers makes a new head."""
    nn.init.normal_(output.weight, std=deviation)
    if output.bias is not None:
        nn.init.zeros_(output.bias)
