"""The one rule of what may be written where, by itself and for every command."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from codesign.errors import InputError
from codesign.files import TEMPORARY
from codesign.outputs import (
    DESIGN,
    LOCK,
    MARKER,
    PLAN,
    PROJECT,
    REPORT,
    RUN,
    Kind,
    amend,
    check_output,
    claim,
    clear_scratch,
    write_guest,
)
from tests.conftest import Outcome
from tests.pruning import tiny

Run = Callable[..., Outcome]


def content(folder: Path) -> dict[str, bytes]:
    """Every file that a user sees."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    }


def written(folder: Path, kind: Kind = PLAN, **files: str) -> None:
    """An output of a command."""
    with claim(folder, kind, overwrite=True) as output:
        output.write_files({kind.last: b"last", **{name.replace("__", "/"): v.encode() for name, v in files.items()}})


# ---- The rule by itself.


@pytest.mark.parametrize("kind", [PLAN, RUN, DESIGN, PROJECT, REPORT])
def test_missing_and_empty_folders_are_written(tmp_path: Path, kind: Kind) -> None:
    written(tmp_path / "a" / "b", kind, x="1", in__y="2")
    assert content(tmp_path / "a" / "b") == {kind.last: b"last", "x": b"1", "in/y": b"2"}
    (tmp_path / "empty").mkdir()
    written(tmp_path / "empty", kind, x="1")
    assert content(tmp_path / "empty") == {kind.last: b"last", "x": b"1"}


@pytest.mark.parametrize("kind", [PLAN, RUN, DESIGN, PROJECT, REPORT])
def test_a_finished_output_needs_the_option(tmp_path: Path, kind: Kind) -> None:
    written(tmp_path, kind, old="1", in__old="1")
    before = content(tmp_path)
    with pytest.raises(InputError, match=f"already what codesign {kind.command} wrote; accepted: {kind.option}"):
        check_output(tmp_path, kind)
    assert content(tmp_path) == before
    written(tmp_path, kind, new="2")
    assert content(tmp_path) == {kind.last: b"last", "new": b"2"}
    assert not (tmp_path / "in").exists()


def test_files_of_a_stranger_stay(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"codesign plan has not written, the first is thesis\.txt"):
            check_output(tmp_path, PLAN, overwrite=overwrite)
    # Nor what somebody puts there while the command works.
    other = tmp_path / "other"
    with claim(other, RUN) as output:
        (other / "thesis.txt").write_text("x")
        with pytest.raises(InputError, match=r"thesis\.txt"):
            output.write_files({"metrics.json": b""})
    assert content(other) == {"thesis.txt": b"x"}


@pytest.mark.parametrize("where", ["mine", "in/mine", "empty/../mine"])
def test_a_strangers_file_in_an_own_output(tmp_path: Path, where: str) -> None:
    written(tmp_path, DESIGN, in__a="1", empty__a="1")
    (tmp_path / where).write_text("m")
    with pytest.raises(InputError, match="mine: codesign quantize has not written this"):
        check_output(tmp_path, DESIGN, overwrite=True)
    assert (tmp_path / where).read_text() == "m"


def test_what_was_changed_by_hand_is_the_users(tmp_path: Path) -> None:
    written(tmp_path, PLAN, a="1")
    (tmp_path / "a").write_text("by hand")
    with pytest.raises(InputError, match="a: this has been changed since codesign plan wrote it"):
        check_output(tmp_path, PLAN, overwrite=True)
    # What is gone is no obstacle.
    (tmp_path / "a").unlink()
    written(tmp_path, PLAN, a="2")
    assert (tmp_path / "a").read_text() == "2"


def test_a_link_in_an_output_is_a_strangers(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("m")
    written(tmp_path / "o", PLAN, a="1")
    (tmp_path / "o" / "a").unlink()
    (tmp_path / "o" / "a").symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="a: codesign plan has not written this"):
        check_output(tmp_path / "o", PLAN, overwrite=True)


def test_an_output_of_another_command(tmp_path: Path) -> None:
    written(tmp_path, RUN)
    with pytest.raises(InputError, match="this folder holds what codesign prune wrote, not codesign plan"):
        check_output(tmp_path, PLAN, overwrite=True)


def test_a_file_and_what_lies_below_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("f")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="is a file"):
            check_output(target, PLAN)
    assert (tmp_path / "file").read_text() == "f"


