"""What is shown while something takes long."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from codesign.report import console as shown
from codesign.report.console import asking, say, working


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
