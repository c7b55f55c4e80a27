"""Reading and writing files: checked on the way in, whole or not at all on the way out."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import pydantic
import yaml

from codesign.errors import InputError

ModelT = TypeVar("ModelT")

TEMPORARY = ".codesign-new-"
"""How the names of files and folders begin that are not whole yet."""

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # pydantic's names for an unknown field


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (plain YAML keeps the last, silently)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the field {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        InputError: There is no such file, or it cannot be read as text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except IsADirectoryError:
        raise InputError("this is a folder, a file is needed", file=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start})", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None


def read_yaml(path: Path, model: type[ModelT]) -> ModelT:
    """Read a YAML file and check it against a pydantic model or a dataclass.

    Raises:
        InputError: The file is missing, is no YAML (with line and column), or a field of it is unknown,
            missing or out of range (with the field, its value and what is accepted).
    """
    text = read_text(path)
    try:
        # _StrictLoader is a SafeLoader: it builds plain data only.
        content = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        position = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise InputError(f"not valid YAML: {error.problem}", file=position) from None
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {' '.join(str(error).split())}", file=path) from None
    return check(content, model, path)


def read_versioned(path: Path, model: type[ModelT], form: str, again: str) -> ModelT:
    """Read a YAML file of ours, as ``read_yaml`` does.

    Args:
        path: The file.
        model: What it must be.
        form: Its ``format`` now.
        again: What to do where another version has written it.

    Raises:
        InputError: As of ``read_yaml``, or another version has written it.
    """
    found = re.search(r"^format: *(\S+) *$", read_text(path), re.MULTILINE)
    if found and found[1] != form:
        raise InputError(
            "of another format version", file=path, field="format", value=found[1], accepted=f"{form}: {again}"
        )
    return read_yaml(path, model)


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: The file is missing or is no JSON (with line and column).
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg}", file=f"{path}:{error.lineno}:{error.colno}") from None


def check(content: object, model: type[ModelT], source: object) -> ModelT:
    """Check plain data against a pydantic model or a dataclass; ``source`` is named in errors.

    Raises:
        InputError: Of the first field that is wrong, as ``read_yaml`` says.
    """
    try:
        return pydantic.TypeAdapter(model).validate_python(content)
    except InputError as error:  # of a dataclass that checks itself
        raise InputError(
            error.problem, file=source, field=error.field, value=error.value, accepted=error.accepted
        ) from None
    except pydantic.ValidationError as error:
        # A misspelt field is both unknown and missing: the unknown name is the one to show.
        first = min(error.errors(), key=lambda e: e["type"] not in _UNKNOWN)
        others = error.error_count() - 1
        more = f" (and {others} more)" if others else ""
        field = ".".join(str(part) for part in first["loc"]) or None
        value = first.get("input")
        shown = value if isinstance(value, str | int | float | bool) else None
        if first["type"] in _UNKNOWN:
            raise InputError(
                f"unknown field{more}",
                file=source,
                field=field,
                value=shown,
                accepted=", ".join(_field_names(model, first["loc"][:-1])),
            ) from None
        if first["type"] == "missing":
            raise InputError(f"this field is missing{more}", file=source, field=field) from None
        problem, _, accepted = first["msg"].removeprefix("Value error, ").partition("; accepted: ")
        if not accepted:  # pydantic's own messages say what should have been there
            problem, accepted = "not accepted", problem[:1].lower() + problem[1:]
        raise InputError(problem + more, file=source, field=field, value=shown, accepted=accepted) from None


def _field_names(model: Any, loc: tuple[int | str, ...]) -> list[str]:
    """The fields that exist at a place in nested models or dataclasses, for an error message."""
    for part in loc:
        if isinstance(part, int):
            continue
        hint: Any = get_type_hints(model)[part]
        # list[Memory] and Memory | None lead to Memory.
        model = next((a for a in (*get_args(hint), hint) if get_type_hints(a)), hint)
    return list(get_type_hints(model))


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        InputError: The folder cannot be made or written, or the disk is full.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: to a temporary name beside it, then renamed.

    Raises:
        InputError: The folder cannot be made or written, or the disk is full.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        # mkstemp makes private files; give this one the permissions that any new file gets here.
        Path(temporary).chmod(0o666 & ~umask())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise InputError(f"cannot be written: {error.strerror}", file=path) from None


def umask() -> int:
    """The permissions that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def to_json(content: object) -> str:
    """JSON as every command of the project writes it: two-space indent, keys in given order."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_yaml(content: object) -> str:
    """YAML as every command of the project writes it: block style, keys in given order."""
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    return text


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder that is not there, whole or not at all: filled under a temporary name, then renamed.

    Where a user's outputs may be written, ``codesign.outputs`` decides; this is for folders inside of them.

    Raises:
        InputError: It cannot be written, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=path.parent))
        fill(temporary)
        ordinary_permissions(temporary)
        temporary.rename(path)
    except BaseException as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if is_disk_error(error):
            raise InputError(f"cannot be written: {disk_reason(error)}", file=path) from None
        raise


def ordinary_permissions(folder: Path) -> None:
    """Give a folder and all in it the permissions of new files: some writers make files that only they can read."""
    for part in (folder, *folder.rglob("*")):
        part.chmod((0o777 if part.is_dir() else 0o666) & ~umask())


def is_disk_error(error: BaseException) -> bool:
    """Whether an error is of the disk: safetensors and torch wrap it in errors of their own."""
    return getattr(error, "errno", None) in _DISK_ERRORS or any(mark in str(error) for mark in _DISK_MARKS)


_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
_DISK_MARKS = ("I/O error", "No space left", "File too large", "PytorchStreamWriter failed", "unexpected pos")


def disk_reason(error: BaseException) -> str:
    """What the disk said, in one line."""
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0]