@pytest.mark.parametrize("target", ["input", ".", "input/..", "link"])
def test_an_input_or_a_folder_above_one_is_no_output(tmp_path: Path, target: str) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "input")
    with pytest.raises(InputError, match="an input"):
        check_output(tmp_path / target, PLAN, inputs=[tmp_path / "input"], overwrite=True)
    # A name of the hub is no path, and a folder below an input is another one.
    check_output(tmp_path / "o", PLAN, inputs=[Path("bert-base-uncased")])
    check_output(tmp_path / "input" / "o", PLAN, inputs=[tmp_path / "input"])


def test_two_at_a_time(tmp_path: Path) -> None:
    written(tmp_path, RUN, a="1")
    with claim(tmp_path, RUN, overwrite=True):  # noqa: SIM117 — one after the other
        with pytest.raises(InputError, match="another codesign command is writing here"):
            written(tmp_path, RUN)
    assert not (tmp_path / LOCK).exists()
    # A design in a run that is being replaced.
    written(tmp_path / "design", DESIGN)
    with (
        claim(tmp_path / "design", DESIGN, overwrite=True),
        pytest.raises(InputError, match="design: another codesign command is writing here"),
    ):
        check_output(tmp_path, RUN, overwrite=True)


def test_nothing_is_left_of_a_command_that_fails(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    for kind in (PLAN, RUN):
        with pytest.raises(InputError, match="wrong"), claim(target, kind):
            raise InputError("wrong")
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    written(tmp_path, PLAN, a="1", b="2")
    before = content(tmp_path)

    def fill(folder: Path) -> None:
        (folder / "a").write_text("new")
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(InputError, match="cannot be written: No space left on device"),
        claim(tmp_path, PLAN, overwrite=True) as output,
    ):
        output.write(fill)
    assert content(tmp_path) == before


def test_a_killed_move_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, PLAN, a="1", b="1", gone="1")
    real, moves = Path.replace, []

    def killed(self: Path, target: Path) -> Path:
        if self.parent.name.startswith(".codesign-new-") and self.name in "ab":
            moves.append(self.name)
            if len(moves) == 2:
                raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path, PLAN, a="2", b="2")
    monkeypatch.undo()
    # Unfinished, and said to be: the file that makes it whole is missing.
    assert not (tmp_path / "plan.yaml").exists()
    with claim(tmp_path, PLAN, overwrite=True):
        assert content(tmp_path) == {"plan.yaml": b"last", "a": b"2", "b": b"2", LOCK: b""}


def test_checkpoints_are_asked_about_and_go_with_the_result(tmp_path: Path) -> None:
    with claim(tmp_path, RUN) as output:
        (output.scratch / "dense" / "checkpoint-5").mkdir(parents=True)
        (output.scratch / "dense" / "checkpoint-5" / "optimizer.pt").write_text("c")
    with pytest.raises(InputError, match="this folder holds an unfinished run; accepted: --resume"):
        check_output(tmp_path, RUN)
    check_output(tmp_path, RUN, overwrite=True)
    with claim(tmp_path, RUN, resume=True) as output:
        assert (output.scratch / "dense" / "checkpoint-5" / "optimizer.pt").read_text() == "c"
        output.write_files({"metrics.json": b""})
    assert content(tmp_path) == {"metrics.json": b""}
    with pytest.raises(InputError, match="nothing to resume here: this codesign prune has finished"):
        check_output(tmp_path, RUN, resume=True)
    # A folder of that name which no codesign has made is a stranger's.
    (tmp_path / "other" / "work").mkdir(parents=True)
    (tmp_path / "other" / "work" / "mine").write_text("m")
    with pytest.raises(InputError, match="has not written, the first is work"):
        check_output(tmp_path / "other", RUN, overwrite=True)


@pytest.mark.parametrize("kind", [RUN, DESIGN])
def test_a_users_own_work_in_a_finished_output(tmp_path: Path, kind: Kind) -> None:
    # A folder, a file or a link named as the one that the command works in.
    assert kind.scratch is not None
    mine = tmp_path / "o" / kind.scratch
    (tmp_path / "elsewhere").mkdir()
    for make in (lambda: mine.mkdir(), lambda: mine.write_text("m"), lambda: mine.symlink_to(tmp_path / "elsewhere")):
        written(tmp_path / "o", kind)
        make()
        if mine.is_dir():
            (mine / "thesis.txt").write_text("x")
        with pytest.raises(InputError, match=f"work: codesign {kind.command} has not written this"):
            check_output(tmp_path / "o", kind, overwrite=True)
        with pytest.raises(InputError, match="nothing to resume here"):
            check_output(tmp_path / "o", kind, resume=True)
        mine.rename(tmp_path / f"kept-{len(list(tmp_path.iterdir()))}")
    # What the command itself left there is its own, also beside an older output.
    with claim(tmp_path / "o", kind, overwrite=True) as output:
        output.scratch.mkdir()
    check_output(tmp_path / "o", kind, resume=True)
    with claim(tmp_path / "o", kind, resume=True) as output:
        output.write_files({kind.last: b"new"}, keep_scratch=True)
    assert mine.is_dir()
    written(tmp_path / "o", kind)
    assert not mine.exists()


