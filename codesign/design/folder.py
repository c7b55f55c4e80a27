"""Reading a design folder."""

from __future__ import annotations

from pathlib import Path

from codesign.checksums import check_files, check_sealed
from codesign.design.consistency import check_design, read_tensors
from codesign.design.content import Design
from codesign.design.document import DESIGN, FORMAT, IMAGES, SENTENCES, WEIGHTS, DesignDocument
from codesign.errors import InputError
from codesign.files import read_versioned
from codesign.packing.images import MANIFEST
from codesign.program.document import PROGRAM

AGAIN = "run codesign quantize again"
_NEEDED = (
    *(WEIGHTS, SENTENCES, PROGRAM, "config.json", "model.safetensors", "metrics.json"),
    f"{IMAGES}/{MANIFEST}",
)
"""Files without which a design is none."""


def read_design(folder: Path) -> Design:
    """A design folder, every file of it checked: as it was written, and none in contradiction to another.

    Raises:
        InputError: The folder is not there or no design, of another format version, or a file of it is missing,
            damaged, changed, or does not belong to it; the message says which and where.
    """
    if not folder.is_dir():
        raise InputError("no such folder", file=folder, accepted="a design folder, as codesign quantize writes it")
    document = read_document(folder)
    check_files(folder, document.files, DESIGN)
    design = Design(folder, document, read_tensors(folder / WEIGHTS))
    check_design(design)
    return design


def read_document(folder: Path) -> DesignDocument:
    """A folder's design.yaml, by itself as it was written, with a hash of every file that a design needs.

    Raises:
        InputError: There is none, of another format version, damaged or changed.
    """
    path = folder / DESIGN
    if not path.is_file():
        raise _no_design(folder)
    document = read_versioned(path, DesignDocument, FORMAT, AGAIN)
    check_sealed(document.model_dump(mode="json"), path, AGAIN)
    for name in _NEEDED:
        if name not in document.files:
            raise InputError("this file has no hash", file=path, field="files", value=name, accepted=AGAIN)
    return document


def _no_design(folder: Path) -> InputError:
    """The answer to a folder without a design.yaml."""
    if not is_run(folder):
        what = "this folder holds a plan, not a design" if (folder / "plan.yaml").is_file() else f"no {DESIGN} here"
        return InputError(what, file=folder, accepted="a design folder, as codesign quantize writes it")
    inside = folder / "design"
    if (inside / DESIGN).is_file():
        return InputError("this folder holds a run, not a design", file=folder, accepted=f"its design: {inside}")
    return InputError(
        "this folder holds a run that has no design yet",
        file=folder,
        accepted=f"codesign quantize {folder}, then {inside}",
    )


def is_run(folder: Path) -> bool:
    """Whether a folder is what codesign prune writes: of a finished run, or of one that is not."""
    finished = (folder / "plan.yaml").is_file() and (folder / "masks.safetensors").is_file()
    return finished or (folder / "work" / "run.json").is_file()


def check_is_run(folder: Path) -> None:
    """Whether a folder can be a run.

    Raises:
        InputError: It is not there, or it is a design.
    """
    wanted = "the folder of a finished run, as codesign prune writes it"
    if not folder.is_dir():
        raise InputError("no such folder", file=folder, accepted=wanted)
    if (folder / DESIGN).is_file():
        above = folder.resolve().parent
        raise InputError(
            "this folder holds a design, not a run",
            file=folder,
            accepted=f"its run: {above}" if is_run(above) else wanted,
        )
