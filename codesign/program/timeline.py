"""When each step of a program begins and ends: exact, for one sentence or several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codesign.boards import DspType
from codesign.hardware.cycles import token_groups
from codesign.hardware.memories import ceil_div
from codesign.hardware.timeline import STORE, ArrayTimes, ExternalMemory, ExternalPart, Job, Stalls
from codesign.numerics import ACTIVATION_BITS
from codesign.program.layout import Layout
from codesign.program.steps import ArrayStep, Kind, Program, VectorStep

# Cycles, as hls_templates/rtl has them; the package takes those that are parameters from here.
QUOTIENT_STAGES = 16
ROOT_STAGES = 16
EXPONENTIAL_STAGES = 3
NORMALISER_STAGES = 9
DEVIATION_STAGES = ROOT_STAGES + QUOTIENT_STAGES + 15
"""Of a token's mean and reciprocal deviation: 14 before the root, one behind the quotient."""
_TO_STEP = 3
"""From a step's end, or from a run's start, to the next step's beginning."""
_TO_OTHER = 2
"""From a step's end to the beginning of another unit's step that waits for it."""


def result_stages(layout: Layout) -> int:
    """From a result to the end of all that follows from it: sums, their squares."""
    return layout.drained + 4


def norm_lead(layout: Layout) -> int:
    """From a LayerNorm's beginning to its first word: the deviations of a token group come first."""
    return layout.accelerator.lanes + DEVIATION_STAGES - 1


def softmax_cycles(layout: Layout, groups: int) -> int:
    """From the beginning of a head's softmax to its end: exponentials, their sum, the last group's quotients."""
    words, lanes = groups * layout.key_words, layout.accelerator.lanes
    behind = 2 + EXPONENTIAL_STAGES + 2 + QUOTIENT_STAGES + lanes
    return (groups - 1) * max(words, lanes) + words + behind


def norm_cycles(layout: Layout, groups: int) -> int:
    """From a LayerNorm's beginning to its end."""
    words, lanes = layout.norm_words, layout.accelerator.lanes
    return _first_of_norm(layout) + (groups - 1) * max(words, lanes) + words


def _first_of_norm(layout: Layout) -> int:
    """From a LayerNorm's beginning to its first written word."""
    return norm_lead(layout) + 1 + 2 + NORMALISER_STAGES


@dataclass(frozen=True)
class StepTimes:
    """Cycles in which a step begins and ends, from the start of the run."""

    begun: int
    ended: int


def occupied(moments: Sequence[StepTimes]) -> Iterator[tuple[int, int]]:
    """(from, to) for which each step has its unit: until it ends, or the next one enters before that."""
    for number, moment in enumerate(moments):
        later = moments[number + 1].begun if number + 1 < len(moments) else moment.ended
        yield moment.begun, min(moment.ended, later)


@dataclass(frozen=True)
class SentenceTimes:
    """Times of all steps of all sentences, in order, the cycle of the last beat, and what the array waits for."""

    array: tuple[StepTimes, ...]
    vector: tuple[StepTimes, ...]
    cycles: int
    stalls: Stalls


@dataclass(frozen=True)
class MatrixBlocks:
    """Nonzero blocks of each block row of a matrix, and what of it lies in external memory."""

    row_blocks: tuple[int, ...]
    external: ExternalPart | None = None


