"""What may be written where: the one place that decides it, for every command.

    with claim(folder, PLAN, inputs=[model], overwrite=False) as output:   # checked and locked before the work
        …
        output.write(fill)                                                 # whole or not at all

A folder is written where it is missing or empty, or where its marker says that the same command has written it and
nothing else has been put into it since; a finished output then needs ``overwrite``. An input, or a folder above one,
is never an output. Nothing is deleted that the marker does not name, or that is not of the files that a command works
with.

A folder is changed in place, never exchanged for another of its name: it may be the working directory, a mount point
or a link. What is new is made in a hidden folder in it, so that a full disk is met before anything is changed, and
moved from there; a move that is killed half-way is completed by the next command.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from codesign.checksums import file_hash
from codesign.errors import InputError
from codesign.files import TEMPORARY, disk_reason, is_disk_error, ordinary_permissions, to_json, write_bytes

MARKER = ".codesign.json"
"""Which command wrote a folder, and the SHA-256 of every file of it."""
LOCK = ".codesign.lock"
_FORMAT = "codesign-output-1"
_WORKED_WITH = re.compile(
    r"run\.json"
    r"|(.*/)?(checkpoint-\d+|done)/(config|generation_config|trainer_state|phase|tokenizer|tokenizer_config"
    r"|special_tokens_map|added_tokens|vocab|model\.safetensors\.index)\.json"
    r"|(.*/)?(checkpoint-\d+|done)/(model(-\d+-of-\d+)?|pruning|masks)\.safetensors"
    r"|(.*/)?(checkpoint-\d+|done)/((optimizer|scheduler|scaler)\.pt|rng_state(_\d+)?\.pth|training_args\.bin)"
    r"|(.*/)?(checkpoint-\d+|done)/(vocab\.txt|merges\.txt|chat_template\.jinja|\w+\.model)"
)
"""What is in a scratch folder: the record of what was asked for, transformers' checkpoints, our phases' results."""
_ELSEWHERE = "another --output-dir"


@dataclass(frozen=True)
class Kind:
    """What a command writes.

    Attributes:
        command: Its name.
        last: The file without which the output is unfinished: it goes first and comes last.
        scratch: Folder that the command uses as it likes while it works, checkpoints above all.
        guests: What other commands put into such an output; it goes with it.
        shared: Whether other files may stay in the folder beside it: where its user builds in it.
        resumed: Whether an unfinished output needs ``--resume``; others are simply begun anew.
        option: Of the command line, that lets a finished output be replaced.
    """

    command: str
    last: str
    scratch: str | None = None
    guests: tuple[str, ...] = ()
    shared: bool = False
    resumed: bool = False
    option: str = "--overwrite"


PLAN = Kind("plan", "plan.yaml")
RUN = Kind("prune", "metrics.json", scratch="work", guests=("design",), resumed=True)
DESIGN = Kind("quantize", "design.yaml", scratch="work", guests=("report", "sim.json"))
PROJECT = Kind("gen-hls", "manifest.json", shared=True, option="--force")
REPORT = Kind("report", "report.html")
KINDS = {kind.command: kind for kind in (PLAN, RUN, DESIGN, PROJECT, REPORT)}


@dataclass(frozen=True)
class _Marker:
    """What a marker says.

    Attributes:
        command: Who writes here.
        files: SHA-256 by path.
        moving: Hidden folder from which files are being moved, if a move is under way.
        leaving: What was there before that, and goes.
        working: Whether the scratch folder, if there is one, is the command's and not somebody else's.
    """

    command: str
    files: Mapping[str, str] = field(default_factory=dict)
    moving: str | None = None
    leaving: Mapping[str, str] = field(default_factory=dict)
    working: bool = False

    def knows(self, name: str, digest: str) -> bool:
        """Whether a file is as its command has written it."""
        return digest in (self.files.get(name), self.leaving.get(name))


class Output:
    """A folder that is claimed: nobody else writes there meanwhile."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.folder, self.kind = folder, kind

    @property
    def scratch(self) -> Path:
        """Where the command may keep what it needs while it works."""
        assert self.kind.scratch is not None
        return self.folder / self.kind.scratch

    def write(self, fill: Callable[[Path], None], *, keep_scratch: bool = False) -> tuple[Path, ...]:
        """Write the output, in the place of an older one.

        Args:
            fill: Makes all files in the empty folder that it is given.
            keep_scratch: Leave what the command worked with.

        Returns:
            What somebody has put into the scratch folder meanwhile, and is left there.

        Raises:
            InputError: The disk is full or cannot be written, or somebody has put something into the folder since it
                was claimed; nothing of what was there is then changed.
        """
        new: Path | None = None
        try:
            new = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=self.folder))
            fill(new)
            ordinary_permissions(new)
            files = {p.relative_to(new).as_posix(): file_hash(p) for p in sorted(new.rglob("*")) if p.is_file()}
            before = _read_marker(self.folder)
            _check_content(self.folder, self.kind, before, but_scratch=True)
            self._check_way(files, before)
            leaving = before.files if before else {}
            working = before is not None and before.working
            _write_marker(self.folder, _Marker(self.kind.command, files, new.name, leaving, working))
        except BaseException as error:
            if new is not None:
                shutil.rmtree(new, ignore_errors=True)
            if is_disk_error(error):
                raise InputError(f"cannot be written: {disk_reason(error)}", file=self.folder) from None
            raise
        _complete_move(self.folder, self.kind)
        if not self.kind.scratch or keep_scratch:
            return ()
        left = clear_scratch(self.scratch)
        _drop_claim(self.folder, self.kind, done=True)
        return left

    def write_files(self, files: Mapping[str, bytes], *, keep_scratch: bool = False) -> None:
        """Write an output of files by their paths, as ``write`` does."""

        def fill(folder: Path) -> None:
            for name, data in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

        self.write(fill, keep_scratch=keep_scratch)

    def _check_way(self, files: Mapping[str, str], before: _Marker | None) -> None:
        """Whether other files, which a shared folder may hold, are where new ones are to be."""
        for name, digest in files.items():
            path = self.folder / name
            if not path.exists():
                continue
            found = file_hash(path) if path.is_file() else ""
            if found != digest and not (before and before.knows(name, found)):
                raise InputError(
                    f"in the way, and not as codesign {self.kind.command} wrote it",
                    file=path,
                    accepted=f"move it, or {_ELSEWHERE}",
                )


