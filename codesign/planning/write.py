"""Writing a plan's folder."""

from __future__ import annotations

from pathlib import Path

from codesign.files import to_json, to_yaml
from codesign.outputs import Output
from codesign.planning.document import plan_document
from codesign.planning.plan import Plan
from codesign.report.plan_figure import plan_figure


def write_plan(plan: Plan, output: Output, seed: int = 0) -> list[Path]:
    """Write plan.yaml (for the next steps), plan.json (the same, for programs) and plan.png.

    Args:
        plan: What ``make_plan`` chose.
        output: Claimed, a ``PLAN``.
        seed: For the steps that draw random numbers.

    Returns:
        The files written.

    Raises:
        InputError: They cannot be written.
    """
    content = plan_document(plan, seed).model_dump(mode="json")
    header = "# Which array to build, and what is predicted of it. Written by `codesign plan`.\n"
    files = {
        "plan.yaml": (header + to_yaml(content)).encode(),
        "plan.json": to_json(content).encode(),
        "plan.png": plan_figure(plan),
    }
    output.write_files(files)
    return [output.folder / name for name in files]
