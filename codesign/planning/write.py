"""Writing a plan's folder."""

from __future__ import annotations

from pathlib import Path

from codesign.files import to_json, to_yaml, write_bytes
from codesign.hardware.plan import Plan
from codesign.planning.document import plan_document
from codesign.report.plan_figure import plan_figure


def write_plan(plan: Plan, folder: Path, seed: int = 0) -> list[Path]:
    """Write plan.yaml (for the next steps), plan.json (the same, for programs) and plan.png.

    Args:
        plan: What ``make_plan`` chose.
        folder: Made if missing; files of these names in it are replaced, others left alone.
        seed: For the steps that draw random numbers.

    Returns:
        The files written.

    Raises:
        InputError: The folder cannot be written.
    """
    content = plan_document(plan, seed).model_dump(mode="json")
    header = "# Which array to build, and what is predicted of it. Written by `codesign plan`.\n"
    files = {
        folder / "plan.yaml": (header + to_yaml(content)).encode(),
        folder / "plan.json": to_json(content).encode(),
        folder / "plan.png": plan_figure(plan),
    }
    # Everything is made before anything is written.
    for path, data in files.items():
        write_bytes(path, data)
    return list(files)
