"""The record of a run: what was asked, so that resuming goes on with the same and nothing else."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codesign.errors import InputError
from codesign.files import read_json, to_json, write_text
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


def open_run(work: Path, asked: Asked, *, resume: bool) -> None:
    """Begin a run, or go on with one.

    Args:
        work: Folder of the phases' checkpoints, in an output that has been claimed; what is in it goes, unless a run
            is gone on with.
        asked: What is wanted.
        resume: Whether to go on.

    Raises:
        InputError: It cannot be written, or holds a run of other settings, another plan, other data or another model.
    """
    record = work / RECORD
    # JSON knows no tuples: what is compared is what would be read back.
    wanted = _plain(asked.document())
    if resume:
        if not record.is_file():
            raise InputError("nothing to resume here", file=work, accepted="a folder with an unfinished run")
        difference = _first_difference(read_json(record), wanted)
        if difference:
            field, then, now = difference
            raise InputError(
                f"the run in this folder was started otherwise: {then!r}, not {now!r}",
                file=record,
                field=field,
                accepted="the same options with --resume, another --output-dir, or --overwrite",
            )
        return
    if work.exists():
        shutil.rmtree(work)
    write_text(record, to_json(wanted))


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