def encoder_times(
    layout: Layout,
    program: Program,
    matrices: Sequence[MatrixBlocks],
    dsp_type: DspType,
    tokens: int,
    sentences: int = 1,
    *,
    memory: ExternalMemory | None = None,
) -> SentenceTimes:
    """The times of every step.

    Args:
        layout: Sizes.
        program: Steps.
        matrices: In the order of their numbers.
        dsp_type: Of the device.
        tokens: Of every sentence.
        sentences: One after another.
        memory: For matrices that have parts there.
    """
    a, groups = layout.accelerator, token_groups(layout.accelerator, tokens)
    jobs = [_job(layout, step, matrices, groups) for step in program.array] * sentences
    array = ArrayTimes(a, dsp_type, jobs, tokens, tables=True, memory=memory)
    vector = _VectorTimes(layout, groups)
    ended: list[int] = []
    found: list[StepTimes] = []
    later = result_stages(layout)
    for sentence in range(sentences):
        # Whichever unit's next step waits for nothing that is still to come.
        before_array, before_vector = sentence * len(program.array), sentence * len(program.vector)
        steps, others = iter(program.array), iter(program.vector)
        step, other = next(steps, None), next(others, None)
        while step is not None or other is not None:
            if step is not None and _known(step.after_vector, before_vector, len(vector.times)):
                ready = 0
                if step.after_vector:
                    ready = vector.times[before_vector + step.after_vector - 1].ended + _TO_OTHER
                if step.after_array:
                    ready = max(ready, ended[before_array + step.after_array - 1] + _TO_OTHER)
                job = array.step(ready, again=2)
                found.append(StepTimes(job.begun, job.written + later))
                ended.append(found[-1].ended)
                step = next(steps, None)
            else:
                assert other is not None
                need = before_array + other.after_array
                vector.step(other, ended[need - 1] + _TO_OTHER if need else 0)
                other = next(others, None)
    return SentenceTimes(tuple(found), tuple(vector.times), vector.sent, array.stalls())


def _known(after: int, before: int, done: int) -> bool:
    return not after or before + after <= done


def _job(layout: Layout, step: ArrayStep, matrices: Sequence[MatrixBlocks], groups: int) -> Job:
    """What the array does for a step."""
    if step.kind is Kind.MATMUL:
        assert step.matrix is not None
        matrix = matrices[step.matrix]
        return Job(0, matrix.row_blocks, matrix.external)
    if step.kind is Kind.SCORES:
        return Job(0, (layout.head_columns,) * (groups * layout.key_rows), attention=True)
    return Job(0, (groups * layout.key_columns,) * layout.head_rows, attention=True)


class _VectorTimes:
    """The vector unit's times, step by step."""

    def __init__(self, layout: Layout, groups: int) -> None:
        a = layout.accelerator
        self.layout, self.groups, self.lanes = layout, groups, a.lanes
        self.load_beats = ceil_div(a.cols * a.lanes * ACTIVATION_BITS, a.stream_bits)
        self.result_beats = ceil_div(a.vector_width * ACTIVATION_BITS, a.stream_bits)
        self.room = 2 * layout.groups * layout.norm_words
        self.times: list[StepTimes] = []
        self.sent = 0
        self._left: list[int] = []  # the cycle of every result word's last beat

    def step(self, step: VectorStep, ready: int) -> None:
        """The next step, which can begin then."""
        begun = max(ready, (self.times[-1].ended if self.times else 0) + _TO_STEP)
        layout, groups, lanes = self.layout, self.groups, self.lanes
        if step.kind is Kind.LOAD:
            self.times.append(StepTimes(begun, begun + layout.state_columns * groups * self.load_beats + 1))
            return
        if step.kind is Kind.SOFTMAX:
            self.times.append(StepTimes(begun, begun + softmax_cycles(layout, groups)))
            return
        words = layout.norm_words
        if step.to_stream:
            waiting = len(self._left) + groups * words - self.room
            if waiting > 0:
                # Room is seen in the cycle after, and the step begins in the one behind that.
                begun = max(begun, self._left[waiting - 1] + 2)
        self.times.append(StepTimes(begun, begun + norm_cycles(layout, groups)))
        if step.to_stream:
            first, period = begun + _first_of_norm(layout), max(words, lanes)
            for group in range(groups):
                for word in range(words):
                    written = first + group * period + word
                    self.sent = max(self.sent, written + STORE - 1) + self.result_beats
                    self._left.append(self.sent)