def work_with(scratch: Path) -> None:
    """What a command leaves there when it is killed."""
    (scratch / "checkpoint-5").mkdir(parents=True)
    for name in ("run.json", "checkpoint-5/model.safetensors", "checkpoint-5/rng_state.pth"):
        (scratch / name).write_text("ours")
    (scratch / f"{TEMPORARY}x").mkdir()
    (scratch / f"{TEMPORARY}x" / "half").write_text("ours")


@pytest.mark.parametrize("kind", [RUN, DESIGN])
@pytest.mark.parametrize(
    "name", ["thesis.txt", "checkpoint-5/thesis.txt", "mine/thesis.txt", "mine/checkpoint-5/a.txt"]
)
@pytest.mark.parametrize("link", [False, True])
def test_a_file_of_the_user_among_checkpoints(tmp_path: Path, kind: Kind, name: str, link: bool) -> None:
    (tmp_path / "elsewhere").write_text("x")
    scratch = tmp_path / "o" / str(kind.scratch)
    mine = scratch / name

    def put() -> None:
        mine.parent.mkdir(parents=True, exist_ok=True)
        mine.symlink_to(tmp_path / "elsewhere") if link else mine.write_text("x")

    with claim(tmp_path / "o", kind) as output:
        work_with(output.scratch)
    check_output(tmp_path / "o", kind, resume=True)
    put()
    # Nothing begins before it has been moved away.
    for options in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(InputError, match=rf"{name}: codesign {kind.command} has not written this, and works"):
            check_output(tmp_path / "o", kind, **options)
    assert mine.read_text() == "x"
    mine.unlink()
    # What comes while the command works stays, and is told, and nothing else does.
    with claim(tmp_path / "o", kind, resume=True) as output:
        put()
        output.write_files({kind.last: b"new"})
    assert (tmp_path / "o" / kind.last).read_bytes() == b"new"
    assert mine.read_text() == "x"
    assert [path for path in scratch.rglob("*") if not path.is_dir()] == [mine]
    with pytest.raises(InputError, match="work: codesign"):
        check_output(tmp_path / "o", kind, overwrite=True)
    assert clear_scratch(scratch) == (mine,)
    mine.unlink()
    assert clear_scratch(scratch) == ()
    assert not scratch.exists()


def test_nothing_is_written_where_a_command_works(tmp_path: Path) -> None:
    with claim(tmp_path, RUN) as output:
        output.scratch.mkdir()
    for inside in ("work", "work/a", "work/a/b"):
        with pytest.raises(InputError, match=r"codesign prune works in .*/work, and all of that goes"):
            check_output(tmp_path / inside, DESIGN)
    check_output(tmp_path / "other", DESIGN)
    written(tmp_path, RUN)
    check_output(tmp_path / "work", DESIGN)


def test_a_link_among_guests_is_no_guest(tmp_path: Path) -> None:
    run = tmp_path / "run"
    written(run, RUN)
    written(tmp_path / "elsewhere", DESIGN)
    (run / "design").symlink_to(tmp_path / "elsewhere")
    before = content(run)
    with pytest.raises(InputError, match="design: this is a link"):
        written(run, RUN)
    assert content(run) == before
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    with pytest.raises(InputError, match="nowhere: this is a link to what is not there"):
        check_output(tmp_path / "nowhere", RUN)


def test_a_strangers_folder_is_named_as_a_whole(tmp_path: Path) -> None:
    # To move one file of it away would not do, its marker least of all.
    written(tmp_path, DESIGN, in__a="1")
    written(tmp_path / "hls", PROJECT, in__b="1")
    with pytest.raises(InputError, match="hls: codesign quantize has not written this"):
        check_output(tmp_path, DESIGN, overwrite=True)


