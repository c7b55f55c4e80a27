"""bfloat16 where it is wanted, float32 where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.conftest import Outcome
from tests.pruning import tiny


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_training_and_teacher_in_bf16_evaluation_in_float32(
    codesign: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    # Every linear layer of every model of the run tells what it computed in.
    seen: set[tuple[bool, bool, torch.dtype]] = set()
    plain = nn.Linear.forward

    def forward(module: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        found = plain(module, x)
        if x.shape[-1] == 56:  # the feed-forward's second matrix
            seen.add((module.training, torch.is_grad_enabled(), found.dtype))
        return found

    monkeypatch.setattr(nn.Linear, "forward", forward)
    model = tiny.make("bert", tmp_path)
    done = codesign(*tiny.arguments(model, tmp_path / "out", "--precision", precision))
    assert done.code == 0, done.err
    wanted = torch.bfloat16 if precision == "bf16" else torch.float32
    assert {dtype for training, _, dtype in seen if training} == {wanted}
    if precision == "bf16":
        # Not training: the Trainer's evaluations and the teacher (bfloat16), the scores that are reported (float32).
        assert {dtype for training, grad, dtype in seen if not training and not grad} == {wanted, torch.float32}
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["precision"] == precision
    assert ("bfloat16 autocast" in done.out) is (precision == "bf16")
