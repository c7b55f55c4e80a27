"""Everything about a pruning run that is a choice; docs/results/pruning.md has what the defaults give."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from codesign.errors import InputError
from codesign.seeds import check_seed


class Method(StrEnum):
    """How a model is made sparse."""

    LASSO = "lasso"  # reweighted group lasso, then pruning
    GRADUAL = "gradual"  # pruning in rounds, without a penalty
    MAGNITUDE = "magnitude"  # baseline: the smallest blocks at once
    MOVEMENT = "movement"  # baseline: block movement pruning


class Importance(StrEnum):
    """What decides which blocks go."""

    SECOND_ORDER = "second-order"  # the loss their removal costs, the other weights making up for them
    NORM = "norm"  # ‖W_g‖₂, as in the paper


DENSE_EPOCHS = 3.0
"""Dense fine-tuning of a model that does not come fine-tuned."""
MOST_STEPS = 500
"""Between two checkpoints, where an epoch has more of them: what a kill costs at most."""
_MOST = 1 << 31


@dataclass(frozen=True)
class Settings:
    """Choices of a run.

    Attributes:
        method: How the model is made sparse.
        importance: What decides which blocks go; the baselines have their own.
        distill: Whether the pruned model learns from the dense one, rather than from the labels.
        hidden: Weight of the hidden states in that.
        rounds: Rounds of pruning, the last one at the end of the sparse phase.
        dense_epochs: Fine-tuning before; None: 3, or none where the model comes fine-tuned.
        sparse_epochs: With the penalty, or between the rounds.
        retrain_epochs: With fixed masks.
        dense_learning_rate: Of dense fine-tuning.
        learning_rate: Of both other phases.
        strength: Factor on λ, whose base value follows from the budget.
        floor: Part of each matrix's blocks that stays at least.
        balance: Largest difference of kept blocks between block rows of a matrix; None for any.
        batch_size: Sentences per process and step.
        calibration: Sentences that the curvature is measured on.
        precision: ``auto``, ``bf16`` or ``fp32``.
        patience: Epochs without a better metric before a phase stops and keeps its best; 0 for never.
        save_steps: Steps between checkpoints; None for one per epoch, and per ``MOST_STEPS`` of longer ones.
        limit: Use only so many training sentences, drawn by the seed; None for all.
        seed: Of everything drawn.
    """

    method: Method = Method.LASSO
    importance: Importance = Importance.SECOND_ORDER
    distill: bool = True
    hidden: float = 1.0
    rounds: int = 8
    dense_epochs: float | None = None
    sparse_epochs: float = 4.0
    retrain_epochs: float = 6.0
    dense_learning_rate: float = 5e-5
    learning_rate: float = 1e-4
    strength: float = 0.1
    floor: float = 0.05
    balance: int | None = None
    batch_size: int = 32
    calibration: int = 1024
    precision: str = "auto"
    patience: int = 0
    save_steps: int | None = None
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for field, low, high in (
            ("hidden", 0, 1000),
            ("rounds", 1, 1000),
            ("sparse_epochs", 0, 1000),
            ("retrain_epochs", 0, 1000),
            ("strength", 0, 1e6),
            ("floor", 0, 1),
            ("batch_size", 1, 65536),
            ("calibration", 1, 1 << 20),
            ("patience", 0, 1000),
            ("dense_epochs", 0, 1000),
            ("balance", 1, _MOST),
            ("save_steps", 1, _MOST),
            ("limit", 1, _MOST),
        ):
            value = getattr(self, field)
            # Nothing compares with NaN: it is refused with what is out of range.
            if value is not None and not low <= value <= high:
                raise self._refusal(field, f"{low} to {high:.10g}")
        for field in ("dense_learning_rate", "learning_rate"):
            if not 0 < getattr(self, field) <= 1:
                raise self._refusal(field, "above 0, at most 1")
        check_seed(self.seed)
        if self.method == Method.MOVEMENT and self.sparse_epochs == 0:
            raise InputError(
                "movement is seen while training only",
                field="--sparse-epochs",
                value=self.sparse_epochs,
                accepted="above 0 with --method movement",
            )
        if self.precision not in ("auto", "bf16", "fp32"):
            raise self._refusal("precision", "auto, bf16, fp32")

    def _refusal(self, field: str, accepted: str) -> InputError:
        option = "--" + field.replace("_", "-")
        return InputError("not accepted", field=option, value=getattr(self, field), accepted=accepted)


def without_effect(settings: Settings, given: Collection[str], block_columns: int) -> list[str]:
    """What was given and changes nothing, beside what else was given: a line for each reason.

    Args:
        settings: Choices of a run.
        given: Names of those that were asked for, rather than left at their defaults.
        block_columns: Most blocks in a block row of any matrix.
    """
    method, dense = settings.method, DENSE_EPOCHS if settings.dense_epochs is None else settings.dense_epochs
    reasons = (
        (
            method == Method.MAGNITUDE,
            ("importance", "calibration", "rounds", "strength"),
            "--method magnitude cuts once, the blocks of smallest norm",
        ),
        (
            method == Method.MOVEMENT,
            ("importance", "calibration", "strength"),
            "--method movement has an importance of its own and no penalty",
        ),
        (method == Method.GRADUAL, ("strength",), "--method gradual has no penalty"),
        (
            method in (Method.LASSO, Method.GRADUAL) and settings.importance == Importance.NORM,
            ("calibration",),
            "--importance norm measures no curvature",
        ),
        (not settings.distill, ("hidden",), "--no-distill learns from the labels alone"),
        (
            method == Method.LASSO and settings.sparse_epochs == 0,
            ("strength",),
            "without --sparse-epochs there is no penalty",
        ),
        (settings.dense_epochs == 0, ("dense_learning_rate",), "--dense-epochs 0 does not fine-tune"),
        (
            settings.sparse_epochs == settings.retrain_epochs == 0,
            ("learning_rate",),
            "neither --sparse-epochs nor --retrain-epochs trains",
        ),
        (
            0 < settings.patience >= max(dense, settings.retrain_epochs),
            ("patience",),
            f"neither dense fine-tuning nor retraining has more than {settings.patience} epochs",
        ),
        (
            settings.balance is not None and settings.balance >= block_columns,
            ("balance",),
            f"no block row has more than {block_columns} blocks",
        ),
        (
            settings.patience > 0,
            ("save_steps",),
            "with --patience dense fine-tuning and retraining are saved after every epoch; it counts while pruning",
        ),
    )
    lines = []
    for holds, names, reason in reasons:
        options = ["--" + name.replace("_", "-") for name in names if name in given]
        if holds and options:
            lines.append(f"no effect: {', '.join(options)} ({reason})")
    return lines


EMBEDDED: dict[str, Any] = {
    "dense_epochs": 8.0,
    "dense_learning_rate": 1e-3,
    "sparse_epochs": 1.0,
    "retrain_epochs": 1.0,
    "learning_rate": 1e-3,
    "batch_size": 64,
}
"""What is different for the embedded default: a model trained from nothing, in a minute or two."""