def clear_scratch(scratch: Path) -> tuple[Path, ...]:
    """Remove what a command has worked with; what it has not written stays, and is named."""
    if not _is_own_folder(scratch):
        return ()
    left = tuple(_scratch_strangers(scratch))
    _clear(scratch, left)
    return left


def clear_checkpoint(folder: Path) -> None:
    """Remove one of the checkpoints of a phase; what no command has written stays there."""
    _clear(folder, tuple(_scratch_strangers(folder.parent)))


def _clear(folder: Path, left: Collection[Path]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if _is_own_folder(path):
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in left:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def check_output(
    folder: Path, kind: Kind, *, inputs: Iterable[Path] = (), overwrite: bool = False, resume: bool = False
) -> None:
    """Whether an output may be written to a folder, before any work is done for it; ``claim`` checks the same.

    Args:
        folder: Where to.
        kind: What.
        inputs: Files and folders that the command reads; names that are no path here are none.
        overwrite: Whether a finished or an unfinished output of the same command may be replaced.
        resume: Whether an unfinished one is to be gone on with.

    Raises:
        InputError: It may not; the message says why, and what would be accepted.
    """
    try:
        _check_place(folder)
        _check_inputs(folder, inputs)
        marker = _read_marker(folder)
        _check_state(folder, kind, marker, overwrite=overwrite, resume=resume)
        _check_content(folder, kind, marker)
    except OSError as error:
        raise InputError(f"cannot be looked at: {error.strerror}", file=folder) from None


@contextmanager
def claim(
    folder: Path, kind: Kind, *, inputs: Iterable[Path] = (), overwrite: bool = False, resume: bool = False
) -> Iterator[Output]:
    """A folder to write to, checked as ``check_output`` says and locked until the end.

    Folders that had to be made for it go again where nothing has been written.

    Raises:
        InputError: It may not be written, cannot be, or another command is writing there.
    """
    inputs = list(inputs)
    check_output(folder, kind, inputs=inputs, overwrite=overwrite, resume=resume)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise InputError(
                "another codesign command is writing here", file=folder, accepted=f"wait for it, or {_ELSEWHERE}"
            ) from None
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", file=folder) from None
        try:
            _settle(folder, kind)
            # Somebody may have been faster.
            check_output(folder, kind, inputs=inputs, overwrite=overwrite, resume=resume)
            if kind.scratch:
                # So that whatever a kill leaves is known for what it is.
                _write_marker(folder, replace(_read_marker(folder) or _Marker(kind.command), working=True))
            yield Output(folder, kind)
        finally:
            _drop_claim(folder, kind)
            # While the lock is held: who has opened the file meanwhile finds it gone, and makes a new one.
            (folder / LOCK).unlink(missing_ok=True)
            lock.release()
    finally:
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def amend(folder: Path, name: str, data: bytes) -> None:
    """Write one file of a finished output anew: what another step adds to it.

    Raises:
        InputError: It cannot be written, or another command is writing there.
    """
    try:
        with FileLock(folder / LOCK, timeout=10):
            marker = _read_marker(folder)
            ours = marker is not None and (folder / name).is_file() and marker.knows(name, file_hash(folder / name))
            write_bytes(folder / name, data)
            if marker is not None and ours:
                files = {**marker.files, name: hashlib.sha256(data).hexdigest()}
                _write_marker(folder, replace(marker, files=files))
            (folder / LOCK).unlink(missing_ok=True)
    except Timeout:
        raise InputError("another codesign command is writing here", file=folder) from None
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=folder / name) from None


