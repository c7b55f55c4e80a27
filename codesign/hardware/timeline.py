"""A run of the engine, event by event: when activations are in, when the array is busy, when the last result leaves.

Cycle 0 is the one in which the run starts. Streams never wait on the other side: beats come and go in every cycle
that the engine is ready for them. The rules are those of hls_templates/rtl: two activation buffers, an index reader
at most eight entries ahead of the array, a fetcher one block ahead, results that wait for the stream in a queue of
which every block row reserves its part when it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from codesign.boards import Board, DspType
from codesign.hardware.accelerator import Accelerator
from codesign.hardware.cycles import array_stages, external_bytes_per_cycle, requantise_stages, token_groups
from codesign.hardware.images import beat_bits
from codesign.hardware.memories import ceil_div
from codesign.numerics import ACTIVATION_BITS

LATENCY = 60
"""Cycles from a burst's request to its first beat, where nothing else is said."""
READ_BEATS = 512
"""Beats of external memory that may be on their way or wait for use: two of the longest bursts."""
CONSTANT_BUFFERS = 3
"""Matrices in external memory whose index and channel constants are on chip at a time."""
INDEX_QUEUE = 8
"""Index entries that may be read ahead of the array."""
JOB_QUEUE = 4
"""Matrices that may have been accepted and not begun."""
_INDEX_READ = 3  # from an entry's address to its place in the queue
_LOADED = 2  # from a job's last beat to its activations' presence
_FIFO = 3  # from a beat's arrival to its use
_REGIONS = 4  # regions of external memory that are asked for and not all used
STORE = 3  # from a result's writing to its first beat


@dataclass(frozen=True)
class ExternalPart:
    """What a matrix has in external memory, in beats as wide as all ports together.

    Attributes:
        constants_base: Where its index begins, with the channel constants behind it.
        constants_beats: Of both.
        weights_base: Where its weights begin.
        weight_beats: Of these.
    """

    constants_base: int
    constants_beats: int
    weights_base: int
    weight_beats: int


@dataclass(frozen=True)
class ExternalMemory:
    """External memory that answers bursts in order.

    Every port has an equal part of its rate, which whole numbers keep: in each cycle a port's credit grows by the
    rate's numerator, a beat takes the denominator of it, and what stays unused is saved up to less than two beats.

    Attributes:
        latency: Cycles from a burst's request to its first beat, at least.
        rate: Beats per cycle, at most, and at most 1; a beat is as wide as all ports together.
    """

    latency: int = LATENCY
    rate: Fraction = Fraction(1)


def external_memory(accelerator: Accelerator, board: Board, latency: int = LATENCY) -> ExternalMemory:
    """A board's external memory behind a design's ports, at the rate that the plan counts on.

    Args:
        accelerator: The array, with its ports and its clock.
        board: The board.
        latency: In cycles; board files have none.
    """
    if not accelerator.axi_ports:
        return ExternalMemory(latency)
    rate = external_bytes_per_cycle(accelerator, board.read_bytes_per_second)
    return ExternalMemory(latency, rate / Fraction(beat_bits(accelerator), 8))


@dataclass(frozen=True)
class Job:
    """One matrix of a run.

    Attributes:
        columns: Block columns.
        row_blocks: Nonzero blocks of each block row.
        external: What of it lies in external memory; None: nothing.
        attention: Whether its blocks are of K or V rather than of weights.
    """

    columns: int
    row_blocks: tuple[int, ...]
    external: ExternalPart | None = None
    attention: bool = False


@dataclass(frozen=True)
class JobTimes:
    """Cycles at which a job's phases begin or end.

    Attributes:
        loaded: Its activations are there.
        begun: The array takes its first entry.
        summed: The last cycle of its last block row in the array.
        written: Its last result is written to the queue.
        sent: Its last beat leaves.
    """

    loaded: int
    begun: int
    summed: int
    written: int
    sent: int


@dataclass(frozen=True)
class Stalls:
    """Cycles that the array waits, as the engine's counters have them.

    Attributes:
        weights: For a block's weights, or for index and constants from external memory.
        activations: For what a job reads.
        results: For room for a block row's results.
    """

    weights: int
    activations: int
    results: int


@dataclass(frozen=True)
class Streams:
    """The engine's two streams.

    Attributes:
        activation_beats: Beats of a word of C × L activations.
        result_beats: Beats of a word of R/Q × L results.
        result_words: Words that wait for the stream out, the most.
    """

    activation_beats: int
    result_beats: int
    result_words: int


