"""The program as data: steps of the array and of the vector unit, and the buffers that they read and write.

Two units work side by side, each through its own steps in order: the array (matrices, and the two products of a head)
and the vector unit (embeddings in, softmax, LayerNorm). A step names the steps of either unit that must have ended
before it begins: that is all that orders them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a step does."""

    MATMUL = "matmul"  # one block-sparse matrix
    SCORES = "scores"  # QKᵀ of one head
    CONTEXT = "context"  # exponentials · V of one head
    LOAD = "load"  # embeddings, from the stream
    SOFTMAX = "softmax"  # exponentials and their quotients, of one head
    NORM = "norm"  # LayerNorm of a residual sum


class Memory(StrEnum):
    """Where a buffer lies; each memory has one writer and readers that never meet."""

    STATE = "state"  # what the vector unit gives: the residual stream, exponentials
    WORK = "work"  # what the array gives and reads again
    KEYS = "keys"
    VALUES = "values"
    SUMS = "sums"  # what the vector unit reads: scores, residual sums
    STREAM = "stream"  # out of the device


@dataclass(frozen=True)
class Buffer:
    """A range of words of one memory.

    Attributes:
        name: Unique.
        memory: Where.
        base: First word.
        words: How many; a word has all L tokens of a token group.
    """

    name: str
    memory: Memory
    base: int
    words: int

    def overlaps(self, other: Buffer) -> bool:
        """Whether two buffers share a word."""
        here = self.memory is other.memory
        return here and self.base < other.base + other.words and other.base < self.base + self.words


@dataclass(frozen=True)
class ArrayStep:
    """One step of the array.

    Attributes:
        name: Such as ``layer 0 query``.
        kind: MATMUL, SCORES or CONTEXT.
        layer: Number of its layer.
        head: Of SCORES and CONTEXT.
        matrix: Number of the matrix, of MATMUL.
        rows: Its block rows that are run, ascending.
        operand: What passes the array.
        stationary: K or V of the head: what is in the array instead of weights.
        target: Where the results go.
        head_buffer: Which of the two sets of a head's intermediate results.
        residual: What is added, for a target in SUMS that is no scores.
        after_vector, after_array: Steps of that unit that must have ended, counted from the program's first.
    """

    name: str
    kind: Kind
    layer: int
    operand: Buffer
    target: Buffer
    head: int | None = None
    head_buffer: int = 0
    matrix: int | None = None
    rows: tuple[int, ...] = ()
    stationary: Buffer | None = None
    residual: Buffer | None = None
    after_vector: int = 0
    after_array: int = 0

    @property
    def reads(self) -> tuple[Buffer, ...]:
        """Every buffer that is read."""
        return tuple(buffer for buffer in (self.operand, self.stationary, self.residual) if buffer is not None)


@dataclass(frozen=True)
class VectorStep:
    """One step of the vector unit.

    Attributes:
        name: Such as ``layer 0 head 1 softmax``.
        kind: LOAD, SOFTMAX or NORM.
        layer: Number of its layer; 0 of LOAD.
        source: Scores or sums; None of LOAD.
        target: In STATE.
        head: Of SOFTMAX.
        head_buffer: Which of the two sets of a head's intermediate results.
        norm: Number of the LayerNorm.
        to_stream: Whether the results leave the device, too.
        after_array: Steps of the array that must have ended.
    """

    name: str
    kind: Kind
    layer: int
    target: Buffer
    source: Buffer | None = None
    head: int | None = None
    head_buffer: int = 0
    norm: int | None = None
    to_stream: bool = False
    after_array: int = 0

    @property
    def reads(self) -> tuple[Buffer, ...]:
        """Every buffer that is read."""
        return () if self.source is None else (self.source,)


@dataclass(frozen=True)
class Program:
    """All steps of one sentence.

    Attributes:
        array, vector: Steps of either unit, in order.
        memories: Words of each memory.
    """

    array: tuple[ArrayStep, ...]
    vector: tuple[VectorStep, ...]
    memories: dict[Memory, int]
