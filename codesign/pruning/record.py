"""The record of a run: what was asked, so that resuming goes on with the same and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from codesign.errors import InputError
from codesign.files import read_json, to_json, write_text
from codesign.outputs import clear_scratch
from codesign.planning import PlanDocument
from codesign.pruning.settings import Settings

FORMAT = "codesign-prune-2"
WORK = "work"
RECORD = "run.json"


@dataclass(frozen=True)
class Asked:
    """What a run was started with.

    Attributes:
        model: Its folder, whole, or its name.
        task: Its name.
        data: Where it came from, a folder whole.
        plan: The plan.
        settings: Choices.
        columns: What the files call our columns, where it is something else.
        sha256: Of what was read: ``data`` by split, ``model`` by file.
    """

    model: str
    task: str
    data: str
    plan: PlanDocument
    settings: Settings
    columns: Mapping[str, str] | None = None
    sha256: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As data."""
        return {
            "format": FORMAT,
            "model": self.model,
            "task": self.task,
            "data": self.data,
            "columns": self.columns,
            "settings": asdict(self.settings),
            "plan": self.plan.model_dump(mode="json"),
            # Last: where other things were asked for, that is the difference to name.
            "sha256": self.sha256,
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
        difference = _first_difference(_moved(read_json(record), wanted), wanted)
        if difference:
            raise _otherwise(record, asked, *difference)
        return
    clear_scratch(work)
    write_text(record, to_json(wanted))


def _moved(found: Any, wanted: Mapping[str, Any]) -> Any:
    """A record with today's places of what is, by its content, the same data and the same model."""
    if not isinstance(found, dict) or not isinstance(hashes := found.get("sha256"), dict):
        return found
    same = [kind for kind in ("data", "model") if hashes.get(kind) and hashes[kind] == wanted["sha256"].get(kind)]
    return found | {kind: wanted[kind] for kind in same}


def _otherwise(record: Path, asked: Asked, place: str, then: Any, now: Any) -> InputError:
    """What to say of a run that was started otherwise."""
    kind, _, part = place.removeprefix("sha256.").partition(".")
    if place.startswith("sha256.") and kind in ("data", "model"):
        return InputError(
            changed_text(kind, part, then, now) + " since this run began",
            file=asked.data if kind == "data" else asked.model,
            accepted="what was there then, another --output-dir, or --overwrite",
        )
    return InputError(
        f"the run in this folder was started otherwise: {then!r}, not {now!r}",
        file=record,
        field=place,
        accepted="the same options with --resume, another --output-dir, or --overwrite",
    )


def changed_text(kind: str, part: str, then: str | None, now: str | None) -> str:
    """What has changed, of two SHA-256 that differ.

    Args:
        kind: ``data`` or a model's files.
        part: Name of the split, or of the file.
        then: What it was; None where there was none.
        now: What it is; None where there is none.
    """
    if kind == "data":
        return f"sentences or labels of the {part} split have changed"
    return f"{part} has {'come' if then is None else 'gone' if now is None else 'changed'}"


def first_change(kind: str, then: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """What has changed first, if anything."""
    difference = _first_difference(dict(then), dict(now))
    return changed_text(kind, *difference) if difference else None


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
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
