"""The record of a run: what was asked, so that resuming goes on with the same and nothing else."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codesign.errors import InputError
from codesign.files import read_json, to_json, umask, write_text
from codesign.planning import PlanDocument
from codesign.pruning.settings import Settings

FORMAT = "codesign-prune-1"
WORK = "work"
RECORD = "run.json"


@dataclass(frozen=True)
class Asked:
    """What a run was started with."""

    model: str
    task: str
    data: str
    plan: PlanDocument
    settings: Settings

    def document(self) -> dict[str, Any]:
        """As data."""
        return {
            "format": FORMAT,
            "model": self.model,
            "task": self.task,
            "data": self.data,
            "settings": asdict(self.settings),
            "plan": self.plan.model_dump(mode="json"),
        }


def open_run(output: Path, asked: Asked, *, resume: bool, overwrite: bool) -> Path:
    """Begin a run in a folder, or go on with one.

    Returns:
        The folder of the phases' checkpoints.

    Raises:
        InputError: The folder cannot be written, holds an unfinished run and neither ``resume`` nor ``overwrite``
            was asked for, or holds a run of other settings or another plan.
    """
    work = output / WORK
    record = work / RECORD
    # JSON knows no tuples: what is compared is what would be read back.
    wanted = _plain(asked.document())
    if record.is_file() and resume:
        found = read_json(record)
        difference = _first_difference(found, wanted)
        if difference:
            field, then, now = difference
            raise InputError(
                f"the run in this folder was started otherwise: {then!r}, not {now!r}",
                file=record,
                field=field,
                accepted="the same options with --resume, another --output-dir, or --overwrite",
            )
        return work
    if record.is_file() and not overwrite:
        raise InputError(
            "this folder holds an unfinished run",
            file=output,
            accepted="--resume to go on with it, --overwrite to begin anew, or another --output-dir",
        )
    if resume and not record.is_file():
        raise InputError("nothing to resume here", file=output, accepted="a folder with an unfinished run")
    if work.exists():
        shutil.rmtree(work)
    write_text(record, to_json(wanted))
    return work


def check_writable(output: Path) -> None:
    """Find out before hours of work whether the results can be written.

    Raises:
        InputError: The folder cannot be made or written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=output):
            pass
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=output) from None


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder whole or not at all: filled under a temporary name, then renamed over what was there.

    Raises:
        InputError: It cannot be written, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        fill(temporary)
        temporary.chmod(0o777 & ~umask())
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    except BaseException as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if is_disk_error(error):
            raise InputError(f"cannot be written: {disk_reason(error)}", file=path) from None
        raise


def is_disk_error(error: BaseException) -> bool:
    """Whether an error is of the disk: safetensors and torch wrap it in errors of their own."""
    return getattr(error, "errno", None) in _DISK_ERRORS or any(mark in str(error) for mark in _DISK_MARKS)


_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
_DISK_MARKS = ("I/O error", "No space left", "File too large", "PytorchStreamWriter failed", "unexpected pos")


def disk_reason(error: BaseException) -> str:
    """What the disk said, in one line."""
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0]


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return content


def _first_difference(found: Any, wanted: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """(field, found, wanted) of the first difference, depth first."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in [*wanted, *(key for key in found if key not in wanted)]:
            difference = _first_difference(found.get(key), wanted.get(key), f"{path}.{key}" if path else key)
            if difference:
                return difference
        return None
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for number, pair in enumerate(zip(found, wanted, strict=True)):
            difference = _first_difference(*pair, f"{path}.{number}")
            if difference:
                return difference
        return None
    return None if found == wanted else (path, found, wanted)
