"""Whole encoders in the simulated engine: every bit of every step against the integer model, every cycle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from codesign.boards import DspType
from codesign.errors import InputError
from codesign.hardware.accelerator import WeightMemory
from codesign.packing.blocks import kept_blocks, pack, unpack
from codesign.program import Kind, Memory, compile_encoder
from codesign.program.build import PARTS
from codesign.program.layout import Layout
from codesign.program.unread import everything, needed
from codesign.simulation.engine import Pauses
from codesign.simulation.random_encoders import SMALL_ENCODER_ARRAY as ARRAY
from codesign.simulation.random_encoders import RandomEncoder, draw, random_encoder, sentence_run
from codesign.simulation.sentences import SentenceOutcome, SentenceRun, prepare_sentences, simulate_sentences


def encoder(*, heads: int = 2, density: float = 0.5, layers: int = 2) -> RandomEncoder:
    return random_encoder(Layout(ARRAY, 24, 36, heads), layers, density, np.random.default_rng(0))


def run_of(drawn: RandomEncoder, tokens: int, sentences: int = 1, seed: int = 1) -> SentenceRun:
    g = np.random.default_rng(seed)
    return sentence_run(drawn, g.integers(-127, 128, (sentences, 24, tokens)).astype(np.int8))


def outcome_of(run: SentenceRun, work: Path) -> SentenceOutcome:
    return simulate_sentences(run, prepare_sentences(run, work, fast_build=True))


# The last group partly empty, one group that is full, one token, two sentences.
@pytest.mark.parametrize(("tokens", "sentences"), [(12, 1), (5, 1), (1, 2), (8, 2)])
def test_every_bit_and_every_cycle(simulators: Path, tokens: int, sentences: int) -> None:
    outcome = outcome_of(replace(run_of(encoder(), tokens, sentences), registers=True), simulators)
    assert outcome.status == 2
    assert outcome.right, [(step.name, step.mismatches) for step in outcome.steps if step.mismatches]
    assert outcome.exact, [(s.name, s.predicted, s.counted) for s in outcome.steps if s.predicted != s.counted]
    assert len(np.unique(outcome.outputs)) > 10
    compared = {kind: sum(step.outputs for step in outcome.steps if step.kind is kind) for kind in Kind}
    # By hand: 2 layers of Q, K, V, output 24 × T each, feed-forward 36 × T and 24 × T; heads' T × T; two LayerNorms.
    assert compared[Kind.MATMUL] == 2 * (4 * 24 + 36 + 24) * tokens
    assert compared[Kind.CONTEXT] == 2 * 24 * tokens
    assert compared[Kind.NORM] == 2 * 2 * 24 * tokens
    assert compared[Kind.SCORES] >= 2 * 2 * tokens * tokens


# Heads of 32 and 33 features, external memory, int4, URAM, pauses: what these numbers draw.
@pytest.mark.parametrize("seed", [100, 104, 109])
def test_random_encoders(simulators: Path, seed: int) -> None:
    run = draw(seed)
    outcome = outcome_of(run, simulators)
    assert outcome.right, [(step.name, step.mismatches) for step in outcome.steps if step.mismatches]
    assert outcome.exact or run.pauses != Pauses()


@pytest.mark.parametrize("lut_sums", [False, True])
def test_residual_sums_in_dsps_and_in_luts(simulators: Path, lut_sums: bool) -> None:
    """Gains up to the largest that there are, and the most negative factors."""
    array = replace(ARRAY, lut_sums=lut_sums)
    drawn = random_encoder(Layout(array, 24, 36, 2), 1, 0.5, np.random.default_rng(3))
    gains = [drawn.constants[f"layers.0.attention_norm.{side}_gain"] for side in ("residual", "added")]
    gains[0][0], gains[1][0] = 33025, 0
    gains[0][1], gains[1][1] = 0, 33025
    gains[0][2], gains[1][2] = 16513, 16512
    run = run_of(drawn, 7, 2)
    run.sentences[0, :3, 0] = -127
    outcome = outcome_of(run, simulators)
    assert outcome.status == 2
    assert outcome.right, [(step.name, step.mismatches) for step in outcome.steps if step.mismatches]
    assert outcome.exact


def test_a_fault_is_found_where_it_begins(simulators: Path) -> None:
    """Softmax that forgets to round: scores are still right, what follows is not."""
    run = run_of(encoder(), 12)
    broken = ("exponential.sv", "(21'd64 << octave)", "(21'd0 << octave)")
    outcome = outcome_of(replace(run, changed=(broken,)), simulators)
    assert not outcome.right
    wrong = [step.name for step in outcome.steps if step.mismatches]
    assert "layer 0 head 0 softmax" in wrong
    assert not any(name.endswith(("query", "key", "value")) for name in wrong if name.startswith("layer 0"))
    assert not any(name.startswith("layer 0") and name.endswith("scores") for name in wrong)


def test_more_tokens_than_the_buffers_hold(simulators: Path) -> None:
    with pytest.raises(InputError, match=r"tokens: more tokens than the buffers hold \(got 13\); accepted: 1 to 12"):
        outcome_of(run_of(encoder(), 13), simulators)


def test_arrays_that_heads_do_not_fit() -> None:
    for change, message in (
        ({"requant_interval": 1}, "4 rows at a time do not divide the array's columns, 6"),
        ({"vector_width": 20}, "4 rows at a time do not divide the array's columns, 6"),
        ({"vector_width": 5}, "1 features at a time are no multiple of the 2"),
        ({"vector_width": 0}, "no vector unit"),
    ):
        with pytest.raises(InputError, match=message):
            Layout(replace(ARRAY, **change), 24, 36, 2)
    with pytest.raises(InputError, match="2 rows at a time do not divide a head's features, 3"):
        Layout(ARRAY, 24, 36, 8)
    with pytest.raises(InputError, match="vector_width"):
        replace(ARRAY, vector_width=7)


def test_steps_wait_for_what_they_read() -> None:
    """Played one after the other in any order that the program allows, no step reads what is not there."""
    drawn = encoder(layers=3)
    program = run_of(drawn, 12).encoder.program
    g = np.random.default_rng(0)
    for _ in range(50):
        done = {"array": 0, "vector": 0}
        written: dict[str, str] = {}
        while done["array"] < len(program.array) or done["vector"] < len(program.vector):
            ready = []
            if done["array"] < len(program.array):
                step = program.array[done["array"]]
                if step.after_vector <= done["vector"] and step.after_array <= done["array"]:
                    ready.append("array")
            if done["vector"] < len(program.vector):
                other = program.vector[done["vector"]]
                if other.after_array <= done["array"]:
                    ready.append("vector")
            assert ready, "the program stands still"
            unit = str(g.choice(ready))
            now = (program.array if unit == "array" else program.vector)[done[unit]]
            for buffer in now.reads:
                assert _owner(buffer.name, now.layer) in (written.get(buffer.name.split(" of ")[0]), None), now.name
            written[now.target.name] = now.name
            done[unit] += 1


def _owner(buffer: str, layer: int) -> str | None:
    """The step that must have written a buffer last, where there is only one."""
    names = {"queries": "query", "keys": "key", "values": "value", "inner": "ffn_in"}
    part = names.get(buffer.split(" of ")[0])
    return f"layer {layer} {part}" if part else None


def test_heads_that_nobody_reads_are_left_out() -> None:
    layout = Layout(ARRAY, 24, 36, 4)
    whole = compile_encoder(layout, 2)
    fewer = compile_encoder(layout, 2, replace(everything(layout, 2), heads=((0, 2, 3), (1, 2))))
    assert len(whole.array) - len(fewer.array) == 2 * 3
    assert len(whole.vector) - len(fewer.vector) == 3
    assert not [s for s in fewer.array if (s.layer, s.head) in {(0, 1), (1, 0), (1, 3)}]
    assert fewer.memories == whole.memories
    assert whole.memories[Memory.STREAM] == 0
    # A head's intermediate results never lie where those of the one before do.
    softmaxes = [step.head_buffer for step in fewer.vector if step.kind is Kind.SOFTMAX]
    assert softmaxes == [0, 1, 0, 0, 1]


def cleared(drawn: RandomEncoder, number: int, blocks: NDArray[np.bool_]) -> RandomEncoder:
    """The same without these blocks of a matrix, in the packed matrix and in the integer model."""
    packed = drawn.packed[number]
    weight = unpack(packed)
    kept = kept_blocks(packed) & ~blocks
    weight *= kept.repeat(ARRAY.rows, 0).repeat(ARRAY.cols, 1)[: weight.shape[0], : weight.shape[1]]
    layer, part = divmod(number, 6)
    (getattr(drawn.model.layers[layer], PARTS[part])).weight.copy_(torch.from_numpy(weight.astype(np.int64)))
    matrices = list(drawn.packed)
    matrices[number] = pack(weight, ARRAY.block, kept)
    return replace(drawn, packed=matrices)


@pytest.mark.parametrize("memory", [WeightMemory.BRAM, WeightMemory.DDR])
def test_what_nothing_reads_is_not_computed(simulators: Path, memory: WeightMemory) -> None:
    """Heads 1 and 2 of 4 in the first layer, all in the second; features of the feed-forward part."""
    drawn = random_encoder(Layout(ARRAY, 24, 36, 4), 2, 0.9, np.random.default_rng(7))
    drawn = replace(drawn, memories=[memory] * 12)
    rows, columns = np.zeros((6, 4), bool), np.zeros((6, 4), bool)
    columns[:, 1:3] = True  # features 6 to 17: of heads 1 and 2
    inner, narrow = np.zeros((6, 6), bool), np.zeros((9, 4), bool)
    inner[:, 2:5] = True  # features 12 to 29 of the feed-forward part
    rows[1:3] = True  # features 4 to 11: of heads 0, 1
    narrow[3:6] = True  # features 12 to 23 of it
    for number, blocks in ((0, rows), (1, rows), (2, rows), (3, columns), (4, narrow), (5, inner), (9, columns | 1)):
        drawn = cleared(drawn, number, blocks.astype(bool))
    run = run_of(drawn, 12, 2)
    steps = run.encoder.program.array
    assert {(s.layer, s.head) for s in steps if s.kind is Kind.SCORES} == {(0, 0), (0, 3)}
    run_rows = {s.matrix: s.rows for s in steps}
    # Features 4 and 5, of head 0, are wanted: an empty row gives them. Those of row 2 are of head 1 alone.
    assert run_rows[0] == run_rows[1] == (0, 1, 3, 4, 5)
    assert run_rows[2] == (0, 1, 3, 4, 5)
    assert run_rows[3] == tuple(range(6))
    assert run_rows[4] == (0, 1, 2, 6, 7, 8)
    assert run_rows[11] == tuple(range(6))
    outcome = outcome_of(run, simulators)
    assert outcome.status == 2
    assert outcome.right, [(step.name, step.mismatches) for step in outcome.steps if step.mismatches]
    assert outcome.exact, [(s.name, s.predicted, s.counted) for s in outcome.steps if s.predicted != s.counted]
    whole = {s.name: s.outputs for s in outcome.steps}
    # 24 features less the four of row 2; of the context all that are computed.
    assert whole["layer 0 value"] == 20 * 12
    assert whole["layer 0 ffn_in"] == 24 * 12


@given(st.integers(0, 10**6), st.sampled_from([(4, 6), (6, 4), (5, 3), (12, 12)]), st.sampled_from([1, 2, 3, 6]))
def test_needed_is_what_a_search_from_the_end_finds(seed: int, block: tuple[int, int], heads: int) -> None:
    """Feature by feature: from what leaves a layer back to what enters it."""
    g = np.random.default_rng(seed)
    drained = next(d for d in range(block[0], 0, -1) if not block[0] % d and not block[1] % d and not 24 // heads % d)
    array = replace(
        ARRAY, rows=block[0], cols=block[1], lanes=2, requant_interval=block[0] // drained, vector_width=2 * drained
    )
    layout = Layout(array, 24, 36, heads)
    sides = [(24, 24)] * 4 + [(36, 24), (24, 36)]
    masks = [g.random((-(-n // block[0]), -(-k // block[1]))) < g.choice([0, 0.1, 0.5]) for n, k in sides]
    found = needed(layout, [m.sum(1).tolist() for m in masks], [np.flatnonzero(~m.any(0)).tolist() for m in masks])

    def reads(mask: NDArray[np.bool_], feature: int) -> bool:
        return any(mask[row, feature // block[1]] for row in range(len(mask)))

    read = {3: [reads(masks[3], f) for f in range(24)], 5: [reads(masks[5], f) for f in range(36)]}
    of_head = [any(read[3][f] for f in range(24) if f // (24 // heads) == head) for head in range(heads)]
    assert found.heads == (tuple(head for head in range(heads) if of_head[head]),)
    wanted = {n: [of_head[f // (24 // heads)] for f in range(24)] for n in (0, 1)}
    wanted |= {2: read[3], 3: [True] * 24, 4: read[5], 5: [True] * 24}
    for number, mask in enumerate(masks):
        rows = [
            row
            for row in range(len(mask))
            if mask[row].any() or any(wanted[number][f] for f in range(len(wanted[number])) if f // block[0] == row)
        ]
        assert found.rows[number] == tuple(rows or [0])


def test_weights_come_from_every_memory(simulators: Path) -> None:
    drawn = encoder(layers=1)
    memories = [WeightMemory(name) for name in ("bram", "uram", "ddr", "ddr", "bram", "ddr")]
    run = sentence_run(
        replace(drawn, memories=memories),
        np.random.default_rng(5).integers(-127, 128, (1, 24, 7)).astype(np.int8),
        DspType.DSP48E1,
    )
    outcome = outcome_of(run, simulators)
    assert (outcome.right, outcome.exact) == (True, True)


def test_one_shift_for_all_norms() -> None:
    """The engine has the shift as a parameter: constants that want another one later would go wrong in silence."""
    drawn = encoder()
    drawn.model.layers[1].ffn_norm.shift.add_(1)
    with pytest.raises(InputError, match=r"layers\.1\.ffn_norm\.shift: the engine has one shift for all LayerNorms"):
        run_of(drawn, 3)
