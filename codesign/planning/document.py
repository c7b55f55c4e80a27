"""plan.yaml and plan.json: a plan as data, the same fields in both."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from codesign import __version__
from codesign.errors import InputError
from codesign.files import read_versioned
from codesign.hardware.accelerator import Accelerator
from codesign.hardware.predict import Design, LayerPlan, tightest
from codesign.hardware.resources import RESOURCES, Resources, usable_resources
from codesign.models import EncoderShape
from codesign.names import BoardName, Part, Title
from codesign.planning.plan import Plan
from codesign.planning.work import Budget, Granularity

FORMAT = "codesign-plan-2"
OUTSIDE = ("tokenizer", "embeddings and their LayerNorm", "pooler", "classifier")
"""What the host does."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Predicted(_Strict):
    """Outcome of the hardware model; resources in the units of the board files.

    ``cycles`` and ``latency_ms`` are those of all sentences of the batch, whole, from start to last output, with the
    blocks of every matrix spread evenly at the plan's density; ``dense_cycles`` the same with nothing pruned.
    """

    cycles: int
    latency_ms: float
    dense_cycles: int
    speedup: float
    dsp: int
    lut: int
    ff: int
    bram18: int
    uram: int


class Alternative(_Strict):
    """A design that was not chosen.

    Its cycles are those that designs are compared by: a closed form, near the exact ones.
    """

    rows: int
    cols: int
    lanes: int
    density: float
    estimated_cycles: int
    estimated_ms: float
    dsp: int
    binding_resource: str


class PlanDocument(_Strict):
    """All that a plan says.

    ``compression`` is all blocks over kept blocks of the encoder's matrices. ``usable`` is what the design may
    take of the board. ``beside_cycles`` is what designs are compared by beside their matrices' cycles: attention,
    LayerNorms and loading. ``outside`` names what the host does, before and after.
    """

    format: Literal["codesign-plan-2"]
    codesign: str
    seed: int
    board: BoardName
    part: Part
    model: Title
    shape: EncoderShape
    tokens: int
    batch: int
    granularity: Granularity
    budget: Budget
    density: float
    compression: float
    accelerator: Accelerator
    predicted: Predicted
    usable: Resources
    binding_resource: str
    next_larger_exceeds: tuple[str, ...]
    resources_by_unit: dict[str, Resources]
    layers: tuple[LayerPlan, ...]
    fastest: Alternative
    runners_up: tuple[Alternative, ...]
    beside_cycles: int
    outside: tuple[str, ...]


def plan_document(plan: Plan, seed: int = 0) -> PlanDocument:
    """A plan as data."""
    chosen, work = plan.chosen, plan.work
    return PlanDocument(
        format=FORMAT,
        codesign=__version__,
        seed=seed,
        board=plan.board.name,
        part=plan.board.part,
        model=work.shape.name,
        shape=work.shape,
        tokens=work.tokens,
        batch=work.batch,
        granularity=work.granularity,
        budget=plan.budget,
        density=chosen.density,
        compression=1 / chosen.density,
        accelerator=chosen.accelerator,
        predicted=Predicted(
            cycles=plan.predicted.cycles,
            latency_ms=plan.predicted.latency_ms,
            dense_cycles=plan.predicted.dense_cycles,
            speedup=plan.predicted.speedup,
            **{name: getattr(chosen.resources, name) for name in RESOURCES},
        ),
        usable=usable_resources(plan.board),
        binding_resource=tightest(chosen.resources, plan.board)[0],
        next_larger_exceeds=plan.next_larger,
        resources_by_unit=chosen.parts,
        layers=chosen.layers,
        fastest=_alternative(plan.fastest, plan),
        runners_up=tuple(_alternative(design, plan) for design in plan.runners_up),
        beside_cycles=chosen.beside_cycles,
        outside=OUTSIDE,
    )


def _alternative(design: Design, plan: Plan) -> Alternative:
    accelerator = design.accelerator
    return Alternative(
        rows=accelerator.rows,
        cols=accelerator.cols,
        lanes=accelerator.lanes,
        density=design.density,
        estimated_cycles=design.estimated_cycles,
        estimated_ms=design.estimated_ms,
        dsp=design.resources.dsp,
        binding_resource=tightest(design.resources, plan.board)[0],
    )


def load_plan(path: Path) -> PlanDocument:
    """Read a plan back, from plan.yaml or the folder that it is in.

    Raises:
        InputError: The file is missing, damaged, of another format version, or has other matrices than its shape.
    """
    path = path / "plan.yaml" if path.is_dir() else path
    plan = read_versioned(path, PlanDocument, FORMAT, "run codesign plan again")
    matrices = plan.shape.matrices()
    if len(plan.layers) != len(matrices):
        raise InputError(
            "not the matrices of the shape", file=path, field="layers", value=f"{len(plan.layers)} matrices",
            accepted=str(len(matrices)),
        )  # fmt: skip
    for number, (layer, matrix) in enumerate(zip(plan.layers, matrices, strict=True)):
        for field, value in vars(matrix).items():
            if getattr(layer, field) != value:
                raise InputError(
                    "not the matrix of the shape", file=path, field=f"layers.{number}.{field}",
                    value=getattr(layer, field), accepted=str(value),
                )  # fmt: skip
    return plan