def write_guest(folder: Path, name: str, data: bytes) -> Path:
    """Write one JSON file of a command into a folder of another: it tells by its ``format`` whose it is.

    Raises:
        InputError: There is a file of that name that is not such a one, or it cannot be written.
    """
    check_guest(folder, name)
    write_bytes(folder / name, data)
    return folder / name


def check_guest(folder: Path, name: str) -> None:
    """Whether ``write_guest`` may write a file, before any work is done for it.

    Raises:
        InputError: There is a file of that name that codesign has not written, or the folder cannot be written.
    """
    path = folder / name
    if folder.exists() and not folder.is_dir():
        raise InputError("this is a file, a folder is to be written", file=folder, accepted=_ELSEWHERE)
    if path.exists() and not _is_guest_file(path):
        raise InputError("in the way, and not written by codesign", file=path, accepted=f"move it, or {_ELSEWHERE}")
    check_folder(folder)


def check_folder(folder: Path, inputs: Iterable[Path] = ()) -> None:
    """Whether files can be made in a folder, such as one for what is built once; it is made where it is missing.

    Raises:
        InputError: It is a file, an input or above one, or cannot be made or written.
    """
    _check_inputs(folder, inputs, "another folder")
    if folder.exists() and not folder.is_dir():
        raise InputError("this is a file, a folder is needed", file=folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=TEMPORARY):
            pass
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=folder) from None


def _check_place(folder: Path) -> None:
    """Whether a folder can be there and be written, as far as can be told without writing."""
    if folder.exists() and not folder.is_dir():
        raise InputError("this is a file, a folder is to be written", file=folder, accepted=_ELSEWHERE)
    if folder.is_symlink() and not folder.exists():
        raise InputError("this is a link to what is not there", file=folder, accepted=_ELSEWHERE)
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"cannot be written: {nearest} is a file", file=folder, accepted=_ELSEWHERE)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"cannot be written: {nearest} allows no new files", file=folder, accepted=_ELSEWHERE)
    real = folder.resolve()
    for inside, above in zip((real, *real.parents), real.parents, strict=False):
        marker = _read_marker(above)
        kind = KINDS.get(marker.command) if marker is not None else None
        if marker is not None and marker.working and kind is not None and kind.scratch == inside.name:
            raise InputError(
                f"codesign {kind.command} works in {inside}, and all of that goes when it is done",
                file=folder,
                accepted=_ELSEWHERE,
            )


