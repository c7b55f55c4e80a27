from __future__ import annotations

import os
from pathlib import Path

import pytest

from codesign.errors import InputError
from codesign.files import read_json, read_text, write_bytes, write_folder, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", lambda *_: full(0))
    with pytest.raises(InputError, match=r"a\.txt: cannot be written: No space left on device"):
        write_text(target, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_writing_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_bytes(tmp_path / "file" / "x", b"")


def test_written_files_have_ordinary_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_written_folders_have_ordinary_permissions(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "in").mkdir(mode=0o700)
        (folder / "in" / "a").touch(mode=0o600)

    write_folder(tmp_path / "made", fill)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").touch()
    for made, ordinary in (("made", "b"), ("made/in", "b"), ("made/in/a", "b/c")):
        assert (tmp_path / made).stat().st_mode == (tmp_path / ordinary).stat().st_mode


def test_bad_json_has_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{\n  "a": }\n')
    with pytest.raises(InputError, match=r"c\.json:2:8: not valid JSON"):
        read_json(tmp_path / "c.json")


def test_unreadable_input(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_text(tmp_path / "b")
    with pytest.raises(InputError, match="a folder"):
        read_text(tmp_path)
    if os.geteuid() != 0:  # root reads everything
        (tmp_path / "b").chmod(0)
        with pytest.raises(InputError, match="cannot be read"):
            read_text(tmp_path / "b")


def test_a_long_value_is_shown_by_its_beginning() -> None:
    told = str(InputError("not accepted", field="--x", value="9" * 5000, accepted="less"))
    assert told == f"--x: not accepted (got '{'9' * 199}…); accepted: less"
