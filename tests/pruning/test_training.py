from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from codesign.errors import InputError
from codesign.models.embedded import embedded_tokenizer
from codesign.pruning import training
from codesign.pruning.distillation import Distillation
from codesign.pruning.training import (
    Phase,
    Teacher,
    _ByLength,
    last_checkpoint,
    learning_rates,
    make_trainer,
    run_phase,
    steps_per_epoch,
    use_bf16,
    warmup_steps,
)
from codesign.tasks import GLUE
from codesign.tasks.agreement import agreement_splits
from codesign.tasks.data import tokenised
from tests.pruning.tiny import tiny_model


class Recorder:
    """An ``AfterStep`` that only watches."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []

    def after_step(self, step: int, learning_rate: float) -> None:
        self.seen.append((step, learning_rate))

    def state(self) -> dict[str, Tensor]:
        return {"count": torch.tensor(len(self.seen))}

    def load(self, state: dict[str, Tensor]) -> None:
        raise AssertionError("nothing to load")


def test_learning_rates_are_transformers_schedule() -> None:
    phase = Phase("p", 1, 3e-4)
    for steps in (1, 7, 100):
        optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3e-4)
        schedule = get_linear_schedule_with_warmup(optimiser, warmup_steps(steps), steps)
        wanted = []
        for _ in range(steps):
            wanted.append(schedule.get_last_lr()[0])
            optimiser.step()
            schedule.step()
        assert learning_rates(phase, steps) == pytest.approx(wanted)


def _trainer(phase: Phase, folder: Path, after: Recorder) -> Any:
    """Of 50 sentences."""
    splits = agreement_splits(50, 8)
    tokenizer = embedded_tokenizer(text for (text,) in splits["train"].sentences)
    train = tokenised(splits["train"], tokenizer, 32)
    model = tiny_model("bert", len(tokenizer))
    return make_trainer(model, tokenizer, GLUE["sst2"], phase, folder, train=train, after=after)


def test_each_step_is_followed_once_with_its_learning_rate(tmp_path: Path) -> None:
    phase = Phase("p", 2, 1e-3, batch_size=8, save_steps=5)
    recorder = Recorder()
    trainer = _trainer(phase, tmp_path, recorder)
    run_phase(trainer, recorder, tmp_path)
    steps = 2 * steps_per_epoch(50, 8)
    assert steps == 14
    assert [step for step, _ in recorder.seen] == list(range(1, steps + 1))
    assert [rate for _, rate in recorder.seen] == pytest.approx(learning_rates(phase, steps))
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-14"


def test_old_checkpoints_go_but_for_what_the_user_has_put_there(tmp_path: Path) -> None:
    """Checkpoints at 4, 8, 12 and 14 steps: two are kept; a file of the user's in the first one stays."""

    class Meddled(Recorder):
        def after_step(self, step: int, learning_rate: float) -> None:
            if step == 6:
                (tmp_path / "checkpoint-4" / "thesis.txt").write_text("x")

    recorder = Meddled()
    run_phase(_trainer(Phase("p", 2, 1e-3, batch_size=8, save_steps=4), tmp_path, recorder), recorder, tmp_path)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert {name for name in found if name.startswith("checkpoint-4")} == {"checkpoint-4", "checkpoint-4/thesis.txt"}
    assert {name for name in found if "/" not in name} == {"checkpoint-4", "checkpoint-12", "checkpoint-14"}
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-14"
    assert (tmp_path / "checkpoint-4" / "thesis.txt").read_text() == "x"


@pytest.mark.parametrize(("most", "kept"), [(3, "checkpoint-6"), (7, "checkpoint-7")])
def test_no_more_than_so_many_steps_are_ever_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, most: int, kept: str
) -> None:
    """An epoch of 7 steps: a checkpoint at its end, or within it where it has more than a kill may cost."""
    monkeypatch.setattr(training, "MOST_STEPS", most)

    class Killed(Recorder):
        def after_step(self, step: int, learning_rate: float) -> None:
            if step == 8:
                raise KeyboardInterrupt

    trainer = _trainer(Phase("p", 2, 1e-3, batch_size=8), tmp_path, Killed())
    with pytest.raises(KeyboardInterrupt):
        run_phase(trainer, Killed(), tmp_path)
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.name == kept


