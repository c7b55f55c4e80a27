"""How far an unfinished run has come, from its folder alone."""

from __future__ import annotations

from pathlib import Path

PHASES = DENSE, SPARSE, RETRAIN = "dense", "sparse", "retrain"
STATE = "pruning.safetensors"
"""The file of a checkpoint that is written last: where it is, the checkpoint is complete."""


def complete_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a phase, in the order of their steps."""
    found = [path for path in folder.glob("checkpoint-*") if (path / STATE).is_file()]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


def where_it_stands(work: Path) -> tuple[str, Path | None]:
    """(in which phase a run is, what resuming it goes on from); no path where it begins from the start.

    Args:
        work: The folder with the phases' folders.
    """
    begun = [phase for phase in PHASES if (work / phase).is_dir()]
    for phase in reversed(begun):
        done = work / phase / "done"
        last = done if done.is_dir() else next(reversed(complete_checkpoints(work / phase)), None)
        if last is not None:
            return begun[-1], last
    return (begun or PHASES)[-1 if begun else 0], None
