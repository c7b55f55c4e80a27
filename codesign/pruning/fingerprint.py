"""What a run was made from, by content: files of the same name may be other files tomorrow."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from codesign.checksums import file_hash

_FILES = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*.bin*",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.model",
)
"""Of a model's folder, what decides what the model computes."""


def folder_sha256(folder: Path) -> dict[str, str]:
    """SHA-256 of the files that matter, by name."""
    paths = {path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()}
    return {path.name: file_hash(path) for path in sorted(paths)}


def model_sha256(model: str | None, loaded: PreTrainedModel) -> dict[str, str]:
    """What tells a model from another of the same name: its files, or the hub's revision; nothing where made here."""
    if model is None:
        return {}
    if Path(model).is_dir():
        return folder_sha256(Path(model))
    return {"revision": str(getattr(loaded.config, "_commit_hash", None))}