def test_incomplete_checkpoints_are_passed_over(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step in (5, 10, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}" / training.STATE).write_bytes(b"")
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert not (tmp_path / "checkpoint-20").exists()


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = [n % 17 for n in range(100)]
    orders = {}
    for seed in (0, 1):
        for epoch in (0, 1):
            torch.rand(seed + epoch)  # the global generator's state is of no account
            order = list(_ByLength(lengths, 8, seed, lambda epoch=epoch: epoch))
            assert order == list(_ByLength(lengths, 8, seed, lambda epoch=epoch: epoch))
            assert sorted(order) == list(range(100))
            orders[seed, epoch] = tuple(order)
            batches = [order[n : n + 8] for n in range(0, 96, 8)]
            spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
            assert sum(spread) / len(spread) < 8  # at random it would be about 12
    assert len(set(orders.values())) == 4


class Breaking(Recorder):
    """Weights that break after the second step."""

    model: nn.Module

    def after_step(self, step: int, learning_rate: float) -> None:
        super().after_step(step, learning_rate)
        if step == 2:
            self.model.bert.encoder.layer[1].output.dense.weight.data[3, 5] = torch.nan


@pytest.mark.parametrize("distilled", [False, True])
def test_a_loss_that_is_no_number_stops_at_once(tmp_path: Path, distilled: bool) -> None:
    """transformers itself would go on to the end, and show 0 for it."""
    breaking = Breaking()
    trainer = _trainer(Phase("sparse", 2, 1e-3, batch_size=8), tmp_path, breaking)
    breaking.model = trainer.model
    if distilled:
        trainer.teacher = Teacher(tiny_model("bert", trainer.model.config.vocab_size).eval(), Distillation())
    with pytest.raises(
        InputError, match=r"^sparse: the loss is nan in step 3; accepted: a learning rate below 0.001, or"
    ):
        run_phase(trainer, breaking, tmp_path)
    assert [step for step, _ in breaking.seen] == [1, 2]


@pytest.mark.parametrize("has", [True, False])
def test_bf16_where_the_hardware_reports_it(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(training, "cpu_has_bf16", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    chosen, why = use_bf16("auto")
    assert chosen is has
    assert ("does not report" in why) is not has
    assert use_bf16("fp32") == (False, "as asked")
    assert use_bf16("bf16") == (True, "as asked")
    with pytest.raises(InputError, match="--precision"):
        use_bf16("int8")


@pytest.mark.parametrize("bf16", [True, False])
def test_student_and_teacher_compute_alike(tmp_path: Path, bf16: bool) -> None:
    splits = agreement_splits(16, 8)
    tokenizer = embedded_tokenizer(text for (text,) in splits["train"].sentences)
    train = tokenised(splits["train"], tokenizer, 32)
    student, teacher = (tiny_model("bert", len(tokenizer)) for _ in range(2))
    seen: dict[str, set[tuple[bool, torch.dtype]]] = {"student": set(), "teacher": set()}
    for name, model in (("student", student), ("teacher", teacher)):

        def watch(module: nn.Module, _: object, output: Tensor, name: str = name) -> None:
            seen[name].add((module.training, output.dtype))

        model.bert.encoder.layer[1].output.dense.register_forward_hook(watch)
    phase = Phase("p", 1, 1e-3, batch_size=8, bf16=bf16)
    trainer = make_trainer(
        student,
        tokenizer,
        GLUE["sst2"],
        phase,
        tmp_path,
        train=train,
        teacher=Teacher(teacher, Distillation()),
    )
    run_phase(trainer, Recorder(), tmp_path)
    dtype = torch.bfloat16 if bf16 else torch.float32
    assert seen == {"student": {(True, dtype)}, "teacher": {(False, dtype)}}

    # Trained in whatever precision, it computes in float32 afterwards.
    seen["student"].clear()
    student.eval()(**tokenizer("the cat sees the dogs", return_tensors="pt"))
    assert seen["student"] == {(False, torch.float32)}