def test_what_others_put_into_an_output_goes_with_it(tmp_path: Path) -> None:
    run, design = tmp_path, tmp_path / "design"
    written(run, RUN)
    written(design, DESIGN)
    write_guest(design, "sim.json", b'{"format": "codesign-sim-1"}')
    written(design / "report", REPORT)
    amend(run, "metrics.json", b"amended")
    # … unless somebody has put something into that.
    (design / "report" / "mine").write_text("m")
    for folder, kind in ((run, RUN), (design, DESIGN)):
        with pytest.raises(InputError, match="mine: codesign report has not written this"):
            check_output(folder, kind, overwrite=True)
    (design / "report" / "mine").unlink()
    written(run, RUN, new="1")
    assert content(run) == {"metrics.json": b"last", "new": b"1"}
    design.mkdir()
    (design / "sim.json").write_text("{}")
    with pytest.raises(InputError, match=r"sim\.json: in the way, and not written by codesign"):
        write_guest(design, "sim.json", b"")
    with pytest.raises(InputError, match="design: codesign has not written this"):
        check_output(run, RUN, overwrite=True)


def test_a_shared_folder_keeps_what_is_not_of_the_project(tmp_path: Path) -> None:
    written(tmp_path, PROJECT, a="1", src__b="2")
    (tmp_path / "mine").write_text("m")
    written(tmp_path, PROJECT, a="3", c="4")
    assert content(tmp_path) == {"manifest.json": b"last", "a": b"3", "c": b"4", "mine": b"m"}
    (tmp_path / "a").write_text("by hand")
    with pytest.raises(InputError, match="a: in the way, and not as codesign gen-hls wrote it"):
        written(tmp_path, PROJECT, a="5", c="6")
    assert (tmp_path / "c").read_text() == "4"
    written(tmp_path, PROJECT, c="6")
    assert (tmp_path / "a").read_text() == "by hand"
    with pytest.raises(InputError, match="mine: in the way"):
        written(tmp_path, PROJECT, mine="x")


def test_names_in_a_marker_reach_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("v")
    written(tmp_path / "o", PLAN)
    marker = json.loads((tmp_path / "o" / MARKER).read_text())
    marker["files"]["../victim"] = "4c94485e0c21ae6c41ce1dfe7b6bfaceea5ab68e40a2476f50208e526f506080"  # of "v"
    (tmp_path / "o" / MARKER).write_text(json.dumps(marker))
    with pytest.raises(InputError, match="has not written"):
        written(tmp_path / "o", PLAN)
    assert (tmp_path / "victim").read_text() == "v"


def test_files_have_ordinary_permissions(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "in").mkdir(mode=0o700)
        (folder / "in" / "plan.yaml").touch(mode=0o600)

    with claim(tmp_path / "made", PLAN) as output:
        output.write(fill)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").touch()
    for made, ordinary in (("made", "b"), ("made/in", "b"), ("made/in/plan.yaml", "b/c")):
        assert (tmp_path / made).stat().st_mode == (tmp_path / ordinary).stat().st_mode


def test_amending_leaves_a_change_by_hand_one(tmp_path: Path) -> None:
    written(tmp_path, RUN)
    amend(tmp_path, "metrics.json", b"two")
    check_output(tmp_path, RUN, overwrite=True)
    (tmp_path / "metrics.json").write_text("by hand")
    amend(tmp_path, "metrics.json", b"three")
    with pytest.raises(InputError, match="changed since"):
        check_output(tmp_path, RUN, overwrite=True)


# ---- Every command against every kind of target.


@dataclass(frozen=True)
class Case:
    """A command with what it reads.

    Attributes:
        arguments: All but where to write.
        input: What it reads.
        kind: What it writes.
    """

    arguments: tuple[object, ...]
    input: Path
    kind: Kind

    def run(self, codesign: Run, target: Path | str, *more: object) -> Outcome:
        return codesign(*self.arguments, *more, "-o", target)


NO_EPOCHS = ("--dense-epochs", 0, "--sparse-epochs", 0, "--retrain-epochs", 0)
COMMANDS = ("plan", "prune", "quantize", "gen-hls", "report")


@pytest.fixture
def case(request: pytest.FixtureRequest, pruned: Callable[[str], Path], quantised: Callable[[str], Path]) -> Case:
    run = pruned("bert")
    model = run.parent / "bert"
    if request.param == "plan":
        return Case(("plan", "-b", "zcu104", "-m", model, "--tokens", 32, "--block", "4x8"), model, PLAN)
    if request.param == "prune":
        *given, _, _, _ = tiny.arguments(model, Path("unused"))
        return Case((*given, *NO_EPOCHS, "--no-quantize"), model, RUN)
    if request.param == "quantize":
        return Case(("quantize", run, "--calibration", 16), run, DESIGN)
    design = quantised("bert")
    return Case((request.param, design), design, PROJECT if request.param == "gen-hls" else REPORT)


