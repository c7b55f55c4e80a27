"""Writing a generated project: the whole plan of files at once, and never over what somebody else wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from codesign.errors import InputError
from codesign.files import check_writable, is_disk_error, read_json, write_bytes, write_folder

MANIFEST = "manifest.json"
"""Names every other file of a project with its SHA-256, below ``files``."""


def write_project(folder: Path, files: Mapping[str, bytes], *, force: bool = False) -> None:
    """Write a project.

    With ``force`` an existing project is replaced file by file: what its manifest names and nobody has changed since
    is overwritten or, if it is no longer part of the project, deleted. Everything else in the folder stays.

    Args:
        folder: Where to.
        files: Content by path; one of them is the manifest.
        force: Whether the folder may be there already.

    Raises:
        InputError: It is there and ``force`` is not given; with ``force``, a file of somebody else or one changed by
            hand is in the way; or it cannot be written.
    """
    check_place(folder, force=force)
    if not folder.is_dir() or not any(folder.iterdir()):
        write_folder(folder, lambda new: _fill(new, files))
        return
    known = _known(folder)
    ours = {name for name, digest in known.items() if _digest(folder / name) == digest} | {MANIFEST}
    for name, data in files.items():
        path = folder / name
        if path.exists() and name not in ours and _digest(path) != hashlib.sha256(data).hexdigest():
            raise InputError("in the way, and not as codesign wrote it: move it, or give another folder", file=path)
    check_writable(folder)
    for name, data in files.items():
        # The manifest last: until then the old one speaks for what is not replaced yet.
        if name != MANIFEST:
            write_bytes(folder / name, data)
    for name in sorted(ours - set(files)):
        (folder / name).unlink()
    write_bytes(folder / MANIFEST, files[MANIFEST])


def check_place(folder: Path, *, force: bool) -> None:
    """Whether a project may be written here, before the work of making it.

    Raises:
        InputError: There is a file of that name, or a folder with something in it and ``force`` is not given.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError("this is a file, a folder is to be written", file=folder)
    if folder.is_dir() and any(folder.iterdir()):
        if not force:
            raise InputError("the folder is there already", file=folder, accepted="another one, or --force")
        if not (folder / MANIFEST).is_file():
            raise InputError(
                "no project of codesign: there is no manifest.json", file=folder, accepted="another folder"
            )


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _known(folder: Path) -> dict[str, str]:
    """SHA-256 of the files that the project in a folder consists of, as its manifest has them."""
    content = read_json(folder / MANIFEST)
    listed = content.get("files") if isinstance(content, dict) else None
    if not isinstance(listed, dict):
        raise InputError("not the manifest of a generated project", file=folder / MANIFEST, field="files")
    return {
        name: str(entry.get("sha256")) if isinstance(entry, dict) else ""
        for name, entry in listed.items()
        # Only what lies in the folder itself.
        if not Path(name).is_absolute() and ".." not in Path(name).parts
    }


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        if is_disk_error(error):
            raise InputError(f"cannot be read: {error.strerror}", file=path) from None
        return None
