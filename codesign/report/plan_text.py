"""A plan on the terminal: the choice, its reasons, what it costs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from codesign.hardware.accelerator import Accelerator
from codesign.hardware.cycles import external_bytes_per_cycle
from codesign.hardware.predict import Design, LayerPlan, tightest
from codesign.hardware.resources import RESOURCES, usable_resources
from codesign.planning.document import OUTSIDE
from codesign.planning.plan import Plan
from codesign.planning.search import NEAR_TIE

_LABEL = {"lut": "LUT", "ff": "FF", "bram18": "BRAM18", "uram": "URAM", "dsp": "DSP"}


def plan_text(plan: Plan) -> Iterator[RenderableType]:
    """The plan, part by part."""
    chosen = plan.chosen
    yield _headline(plan)
    yield Text()
    yield _resource_table(plan)
    yield Text()
    yield _layer_table(chosen)
    if plan.runners_up:
        yield Text()
        yield _alternatives_table(plan)
    yield Text()
    for reason in reasons(plan):
        yield Text(f"• {reason}")
    yield Text()


def _headline(plan: Plan) -> Text:
    work, chosen = plan.work, plan.chosen
    accelerator = chosen.accelerator
    shape = work.shape
    text = Text()
    text.append(f"{plan.board.title}", style="bold")
    text.append(
        f"\n{shape.name} ({shape.family}: {shape.layers} layers, {shape.hidden} wide, {shape.ffn} feed-forward), "
        f"{work.tokens} tokens × {work.batch}, budget: {plan.budget}\n\n"
    )
    text.append(f"array {accelerator.shape}", style="bold green")
    text.append(
        f"  int{accelerator.weight_bits}, {accelerator.macs_per_cycle:,} multiply-accumulates per cycle at "
        f"{accelerator.clock_mhz:g} MHz\nblock {accelerator.rows}×{accelerator.cols}"
        f"  density {chosen.density:.1%} ({1 / chosen.density:.2f}× compression)\n"
    )
    predicted = plan.predicted
    text.append(f"predicted {predicted.latency_ms:.3f} ms", style="bold green")
    text.append(f"  {predicted.cycles:,} cycles from start to last output")
    if chosen.density < 1:
        text.append(
            f", {predicted.speedup:.2f}× as fast as the same array with nothing pruned ({predicted.dense_ms:.3f} ms)"
        )
    return text


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")


def _resource_table(plan: Plan) -> Table:
    table = _table("Resources")
    table.add_column("")
    for column in ("design", "usable", "device", "of usable"):
        table.add_column(column, justify="right")
    used, limit = plan.chosen.resources, usable_resources(plan.board)
    binding, _ = tightest(plan.chosen.resources, plan.board)
    for name in RESOURCES:
        amount, usable = getattr(used, name), getattr(limit, name)
        part = f"{amount / usable:.0%}" if usable else "–"
        table.add_row(
            _LABEL[name],
            f"{amount:,}",
            f"{usable:,}",
            f"{getattr(plan.board.device, name):,}",
            f"{part} ← binds" if name == binding else part,
        )
    return table


def _layer_table(design: Design) -> Table:
    table = _table("Matrices")
    table.add_column("matrix", no_wrap=True)
    for column in ("N×K", "blocks kept", "array cycles", "weights in", "bound by", "MAC/byte"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, layers in _alike(design):
        layer = layers[0]
        intensity = "on chip" if layer.macs_per_byte is None else f"{layer.macs_per_byte:.0f}"
        table.add_row(
            f"{len(layers)} × {name}" if len(layers) > 1 else name,
            f"{layer.out_features}×{layer.in_features}",
            f"{layer.nonzero_blocks:,} / {layer.blocks:,}",
            f"{layer.predicted_cycles:,}",
            layer.weight_memory.value.upper(),
            layer.bound,
            intensity,
        )
    return table


def _alike(design: Design) -> Iterator[tuple[str, list[LayerPlan]]]:
    """Layers grouped by role and prediction, in the order of use; their numbers become ranges."""

    def key(layer: LayerPlan) -> tuple[str, str, int, int]:
        role = re.sub(r"\.\d+\.", ".*.", layer.name)
        return role, layer.weight_memory.value, layer.predicted_cycles, layer.nonzero_blocks

    order = {key(layer): i for i, layer in reversed(list(enumerate(design.layers)))}
    ordered = sorted(design.layers, key=lambda layer: order[key(layer)])
    for (role, *_), group in groupby(ordered, key=key):
        layers = list(group)
        yield role if len(layers) > 1 else layers[0].name, layers


def _alternatives_table(plan: Plan) -> Table:
    table = _table("Runners-up (the best array of other block shapes, by estimated cycles)")
    for column in ("array", "block area", "density", "about ms", "against chosen", "DSP", "BRAM18", "URAM", "binds"):
        table.add_column(column, justify="right", no_wrap=True)
    for design in plan.runners_up:
        table.add_row(
            design.accelerator.shape,
            f"{design.accelerator.block_area}",
            f"{design.density:.1%}",
            f"{design.estimated_ms:.3f}",
            f"{design.estimated_cycles / plan.chosen.estimated_cycles - 1:+.1%}",
            f"{design.resources.dsp:,}",
            f"{design.resources.bram18:,}",
            f"{design.resources.uram:,}",
            _LABEL[tightest(design.resources, plan.board)[0]],
        )
    return table


def reasons(plan: Plan) -> Iterator[str]:
    """Why this design, and what the prediction leaves out: one sentence each."""
    chosen, fastest, accelerator = plan.chosen, plan.fastest, plan.chosen.accelerator
    if accelerator.block != fastest.accelerator.block:
        yield (
            f"The fastest array is {fastest.accelerator.shape} (about {fastest.estimated_cycles:,} cycles at density"
            f" {fastest.density:.1%}); among near ties (within {NEAR_TIE:.0%}) the smallest block is taken,"
            f" because small blocks cost less accuracy: {accelerator.rows}×{accelerator.cols} has"
            f" {accelerator.block_area / fastest.accelerator.block_area:.2f}× its area."
        )
    else:
        yield "No array of the search is faster under this budget, and no near tie has a smaller block."
    yield (
        f"Arrays are compared by a closed form: {chosen.array_cycles:,} cycles of matrices here, and"
        f" {chosen.beside_cycles:,} of attention, LayerNorms and loading. What is predicted is exact, of whole"
        " sentences with the blocks of every matrix spread evenly."
    )
    binding, part = tightest(chosen.resources, plan.board)
    if plan.next_larger:
        stops = " and ".join(_LABEL[name] for name in plan.next_larger)
        yield f"{_LABEL[binding]} is used to {part:.0%}; a step more lanes would need more {stops} than is usable."
    else:
        yield f"{_LABEL[binding]} binds ({part:.0%} of what is usable)."
    yield _weights_sentence(plan)
    yield _design_sentence(accelerator)
    bounds = sorted({layer.bound for layer in chosen.layers})
    ridge = accelerator.macs_per_cycle / external_bytes_per_cycle(accelerator, plan.board.read_bytes_per_second)
    yield (
        f"The matrices are bound by {', '.join(bounds)}. The roofline's ridge lies at {float(ridge):.0f}"
        " multiply-accumulates per byte of external memory; on chip there is none to cross."
    )
    macs = chosen.nonzero_blocks * accelerator.block_area * plan.work.tokens
    attention = plan.work.shape.attention_macs(plan.work.tokens)
    yield (
        f"QKᵀ and PV are {attention / macs:.1%} of the multiply-accumulates of the kept blocks. Outside the device,"
        f" on the host: {', '.join(OUTSIDE)}."
    )
    slrs = plan.board.device.super_logic_regions
    if slrs > 1:
        yield (
            f"The device has {slrs} super logic regions; the array takes {part:.0%} of what is usable of all of"
            " them, and crossing them at this clock is for the implementation to show."
        )
    yield from _uncertainties(plan)


def _weights_sentence(plan: Plan) -> str:
    places: dict[str, int] = {}
    for layer in plan.chosen.layers:
        places[layer.weight_memory.value] = places.get(layer.weight_memory.value, 0) + 1
    names = {
        "bram": "block RAM (in the bitstream)",
        "uram": "URAM" if plan.board.device.uram_initialisable else "URAM (loaded once at start-up)",
        "ddr": f"external memory ({plan.board.read_bytes_per_second / 1e9:.1f} GB/s usable)",
    }
    parts = [f"{count} in {names[place]}" for place, count in sorted(places.items())]
    return f"Weights of {len(plan.chosen.layers)} matrices: {', '.join(parts)}."


def _design_sentence(accelerator: Accelerator) -> str:
    packed = {1: "one product", 2: "two products", 4: "four products"}[accelerator.dsp_packing]
    shared = (
        f"one requantiser serves {accelerator.requant_interval} rows"
        if accelerator.requant_interval > 1
        else "every row has its own requantiser"
    )
    other = accelerator.sum_memory
    kept = f", scores and sums in {other.value.upper()}" if other else ""
    sums = ", residual sums in LUTs" if accelerator.lut_sums else ""
    return (
        f"{packed.capitalize()} per DSP; {shared}; a vector unit of {accelerator.vector_rows} features ×"
        f" {accelerator.lanes} tokens per cycle{sums};"
        f" activations in {accelerator.activation_memory.value.upper()}{kept};"
        f" a {accelerator.weight_port_bits}-bit weight port on chip, {accelerator.axi_ports} AXI port(s) of"
        f" {accelerator.axi_port_bits} bits, streams of {accelerator.stream_bits} bits."
    )


def _uncertainties(plan: Plan) -> Iterator[str]:
    yield "LUT and FF rest on engines synthesised with Yosys (docs/results/synthesis.md), not on Vivado."
    used = ("device", "usable", "memories.0", "axi", "clock.default_mhz")
    unconfirmed = [
        path for path, source in plan.board.sources.items() if not source.confirmed and path.startswith(used)
    ]
    if unconfirmed:
        yield f"Unconfirmed figures of the board: {', '.join(unconfirmed)} (codesign boards {plan.board.name})."