def streams(accelerator: Accelerator, block_rows: int) -> Streams:
    """The streams of a design.

    Args:
        accelerator: The array.
        block_rows: Of the matrix with the most.
    """
    a = accelerator
    width = a.stream_bits
    groups = token_groups(a, a.max_tokens)
    return Streams(
        ceil_div(a.cols * a.lanes * ACTIVATION_BITS, width),
        ceil_div(a.rows // a.requant_interval * a.lanes * ACTIVATION_BITS, width),
        # Ping and pong.
        2 * block_rows * groups * a.requant_interval,
    )


def timeline(
    accelerator: Accelerator,
    dsp_type: DspType,
    streams: Streams,
    jobs: Sequence[Job],
    tokens: int,
    *,
    tables: bool = True,
    memory: ExternalMemory | None = None,
) -> ArrayTimes:
    """The times of every job of a run, and what the array waits for.

    Args:
        accelerator: The array.
        dsp_type: Of the device.
        streams: Widths and room.
        jobs: In order, repeats included.
        tokens: Of every job, at most ``max_tokens``.
        tables: Whether the design has activations by table.
        memory: For jobs that have parts there.
    """
    array = ArrayTimes(accelerator, dsp_type, jobs, tokens, tables=tables, memory=memory, streams=streams)
    groups = token_groups(accelerator, tokens)
    last_beat = 0
    for number, job in enumerate(jobs):
        # A buffer is free again when the job before the last is through.
        free = array.times[number - 2].summed if number >= 2 else 0
        last_beat = max(last_beat, free) + job.columns * groups * streams.activation_beats
        array.step(last_beat + _LOADED)
    return array


class ArrayTimes:
    """The array's times, job by job, as the rules of the sequencer have them.

    Args:
        accelerator: The array.
        dsp_type: Of the device.
        jobs: In order.
        tokens: Of every job.
        tables: Whether the design has activations by table.
        memory: For jobs that have parts there.
        streams: Where results leave the device, which waits for room; None where they stay.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        dsp_type: DspType,
        jobs: Sequence[Job],
        tokens: int,
        *,
        tables: bool,
        memory: ExternalMemory | None = None,
        streams: Streams | None = None,
    ) -> None:
        self.interval, self.streams, self.jobs = accelerator.requant_interval, streams, jobs
        self.reader = _Reader(accelerator, jobs, memory or ExternalMemory())
        self.groups = token_groups(accelerator, tokens)
        self.fetch = ceil_div(accelerator.block_bits, accelerator.weight_port_bits)
        self.head_fetch = ceil_div(accelerator.block_area * ACTIVATION_BITS, accelerator.weight_port_bits)
        self.sums = array_stages(accelerator, dsp_type)
        self.to_result = 1 + self.sums + requantise_stages(tables)
        self.times: list[JobTimes] = []
        self._taken: list[int] = []  # every entry's first cycle in the array is the one after
        self._leaves: list[int] = []  # per block row, the cycle of its first result word's first beat
        self._sent = self._read = self._last_block = self._finished = 0
        self._waits = [0, 0, 0]
        # Without an entry for the array, and without constants for the next job: (from, to) in order.
        self._without_entry: list[tuple[int, int]] = []
        self._constants_late: list[tuple[int, int]] = []
        self._offered = 1  # the cycle from which on the next job waits to be accepted

    def stalls(self) -> Stalls:
        """Cycles that the array has waited, over all jobs."""
        weights, activations, results = self._waits
        return Stalls(weights + _overlap(self._without_entry, self._constants_late), activations, results)

    def step(self, ready: int, *, again: int = 0) -> JobTimes:
        """The next job's times.

        Args:
            ready: The first cycle in which what it reads is there.
            again: The least number of cycles from the job before's beginning to this one's.
        """
        number, loaded = len(self.times), ready
        job, taken, row_words = self.jobs[number], self._taken, self.groups * self.interval
        read, last_block, finished = self._read, self._last_block, self._finished
        fetch = self.head_fetch if job.attention else self.fetch
        if self.times:
            ready = max(ready, self.times[-1].begun + again)

        # The index reader takes a job in the cycle of the last entry of the one before.
        read = max(read, self.times[number - JOB_QUEUE].begun + 1 if number >= JOB_QUEUE else 1)
        if job.external:
            there = self.reader.constants() + 2
            if there > self._offered:
                self._constants_late.append((self._offered, there))
            read = max(read, there)
        self._offered = read + 1
        slot = self.groups if job.external else max(self.groups, fetch)
        begun = 0
        for blocks in job.row_blocks:
            row_begun = 0
            for _ in range(max(blocks, 1)):
                # Plans ask for millions of entries: comparisons take a fraction of the time of max().
                read += 1
                if len(taken) >= INDEX_QUEUE and taken[-INDEX_QUEUE] >= read:
                    read = taken[-INDEX_QUEUE] + 1
                head = read + _INDEX_READ
                now = idle = head if head > finished else finished
                if idle > finished:
                    self._without_entry.append((finished, idle))
                if blocks:
                    # Its weights are fetched from when the block before it enters the array; K and V once there.
                    fetching = head if head > last_block else last_block
                    if job.attention and ready > fetching:
                        fetching = ready
                    fetched = self.reader.block(fetching, fetch) + 1 if job.external else fetching + fetch
                    if fetched > now:
                        now = fetched
                if not begun:
                    now = begun = max(now, ready)
                    for_activations = max(ready - idle, 0)
                    self._waits[1] += for_activations
                    self._waits[0] -= for_activations
                self._waits[0] += now - idle
                if blocks:
                    last_block = now
                row_begun = row_begun or now
                taken.append(now)
                finished = now + (slot if blocks else 1)
            finished = max(finished, row_begun + row_words)
            if self.streams is not None:
                waited = self._leave(finished, row_words, self.streams) - finished
                self._waits[2] += waited
                finished += waited
        if job.external:
            self.reader.freed.append(finished + row_words + self.sums)
        self._read, self._last_block, self._finished = read, last_block, finished
        found = JobTimes(loaded, begun, finished, finished + self.to_result + row_words - 1, self._sent)
        self.times.append(found)
        return found

    def _leave(self, finished: int, row_words: int, streams: Streams) -> int:
        """When a block row ends that waits for room for its words, which then leave."""
        # Room for the row's words: all but RESULT_WORDS of those before have left.
        leaving = (len(self._leaves) + 1) * row_words - streams.result_words
        if leaving > 0:
            row, word = divmod(leaving - 1, row_words)
            finished = max(finished, self._leaves[row] + (word + 1) * streams.result_beats)
        # A word per cycle is written, and none leaves in less than one.
        self._leaves.append(max(finished + self.to_result + STORE, self._sent + 1))
        self._sent = self._leaves[-1] + row_words * streams.result_beats - 1
        return finished


def _overlap(some: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> int:
    """Cycles that lie in both, each a list of (from, to) in order."""
    cycles = place = 0
    for begin, end in some:
        while place < len(others) and others[place][1] <= begin:
            place += 1
        at = place
        while at < len(others) and others[at][0] < end:
            cycles += min(end, others[at][1]) - max(begin, others[at][0])
            at += 1
    return cycles


class _Reader:
    """The reader of external memory: regions in order, cut into bursts, their beats, and when each is used.

    Constants keep two jobs ahead of weights: constants 0, constants 1, weights 0, constants 2, weights 1, …
    Everything happens in one order, so that every time follows from earlier ones.
    """

    def __init__(self, accelerator: Accelerator, jobs: Sequence[Job], memory: ExternalMemory) -> None:
        self.memory = memory
        self.page = 4096 // (accelerator.axi_port_bits // 8)
        ports = max(accelerator.axi_ports, 1)
        self.word_beats = ceil_div(accelerator.weight_port_bits, ports * accelerator.axi_port_bits)
        self.freed: list[int] = []  # when each job is through with its constants
        # Asking: the region that is being cut into bursts.
        self._to_ask = self._order(jobs)
        self._address = self._left = 0
        self._picked: list[int] = []
        self._free = 1  # the next region can be picked
        self._check = 0  # the next burst can be asked for
        self._regions: list[tuple[bool, int]] = []  # (whether constants, beats)
        # Beats: when each has come, and when it is used.
        self._came: list[int] = []
        self._credit, self._given = 2 * memory.rate.denominator - 1, 0
        self._used: list[int] = []
        self._over: list[int] = []  # a region's last beat
        self._place = 0
        self._constants_over: list[int] = []
        self._constants_picked = self._constants_wanted = self._word_taken = 0

    def _order(self, jobs: Sequence[Job]) -> Iterator[tuple[int, int, bool, int]]:
        """(first beat, beats, whether constants, when the list of jobs has come there) of every region."""
        external = [(number, job.external) for number, job in enumerate(jobs) if job.external]
        # Constants and weights walk the list each by itself, a job per cycle; a picked one holds them up.
        at, past, turns = {True: 1, False: 1}, {True: 0, False: 0}, 0
        for turn in range(len(external) + 1):
            for constants, index in ((True, turn), (False, turn - 1)):
                if not 0 <= index < len(external):
                    continue
                number, part = external[index]
                ready = at[constants] + number - past[constants]
                if not constants and turn == len(external):
                    # The last weights wait until it is known that no more constants come.
                    ready = max(ready, at[True] + len(jobs) - past[True])
                if constants:
                    yield part.constants_base, part.constants_beats, True, ready
                else:
                    yield part.weights_base, part.weight_beats, False, ready
                at[constants], past[constants] = self._picked[turns] + 1, number + 1
                turns += 1

    def _ask(self) -> None:
        """Ask for the next burst: its beats' times."""
        while not self._left:
            self._address, self._left, constants, ready = next(self._to_ask)
            pick = max(self._free, ready)
            if constants:
                if self._constants_picked >= CONSTANT_BUFFERS:
                    pick = max(pick, self.freed[self._constants_picked - CONSTANT_BUFFERS] + 1)
                self._constants_picked += 1
            if len(self._regions) >= _REGIONS:
                pick = max(pick, self._over[len(self._regions) - _REGIONS] + 1)
            self._picked.append(pick)
            self._free, self._check = pick + 1, pick + 2
            if self._left:  # a matrix without blocks has no weights
                self._regions.append((constants, self._left))
        length = min(self._left, self.page - self._address % self.page, 256)
        waiting = len(self._came) + length - READ_BEATS
        asked = 1 + max(self._check, self._used[waiting - 1] + 1 if waiting > 0 else 0)
        grow, cost = self.memory.rate.as_integer_ratio()
        earned = self._given + max(1, ceil_div(max(0, cost - self._credit), grow))
        came = max(asked + self.memory.latency, earned)
        credit = min(self._credit + (came - self._given) * grow, 2 * cost - 1) - cost
        # The others follow as they are earned: beat k when k times its cost is there.
        self._came.append(came)
        self._came += [came + (k * cost - credit + grow - 1) // grow for k in range(1, length)]
        self._given = self._came[-1]
        self._credit = credit + (self._given - came) * grow - (length - 1) * cost
        self._address += length
        self._left -= length
        self._check, self._free = asked + 2, asked + 1

    def _use(self, earliest: int) -> int:
        """Use the next beat, no sooner than that."""
        while len(self._came) <= len(self._used):
            self._ask()
        at = max(earliest, self._came[len(self._used)] + _FIFO, self._used[-1] + 1 if self._used else 0)
        self._used.append(at)
        self._count(at, 1)
        return at

    def _count(self, at: int, beats: int) -> None:
        """Beats of the region at hand have been used, the last of them then."""
        self._place += beats
        constants, all_beats = self._regions[len(self._over)]
        if self._place == all_beats:
            self._place = 0
            self._over.append(at)
            if constants:
                self._constants_over.append(at)

    def _at_constants(self) -> bool:
        while len(self._regions) <= len(self._over):
            self._ask()
        return self._regions[len(self._over)][0]

    def constants(self) -> int:
        """The cycle of the last beat of the next job's constants."""
        while len(self._constants_over) <= self._constants_wanted:
            self._use(0)
        self._constants_wanted += 1
        return self._constants_over[self._constants_wanted - 1]

    def block(self, earliest: int, words: int) -> int:
        """The cycle in which the last of a block's words of weights is taken, the first no sooner than that."""
        if not self._place:
            while self._at_constants():
                self._use(0)
        if self.word_beats == 1:
            # All of them at once; what is asked for ahead must follow from beats that have been used.
            while words:
                together = min(words, READ_BEATS - 256)
                earliest, words = self._use_many(earliest, together) + 1, words - together
            return earliest - 1
        for _ in range(words):
            # The next word is put together when the one before is taken.
            for _ in range(self.word_beats):
                last = self._use(self._word_taken)
            self._word_taken = max(earliest, last + 1)
            earliest = self._word_taken + 1
        return self._word_taken

    def _use_many(self, earliest: int, count: int) -> int:
        """Use so many beats of one region, one after another; the cycle of the last."""
        begin = len(self._used)
        while len(self._came) < begin + count:
            self._ask()
        at = max(earliest, self._used[-1] + 1 if begin else 0) - 1
        for came in self._came[begin : begin + count]:
            at += 1
            if came + _FIFO > at:
                at = came + _FIFO
            self._used.append(at)
        self._count(at, count)
        return at
