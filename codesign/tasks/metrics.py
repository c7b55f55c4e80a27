"""Scores of predictions, by scikit-learn and scipy."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.stats import ConstantInputWarning, NearConstantInputWarning, pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from codesign.errors import InputError
from codesign.tasks.task import Metric, Task


def score(task: Task, logits: np.ndarray, labels: np.ndarray, model: str = "the model") -> dict[str, float]:
    """Every official metric of a task, in points (100 × the textbook value).

    Args:
        task: Decides the metrics.
        logits: What the model gave, samples × classes, or samples × 1 for regression.
        labels: Class numbers or values, one per sample.
        model: What gave them, for an error.

    Raises:
        InputError: A logit is NaN or infinite: it would count as a class, or as no correlation.
    """
    broken = int((~np.isfinite(logits)).reshape(len(logits), -1).any(axis=1).sum())
    if broken:
        raise InputError(
            f"gives NaN or infinite logits on {broken} of {len(logits)} sentences of task {task.name}: no score",
            file=model,
            accepted="a model whose results are finite in float32",
        )
    if task.regression:
        values = logits.reshape(-1).astype(np.float64)
        # A constant prediction has no correlation: 0, as GLUE's own scripts have it, not NaN. What differs by no more
        # than float32's rounding is constant.
        if np.ptp(values) <= 4 * np.finfo(np.float32).eps * np.abs(values).max():
            return {metric.value: 0.0 for metric in task.metrics}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConstantInputWarning)
            warnings.simplefilter("ignore", NearConstantInputWarning)
            found = {Metric.PEARSON: pearsonr(values, labels)[0], Metric.SPEARMAN: spearmanr(values, labels)[0]}
        return {metric.value: 100 * float(np.nan_to_num(found[metric])) for metric in task.metrics}
    classes = logits.argmax(axis=-1)
    functions = {
        Metric.ACCURACY: lambda: accuracy_score(labels, classes),
        Metric.F1: lambda: f1_score(labels, classes, zero_division=0.0),
        Metric.MATTHEWS: lambda: matthews_corrcoef(labels, classes),
    }
    return {metric.value: 100 * float(functions[metric]()) for metric in task.metrics}