def _check_state(folder: Path, kind: Kind, marker: _Marker | None, *, overwrite: bool, resume: bool) -> None:
    """Whether what the same command has left there may be replaced, or gone on with."""
    ours = marker is not None and marker.command == kind.command
    finished = ours and (folder / kind.last).is_file()
    begun = marker is not None and ours and marker.working and (folder / str(kind.scratch)).is_dir()
    if resume:
        if not begun:
            done = f": this codesign {kind.command} has finished" if finished else ""
            raise InputError(f"nothing to resume here{done}", file=folder, accepted="a folder with an unfinished one")
    elif finished and not overwrite:
        raise InputError(
            f"there is already what codesign {kind.command} wrote",
            file=folder,
            accepted=f"{kind.option} to replace it, or {_ELSEWHERE}",
        )
    elif begun and kind.resumed and not overwrite:
        raise InputError(
            "this folder holds an unfinished run",
            file=folder,
            accepted=f"--resume to go on with it, --overwrite to begin anew, or {_ELSEWHERE}",
        )


def _check_inputs(folder: Path, inputs: Iterable[Path], accepted: str = _ELSEWHERE) -> None:
    target = folder.resolve()
    for given in inputs:
        path = given.expanduser()
        if not path.exists():
            continue
        real = path.resolve()
        if real == target or target in real.parents:
            what = "this is an input itself" if real == target else f"this folder holds an input, {given}"
            raise InputError(what, file=folder, accepted=accepted)


def _check_content(folder: Path, kind: Kind, marker: _Marker | None, *, but_scratch: bool = False) -> None:
    """Whether nothing is in a folder but what its command has written.

    Args:
        folder: The folder.
        kind: What the command writes.
        marker: The folder's.
        but_scratch: Leave the folder that the command works in out of account.

    Raises:
        InputError: Something else is, and would be lost or mixed up with the output.
    """
    if not folder.is_dir():
        return
    entries = [path for path in sorted(folder.iterdir()) if not _is_hidden(path.name)]
    if marker is not None and marker.command != kind.command:
        raise InputError(
            f"this folder holds what codesign {marker.command} wrote, not codesign {kind.command}",
            file=folder,
            accepted=_ELSEWHERE,
        )
    if entries and marker is None:
        raise InputError(
            f"this folder holds files that codesign {kind.command} has not written, the first is {entries[0].name}",
            file=folder,
            accepted=f"an empty or a missing folder, or {_ELSEWHERE}",
        )
    if marker is None or kind.shared:
        return
    for path, why in _strangers(folder, kind, marker):
        if but_scratch and kind.scratch and path.is_relative_to(folder / kind.scratch):
            continue
        raise InputError(why, file=path, accepted=f"move it away, or {_ELSEWHERE}")


def _strangers(folder: Path, kind: Kind, marker: _Marker) -> Iterator[tuple[Path, str]]:
    """What is in an output and is not of it, with what is wrong about it; a folder with nothing of it as a whole."""
    known = {**marker.files, **marker.leaving}
    folders = {parent.as_posix() for name in known for parent in Path(name).parents}
    for top in sorted(folder.iterdir()):
        if _is_hidden(top.name):
            continue
        if top.name == kind.scratch and marker.working and _is_own_folder(top):
            for path in _scratch_strangers(top):
                yield path, f"codesign {kind.command} has not written this, and works in its folder"
            continue
        if top.name in kind.guests:
            yield from _guest_strangers(top)
            continue
        if _is_own_folder(top) and top.name not in folders and any(not _is_own_folder(p) for p in top.rglob("*")):
            yield top, f"codesign {kind.command} has not written this, and it is in its output"
            continue
        for path in sorted(top.rglob("*")) if _is_own_folder(top) else [top]:
            name = path.relative_to(folder).as_posix()
            if _is_own_folder(path):
                continue
            if path.is_symlink() or name not in known:
                yield path, f"codesign {kind.command} has not written this, and it is in its output"
            elif not marker.knows(name, file_hash(path)):
                yield path, f"this has been changed since codesign {kind.command} wrote it"