def refused(told: Outcome, message: str) -> None:
    assert told.code == 2, told.out + told.err
    (line,) = told.err.splitlines()
    assert line.startswith("codesign: ")
    assert message in line


@pytest.mark.parametrize("case", COMMANDS, indirect=True)
def test_targets_that_are_refused_before_any_work(
    codesign: Run, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    option = case.kind.option
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "thesis.txt").write_text("x")
    (tmp_path / "file").write_text("f")
    before, given = content(tmp_path), content(case.input)
    monkeypatch.chdir(tmp_path)
    for more in ((), (option,)):
        refused(case.run(codesign, "keep", *more), "the first is thesis.txt")
        refused(case.run(codesign, ".", *more), "has not written")
        refused(case.run(codesign, "file", *more), "this is a file")
        refused(case.run(codesign, "file/below", *more), "cannot be written")
        refused(case.run(codesign, case.input, *more), "this is an input itself")
        refused(case.run(codesign, case.input.parent, *more), "this folder holds an input")
        # Root may write everywhere but here.
        refused(case.run(codesign, "/proc/codesign", *more), "cannot be written")
        if os.geteuid():
            (tmp_path / "closed").mkdir(mode=0o500, exist_ok=True)
            refused(case.run(codesign, "closed", *more), "cannot be written")
    assert content(tmp_path) == before
    assert content(case.input) == given


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file gets larger than this: writing fails in the middle, as on a disk that is full."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("case", COMMANDS, indirect=True)
def test_targets_that_are_written(codesign: Run, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    option, given = case.kind.option, content(case.input)
    target = tmp_path / "here"
    target.mkdir()
    # The working directory, which is empty.
    monkeypatch.chdir(target)
    told = case.run(codesign, ".")
    assert told.code == 0, told.err
    first = content(target)
    assert case.kind.last in first
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*") if path.is_file()} == {0o666 & ~_umask()}
    # Its own older output: not without being asked; and never with a stranger's file in it.
    refused(case.run(codesign, "."), f"there is already what codesign {case.kind.command} wrote")
    if not case.kind.shared:
        (target / "mine").write_text("m")
        refused(case.run(codesign, ".", option), "mine: codesign")
        (target / "mine").unlink()
    # Somebody is writing there.
    with claim(target, case.kind, overwrite=True):
        refused(case.run(codesign, ".", option), "another codesign command is writing here")
    # A full disk: what was there stays whole.
    with full_disk(2000):
        refused(case.run(codesign, ".", option), "cannot be written")
    assert content(target) == first
    told = case.run(codesign, ".", option)
    assert told.code == 0, told.err
    assert content(target).keys() == first.keys()
    assert content(case.input) == given


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_simulation_writes_one_file_and_looks_first(
    codesign: Run, quantised: Callable[[str], Path], tmp_path: Path
) -> None:
    design = quantised("bert")
    (tmp_path / "file").write_text("f")
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "sim.json").write_text("mine")
    refused(codesign("simulate", design, "--work-dir", tmp_path / "file"), "file: this is a file")
    refused(codesign("simulate", design, "--work-dir", "/proc/codesign"), "cannot be written")
    refused(codesign("simulate", design, "--work-dir", design), "this is an input itself; accepted: another folder")
    refused(codesign("simulate", design, "-o", tmp_path / "file"), "this is a file")
    refused(codesign("simulate", design, "-o", tmp_path / "keep"), "sim.json: in the way")
    refused(codesign("simulate", design, "-o", "/proc/codesign"), "cannot be written")
    assert (tmp_path / "keep" / "sim.json").read_text() == "mine"


def test_a_run_replaced_takes_its_design_along(codesign: Run, pruned: Callable[[str], Path], tmp_path: Path) -> None:
    model = pruned("bert").parent / "bert"
    given = [*tiny.arguments(model, tmp_path / "o", "--quantize"), *map(str, NO_EPOCHS)]
    assert codesign(*given).code == 0
    assert (tmp_path / "o" / "design" / "design.yaml").is_file()
    refused(codesign(*given), "there is already what codesign prune wrote")
    # The design of another model must not stay beside the new one.
    assert codesign(*given, "--no-quantize", "--overwrite").code == 0
    assert not (tmp_path / "o" / "design").exists()
