"""Where the files shipped with the package lie: boards, templates, simulation benches."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_folder(name: str) -> Path:
    """The folder ``boards``, ``hls_templates`` or ``sim``, in an installed wheel or in a checkout."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