def _scratch_strangers(scratch: Path) -> Iterator[Path]:
    """What is in a scratch folder and no command works with; of a killed write, everything is its own."""
    for path in sorted(scratch.rglob("*")):
        parts = path.relative_to(scratch).parts
        if _is_own_folder(path) or any(part.startswith(TEMPORARY) for part in parts):
            continue
        if path.is_symlink() or not _WORKED_WITH.fullmatch("/".join(parts)):
            yield path


def _guest_strangers(path: Path) -> Iterator[tuple[Path, str]]:
    marker = _read_marker(path) if _is_own_folder(path) else None
    if path.is_symlink():
        yield path, "this is a link, and what codesign wrote is elsewhere"
    elif _is_locked(path):
        yield path, "another codesign command is writing here"
    elif marker is not None and marker.command in KINDS:
        yield from _strangers(path, KINDS[marker.command], marker)
    elif not (path.is_file() and _is_guest_file(path)) and not (path.is_dir() and not any(path.iterdir())):
        yield path, "codesign has not written this, and it is in an output of codesign"


def _is_own_folder(path: Path) -> bool:
    """Whether a path is a folder, and what is in it lies there and not elsewhere."""
    return path.is_dir() and not path.is_symlink()


def _is_locked(folder: Path) -> bool:
    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True


def _is_guest_file(path: Path) -> bool:
    """Whether a file is JSON that names a format of codesign."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and str(content.get("format", "")).startswith("codesign-")


def _settle(folder: Path, kind: Kind) -> None:
    """Complete a move that was killed, and remove what other kills have left."""
    marker = _read_marker(folder)
    if marker is not None and marker.moving is not None and marker.command == kind.command:
        _complete_move(folder, kind)
    for path in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _complete_move(folder: Path, kind: Kind) -> None:
    """Move new files to where they belong; old ones that they do not replace go, guests too."""
    marker = _read_marker(folder)
    assert marker is not None
    assert marker.moving is not None
    new = folder / marker.moving
    pending = [name for name in marker.files if (new / name).is_file()]
    try:
        if kind.last in pending:
            (folder / kind.last).unlink(missing_ok=True)
        for guest in kind.guests if marker.leaving else ():
            path = folder / guest
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for name, digest in marker.leaving.items():
            path = folder / name
            if name not in marker.files and path.is_file() and file_hash(path) == digest:
                path.unlink()
                _remove_empty(path.parent, folder)
        for name in sorted(pending, key=lambda name: name == kind.last):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).replace(folder / name)
    except OSError as error:
        raise InputError(f"cannot be written: {disk_reason(error)}", file=folder) from None
    _write_marker(folder, _Marker(marker.command, marker.files, working=marker.working))
    shutil.rmtree(new, ignore_errors=True)


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _drop_claim(folder: Path, kind: Kind, *, done: bool = False) -> None:
    """Nothing has been written, or nothing is left to work with (or ``done``): then nothing shall look as if."""
    marker = _read_marker(folder)
    if marker is None or (not done and marker.working and kind.scratch and _is_own_folder(folder / kind.scratch)):
        return
    if not marker.files:
        (folder / MARKER).unlink(missing_ok=True)
    elif marker.working:
        _write_marker(folder, replace(marker, working=False))


def _is_hidden(name: str) -> bool:
    return name in (MARKER, LOCK) or name.startswith(TEMPORARY)


def _read_marker(folder: Path) -> _Marker | None:
    """A folder's marker; None where there is none, or one that says nothing."""
    try:
        content: Any = json.loads((folder / MARKER).read_bytes())
        if content["format"] != _FORMAT:
            return None
        moving = content.get("moving")
        files, leaving = dict(content["files"]), dict(content.get("leaving", {}))
        # Only what lies in the folder itself.
        names = [*files, *leaving, *([moving] if moving else [])]
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
            return None
        return _Marker(str(content["command"]), files, moving, leaving, content.get("working") is True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_marker(folder: Path, marker: _Marker) -> None:
    content: dict[str, Any] = {"format": _FORMAT, "command": marker.command, "files": dict(marker.files)}
    if marker.working:
        content["working"] = True
    if marker.moving:
        content |= {"moving": marker.moving, "leaving": dict(marker.leaving)}
    write_bytes(folder / MARKER, to_json(content).encode())
