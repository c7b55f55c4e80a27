"""What is shown while something takes long."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from codesign.report import console as shown
from codesign.report.console import asking, console, say, working
from codesign.report.prune_text import prune_text


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with working("building [red]x[/red]"):
        assert capsys.readouterr().out == "building [red]x[/red]\n"
    assert capsys.readouterr().out == ""


def test_what_took_long_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 173.4])
    monkeypatch.setattr(shown.time, "monotonic", lambda: next(clock))
    with working("building"):
        pass
    assert capsys.readouterr().out == "building\nbuilding: 73 s\n"


def test_a_spinner_with_the_time_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(shown, "console", lambda: Console(file=terminal, force_terminal=True, width=80))
    with working("building [x]"):
        pass
    text = terminal.getvalue()
    assert "building [x]" in text
    assert "0:00:00" in text


def test_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    say("wrote out[/dim]: [bold]")
    assert capsys.readouterr().out == "wrote out[/dim]: [bold]\n"


def test_a_run_s_folder_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    predicted = SimpleNamespace(latency_ms=1.0, cycles=300, speedup=2.0)
    hardware = SimpleNamespace(compression=lambda _: 2.0, plan=SimpleNamespace(budget="[bold]2×"))
    outcome: Any = SimpleNamespace(
        headline=("f1", 90.0, 89.0),
        hardware=hardware,
        predicted=predicted,
        masks={},
        task=SimpleNamespace(name="a[/dim]b"),
    )
    for part in prune_text(outcome, Path("out[red]")):
        console().print(part, highlight=False, soft_wrap=True)
    told = capsys.readouterr().out
    assert "wrote out[red] (checkpoint" in told
    assert "a[/dim]b f1" in told
    assert "(budget: [bold]2×)" in told


@pytest.mark.parametrize(("model", "told"), [("bert-base-uncased", True), ("org/model", True), (None, False)])
def test_only_what_is_not_here_is_asked_for(
    model: str | None, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with asking(model):
        pass
    assert capsys.readouterr().out == (f"asking the hub for {model}\n" if told else "")


def test_folders_are_not_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model in (tmp_path, str(tmp_path), "./none", "/none"):
        with asking(model):
            pass
    assert capsys.readouterr().out == ""
