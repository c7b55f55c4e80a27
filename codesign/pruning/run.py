"""One pruning run: what was asked for, and what every phase of it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedModel

from codesign.pruning.budget import Hardware
from codesign.pruning.encoder import Matrices, encoder_matrices
from codesign.pruning.model import Classifier
from codesign.pruning.padding import Collator, collator
from codesign.pruning.settings import Settings
from codesign.pruning.training import Phase
from codesign.report.console import say
from codesign.tasks.data import TaskData
from codesign.tasks.task import Task


@dataclass(frozen=True)
class Request:
    """What is to be pruned, on what, under which plan, how, and where to.

    Attributes:
        model: Folder or hub name; None for the embedded default, which brings its own task.
        task: None with the embedded default.
        data_dir: Local files; None for the hub.
        columns: What their columns are called, where it is something else than ours.
        hardware: The plan on its board.
        settings: Choices.
        output: Folder for results and, below ``work``, for checkpoints.
        resume: Go on with the run in that folder.
        overwrite: Replace a finished run there, discard an unfinished one.
        keep_work: Leave the phases' folders when done.
        read: Other files that the run is made from: plan, board.
    """

    model: str | None
    task: Task | None
    data_dir: Path | None
    hardware: Hardware
    settings: Settings
    output: Path
    resume: bool = False
    overwrite: bool = False
    keep_work: bool = False
    columns: Mapping[str, str] | None = None
    read: tuple[Path, ...] = ()

    @property
    def inputs(self) -> list[Path]:
        """Everything that is read and may be a path."""
        return [Path(given) for given in (self.model, self.data_dir, *self.read) if given is not None]


@dataclass(frozen=True)
class Run:
    """A run under way: what every phase needs."""

    request: Request
    state: PartialState
    work: Path
    data: TaskData
    start: Classifier
    datasets: dict[str, Dataset]
    bf16: bool

    @property
    def settings(self) -> Settings:
        """Choices of the run."""
        return self.request.settings

    @property
    def hardware(self) -> Hardware:
        """The plan on its board."""
        return self.request.hardware

    @property
    def block(self) -> tuple[int, int]:
        """(R, C)."""
        return self.request.hardware.block

    @property
    def collator(self) -> Collator:
        """Pads a batch of sentences to one length."""
        return collator(self.start.tokenizer)

    def say(self, text: str) -> None:
        """Print a line, once however many processes there are."""
        if self.state.is_main_process:
            say(text)

    def matrices(self, model: PreTrainedModel) -> Matrices:
        """The layers of a model that are pruned."""
        return encoder_matrices(model, self.start.shape)

    def phase(self, name: str, epochs: float, learning_rate: float, **changes: Any) -> Phase:
        """How a phase trains."""
        settings = self.settings
        return Phase(
            name,
            epochs,
            learning_rate,
            batch_size=settings.batch_size,
            seed=settings.seed,
            bf16=self.bf16,
            save_steps=settings.save_steps,
            **changes,
        )
