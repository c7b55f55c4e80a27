"""Hashes by which a folder tells that it has been changed since it was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codesign.errors import InputError

CHECKSUM = "checksum"
"""The field of a document that has the hash of all others."""
FILES = "files"
"""The field that has the hashes of the files beside it."""


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def content_hash(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document of plain data without its own ``checksum``, whatever the order of its fields."""
    content = {name: value for name, value in document.items() if name != CHECKSUM}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document with the hash of its content as its last field, ``checksum``."""
    content = {name: value for name, value in document.items() if name != CHECKSUM}
    return content | {CHECKSUM: content_hash(content)}


def check_sealed(document: Mapping[str, Any], path: Path, again: str) -> None:
    """Whether a document is as it was written.

    Args:
        document: Read from ``path``.
        path: For the error.
        again: What makes it anew.

    Raises:
        InputError: It is not.
    """
    if document.get(CHECKSUM) != content_hash(document):
        raise InputError(
            "changed since it was written: its content has another checksum",
            file=path,
            field=CHECKSUM,
            accepted=again,
        )


def check_files(folder: Path, hashes: Mapping[str, str], written_in: str) -> None:
    """Whether files are as they were written.

    Args:
        folder: Where they are.
        hashes: SHA-256 by their paths in it.
        written_in: The file that has these.

    Raises:
        InputError: One is missing or has been changed.
    """
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{written_in} names this file, it is not there", file=path)
        if file_hash(path) != expected:
            raise InputError(
                f"truncated or changed: SHA-256 differs from {written_in}'s", file=path, accepted=expected
            )
