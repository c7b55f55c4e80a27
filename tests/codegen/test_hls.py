"""The generated Vitis project: its files, its drivers, how it is written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from codesign.boards import DspType, board_names, load_board
from codesign.codegen import hls
from codesign.codegen.banks import assign_banks
from codesign.codegen.hls import Features, HlsDesign, Interface, hls_files
from codesign.codegen.rtl import rtl_files
from codesign.design.hardware import check_board
from codesign.errors import InputError
from codesign.hardware.accelerator import WeightMemory
from codesign.packing.part import WholeResults
from codesign.packing.streams import activation_beats, result_beats, uram_beats
from codesign.simulation.hls import design_of_runs
from codesign.simulation.random_designs import SMALL_ARRAY as ARRAY
from codesign.simulation.random_designs import RandomMatrix, random_run
from tests.conftest import Outcome, changed, write_project

Run = Callable[..., Outcome]
SHAPES = [
    RandomMatrix(14, 20, 0.6),
    RandomMatrix(9, 30, 0.3, table=True, memory=WeightMemory.URAM),
    RandomMatrix(11, 9, 0.7, memory=WeightMemory.DDR),
]


def everywhere(board: str = "zcu104", ports: int = 2) -> HlsDesign:
    """A design with weights in all three memories."""
    array = replace(ARRAY, axi_ports=ports, weight_port_bits=128)
    return design_of_runs(load_board(board), [random_run(array, SHAPES, 10, 2)], f"random on {board}")


@pytest.mark.parametrize("interface", Interface)
@pytest.mark.parametrize("board", ["zcu104", "u50", "pynq-z2"])
def test_every_file_of_a_project(board: str, interface: Interface) -> None:
    files = hls_files(everywhere(board), interface, ["codesign", "gen-hls", "x"])
    assert files == hls_files(everywhere(board), interface, ["codesign", "gen-hls", "x"])
    manifest = json.loads(files["manifest.json"])
    assert set(manifest["files"]) == set(files) - {"manifest.json"}
    for name, entry in manifest["files"].items():
        assert entry == {"bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
    assert manifest["command"] == ["codesign", "gen-hls", "x"]
    assert manifest["versions"]["codesign"]
    # Sources that editors and compilers can take; weights are images.
    for name, data in files.items():
        assert len(data) < 1_000_000 or name.endswith((".bin", ".mem"))
        if not name.startswith(("weights/", "vectors/")):
            text = data.decode()
            assert text.endswith("\n")
            assert not re.search(r"\{[{%]|[ \t]+$", text, flags=re.M), name
            assert max(map(len, text.splitlines())) <= 120
    alveo = board == "u50"
    assert ("link.cfg" in files) == alveo
    assert ("drivers/engine_xrt.cpp" in files) == (alveo and interface is Interface.M_AXI)
    assert ("drivers/engine_pynq.py" in files) == (not alveo)
    assert load_board(board).part in files["hls_config.cfg"].decode()


@pytest.mark.parametrize("interface", Interface)
def test_the_kernel_keeps_to_what_every_hls_compiler_takes(interface: Interface) -> None:
    files = hls_files(everywhere(), interface)
    for name, data in files.items():
        if name.startswith("src/"):
            code = re.sub(r"//.*|constexpr const char\*[^;]*;|\"[^\"]*\"", "", data.decode())
            assert not re.search(
                r"\b(float|double|new|delete|malloc|free|virtual|throw|try|catch|while|goto|std::(?!u?int\d+_t))\b",
                code,
            ), name
            # Every pragma stands behind the one header.
            assert name == "src/pragmas.hpp" or not re.search(r"#pragma (?!once|GCC)|_Pragma", code), name
            # The bound of every loop is a constant of the design.
            for bound in re.findall(r"for \((?:int \w+ = \w+)?;([^;]*);", code):
                assert re.search(r"\b([A-Z][A-Z_]*|first \+ CHAIN|\d+)\b", bound), (name, bound)


def pragmas(code: str) -> list[dict[str, str]]:
    found = re.findall(r"HLS_INTERFACE\((.*?)\)\n", code, flags=re.S)
    return [dict(field.split("=") for field in text.split()) for text in found]


@pytest.mark.parametrize("interface", Interface)
def test_every_port_has_its_interface_and_register(interface: Interface) -> None:
    design = everywhere()
    files = hls_files(design, interface)
    code = files["src/engine.cpp"].decode()
    names = re.findall(r"^    [\w:<> ]+[*&]? (\w+)[,)]", code[code.index("void codesign_engine(") :], flags=re.M)
    ports = pragmas(code)
    memories = {p["port"]: p for p in ports if p["mode"] == "m_axi"}
    streams = {p["port"] for p in ports if p["mode"] == "axis"}
    registers = {p["port"]: int(p["offset"], 16) for p in ports if p["mode"] == "s_axilite" and p["port"] != "return"}
    wanted = {"activations", "results", "weights"} if interface is Interface.M_AXI else set()
    assert set(memories) == wanted | {"external_0", "external_1"}
    assert streams == ({"activations", "results"} if interface is Interface.AXIS else set())
    assert set(names) == set(registers) | streams
    assert {p["port"] for p in ports} == {*names, "return"}
    # A bundle each, a depth that covers what the testbench has, registers that do not overlap.
    assert len({p["bundle"] for p in memories.values()}) == len(memories)
    taken = sorted((at, at + (12 if name in memories else 4)) for name, at in registers.items())
    assert taken[0][0] == 0x10
    assert all(end <= begin for (_, end), (begin, _) in pairwise(taken))
    depths = {name: int(p["depth"]) for name, p in memories.items()}
    if wanted:
        a, run = design.accelerator, design.runs[0]
        full = [np.zeros((m.in_features, a.max_tokens), np.int8) for m in design.packed]
        assert depths["activations"] == sum(len(activation_beats(a, x)) for x in full)
        assert depths["activations"] >= sum(len(activation_beats(a, x)) for x in run.activations)
        full = [np.zeros((m.out_features, a.max_tokens), np.int8) for m in design.packed]
        assert depths["results"] == sum(len(result_beats(a, y)) for y in full)
        assert depths["weights"] == len(uram_beats(a, design.images))
    assert depths["external_0"] == depths["external_1"] == len(design.images.contents["ddr"][2])
    for p in memories.values():
        length = int(p.get("max_read_burst_length") or p["max_write_burst_length"])
        assert length <= 256
        assert length * 64 // 8 <= 4096
    readme = files["README.md"].decode()
    assert all(f"| 0x{at:02x} | `{name}`" in readme for name, at in registers.items())


def test_memory_ports_are_as_wide_as_the_boards_and_streams_as_wide_as_the_engines() -> None:
    design = everywhere()
    wide = replace(design, accelerator=replace(design.accelerator, stream_bits=512))
    assert design.accelerator.stream_bits == design.accelerator.axi_port_bits == 64
    for interface, bits in ((Interface.M_AXI, 64), (Interface.AXIS, 512)):
        files = hls_files(wide, interface)
        assert f"constexpr int STREAM_BITS = {bits};" in " ".join(files["src/design.hpp"].decode().split())
        assert (files == hls_files(design, interface)) == (interface is Interface.M_AXI)
        # 20 + 30 + 9 features on 5 columns × 10 tokens on 3 lanes: 12 block columns of 4 words, each of whole beats.
        words = (-(-20 // ARRAY.cols) + -(-30 // ARRAY.cols) + -(-9 // ARRAY.cols)) * -(-10 // ARRAY.lanes)
        beats = -(-ARRAY.cols * ARRAY.lanes * 8 // bits)
        assert len(files["vectors/run0.activations.bin"]) == words * beats * bits // 8


def test_pragmas_of_vitis_and_of_bambu(tmp_path: Path) -> None:
    """What the preprocessor makes of the header: names of variables are not taken for parts of a pragma."""
    from codesign.simulation.toolchain import hls_headers

    files = hls_files(everywhere())
    write_project(tmp_path / "p", files)

    def lines(define: str, source: str) -> list[str]:
        command = ["g++", "-E", "-std=c++14", define, "-isystem", str(hls_headers()), "-Isrc", source]
        shown = subprocess.run(command, cwd=tmp_path / "p", capture_output=True, text=True, check=True).stdout
        return [line.strip() for line in shown.splitlines() if line.strip().startswith("#pragma HLS")]

    vitis = lines("-D__VITIS_HLS__", "src/engine.cpp")
    kinds = {line.split()[2] for line in vitis}
    assert kinds == {
        "pipeline",
        "inline",
        "dataflow",
        "interface",
        "array_partition",
        "stream",
        "bind_storage",
        "dependence",
    }
    assert {line.split()[3] for line in vitis if " stream " in line} == {
        f"variable={name}"
        for name in ("index_beats", "channel_beats", "weight_beats", "entries", "words", "constants")
    }
    assert {line.rsplit(" ", 1)[1] for line in vitis if " pipeline " in line} == {"II=1"}
    bambu = lines("-DCODESIGN_HLS_BAMBU", "src/core_top.cpp")
    assert set(bambu) == {"#pragma HLS unroll"}


def test_numbers_too_wide_for_vitis() -> None:
    wide = replace(ARRAY, rows=96, cols=96, requant_interval=1)
    design = design_of_runs(load_board("zcu104"), [random_run(wide, [RandomMatrix(96, 96, 1.0)], 3, 1)])
    with pytest.raises(InputError, match="needs words wider than Vitis takes"):
        hls_files(design)


def test_the_board_is_the_design_s() -> None:
    zcu104 = load_board("zcu104")
    check_board("zcu104", zcu104.part, zcu104)
    with pytest.raises(InputError, match=r"has other DSPs than pynq-z2 \(got 'DSP48E1'\); accepted: DSP48E2"):
        check_board("zcu104", zcu104.part, load_board("pynq-z2"))
    with pytest.raises(InputError, match=r"has other DSPs than zcu104 \(got 'DSP48E1'\); accepted: DSP48E2"):
        check_board("zcu104", zcu104.part, changed("zcu104", device__dsp_type=DspType.DSP48E1))
    with pytest.raises(InputError, match=r"for another board \(got 'zcu102'\); accepted: zcu104"):
        check_board("zcu104", zcu104.part, load_board("zcu102"))
    with pytest.raises(InputError, match="for another part"):
        check_board("zcu104", zcu104.part, zcu104.model_copy(update={"part": "xczu9eg"}))


# ---- Drivers.


@pytest.mark.parametrize("interface", Interface)
def test_the_pynq_driver_lays_out_what_the_kernel_reads(interface: Interface, tmp_path: Path) -> None:
    design = everywhere()
    path = tmp_path / "engine_pynq.py"
    path.write_bytes(hls_files(design, interface)["drivers/engine_pynq.py"])
    driver = runpy.run_path(str(path))
    generator = np.random.default_rng(1)
    for matrix, (n, k) in zip(design.packed, driver["MATRICES"], strict=True):
        assert (n, k) == (matrix.out_features, matrix.in_features)
        for tokens in (1, 10, 12):
            x = generator.integers(-127, 128, (k, tokens)).astype(np.int8)
            assert driver["to_beats"](x).tobytes() == activation_beats(design.accelerator, x).tobytes()
            y = generator.integers(-127, 128, (n, tokens)).astype(np.int8)
            beats = result_beats(design.accelerator, y).reshape(-1)
            assert len(beats) == driver["result_bytes"](n, tokens)
            assert np.array_equal(driver["from_beats"](beats, n, tokens), y)
    ports = pragmas(hls_files(design, interface)["src/engine.cpp"].decode())
    registers = {p["port"]: int(p["offset"], 16) for p in ports if p["mode"] == "s_axilite" and p["port"] != "return"}
    assert driver["REGISTERS"] == registers


@pytest.mark.parametrize("interface", Interface)
def test_the_pynq_driver_runs_the_kernel(
    interface: Interface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against an overlay in memory, whose kernel knows what it must give."""
    design = everywhere()
    files = hls_files(design, interface)
    write_project(tmp_path / "p", files)
    (run,) = design.runs
    buffers: dict[int, np.ndarray] = {}
    written: list[dict[str, int]] = []
    state: dict[str, int] = {}
    answer = np.concatenate([result_beats(design.accelerator, y).reshape(-1) for y in run.results])
    results_of = [result_beats(design.accelerator, y).size for y in run.results]
    sent: list[bytes] = []
    cache: list[tuple[str, int]] = []
    transfers: list[int] = []
    control = [2]

    class Buffer(np.ndarray):
        def flush(self) -> None:
            cache.append(("flush", len(self)))

        def invalidate(self) -> None:
            cache.append(("invalidate", len(self)))

        def freebuffer(self) -> None: ...

        @property
        def device_address(self) -> int:
            return next(at for at, part in buffers.items() if part is self)

    def allocate(size: int, kind: type) -> np.ndarray:
        made = np.zeros(size, kind).view(Buffer)
        buffers[(1 << 32) + 4096 * (len(buffers) + 1)] = made
        return made

    class Kernel:
        def write(self, at: int, value: int) -> None:
            if at == 0:
                cache.append(("start", 0))
                written.append(dict(state))
                if "results" in state and not state["load"]:
                    sent.append(buffers[state["activations"]].tobytes())
                    buffers[state["results"]][:] = answer
            elif at in names:
                state[names[at]] = value
            else:
                state[names[at - 4]] |= value << 32

        def read(self, at: int) -> int:
            assert at == 0
            return control[0]

    class Channel:
        idle, error = True, False

        def __init__(self, receives: bool) -> None:
            self.receives = receives

        def transfer(self, buffer: np.ndarray, start: int = 0, nbytes: int = 0) -> None:
            nbytes = nbytes or len(buffer) - start
            transfers.append(nbytes)
            if self.receives:
                buffer[start : start + nbytes] = answer[start : start + nbytes]
            else:
                sent.append(buffer[start : start + nbytes].tobytes())

        def wait(self) -> None: ...

    class Mmio:
        def read(self, at: int) -> int:
            return {0x04: 0x4000, 0x34: 0x1002}[at]

    class Dma:
        sendchannel, recvchannel, mmio = Channel(False), Channel(True), Mmio()
        buffer_max_size = 16383

    class Overlay:
        codesign_engine_0, axi_dma_0 = Kernel(), Dma()

        def __init__(self, bitfile: str) -> None:
            assert bitfile == "x.bit"

    fake = types.ModuleType("pynq")
    fake.Overlay, fake.allocate = Overlay, allocate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynq", fake)
    driver = runpy.run_path(str(tmp_path / "p" / "drivers" / "engine_pynq.py"))
    names = {at: name for name, at in driver["REGISTERS"].items()}
    overlay = driver["Engine"]("x.bit", weights=tmp_path / "p" / "weights")
    g = np.random.default_rng(0)
    given = [g.integers(-127, 128, (m.in_features, 10)).astype(np.int8) for m in design.packed]
    found = overlay.run(0, given)
    assert [m.tolist() for m in found] == [y.tolist() for y in run.results]
    packets = [activation_beats(design.accelerator, part).tobytes() for part in given]
    assert b"".join(sent[-3:] if interface is Interface.AXIS else sent[-1:]) == b"".join(packets)
    # Before the start no line of the results' buffer may be dirty, behind it none may be old.
    start = len(cache) - 1 - cache[::-1].index(("start", 0))
    asked = [("flush", len(b"".join(packets))), ("flush", len(answer)), ("invalidate", len(answer))]
    assert cache[start - 3 : start] == asked
    assert cache[-1] == ("invalidate", len(answer))
    loading = uram_beats(design.accelerator, design.images)
    assert (
        buffers[written[0]["weights"]].tobytes() if interface is Interface.M_AXI else sent[0]
    ) == loading.tobytes()
    assert driver["LOAD_CYCLES"] == len(loading)
    # What was read by the engine before is out of the cache too: weights for URAM and those of each port.
    sizes = [len(files["weights/ddr.bin"]) // 2] * 2 + [loading.size]
    loaded = cache.index(("start", 0))
    assert cache[:loaded] == [("flush", size) for size in sizes]
    if interface is Interface.AXIS:
        # One packet for each matrix, in either direction: what the DMA's length register must hold, and no more.
        assert sorted(transfers[1:]) == sorted(map(len, packets + np.split(answer, np.cumsum(results_of)[:-1])))
    assert [w["load"] for w in written] == [1, 0]
    assert (written[-1]["first"], written[-1]["layers"], written[-1]["tokens"]) == (0, 3, 10)
    # Each port has its half of every beat.
    whole = np.frombuffer(files["weights/ddr.bin"], np.uint8).reshape(-1, 2, 8)
    for port in range(2):
        assert np.array_equal(buffers[written[-1][f"external_{port}"]], whole[:, port].reshape(-1))
    # What the engine does not read is left out, what it does not give is put in between.
    part = {"inputs": 3, "unread": [1], "outputs": 5, "constant": [1, 4], "values": [-7, 9]}
    numbers = np.array([[1, 2], [3, 4], [5, 6]], np.int8)
    assert driver["to_read"](numbers, part).tolist() == [[1, 2], [5, 6]]
    assert driver["whole"](numbers, part).T.tolist() == [[1, -7, 3, 5, 9], [2, -7, 4, 6, 9]]
    with pytest.raises(ValueError, match="1 to 12"):
        overlay.run(0, [np.zeros((20, 13), np.int8)])
    with pytest.raises(ValueError, match="have \\[20\\] input features"):
        overlay.run(0, [np.zeros((21, 3), np.int8)])
    # A call has 1000 times the cycles that are predicted of it, at 200 MHz, and a second at least.
    now = time.monotonic()
    assert overlay._deadline(2_000_000) - now == pytest.approx(10, abs=1)
    assert overlay._deadline(sum(driver["CYCLES"])) - now == pytest.approx(1, abs=0.5)
    assert driver["CYCLES"] == [50, 38, 34]  # the trips of the testbench's table
    # A kernel that hangs, and a channel that does.
    control[0] = 1
    hung = driver["Engine"]
    with pytest.raises(
        TimeoutError, match=r"0x00 of codesign_engine_0 is 0x00000001 \(start 1, done 0, idle 0"
    ) as told:
        hung("x.bit", weights=tmp_path / "p" / "weights", timeout=0.01)
    control[0] = 2
    if interface is Interface.AXIS:
        assert "MM2S 0x00004000, S2MM 0x00001002" in str(told.value)
        overlay.timeout = 0.01
        Dma.recvchannel.idle = False
        with pytest.raises(TimeoutError, match="the channel of axi_dma_0 to receive is not done in time"):
            overlay.run(0, given)
        Dma.recvchannel.idle = True
        # What it may still write to is kept, and nothing else is begun.
        with pytest.raises(RuntimeError, match="load the overlay again"):
            overlay.run(0, given)


def test_a_dma_that_is_too_small_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length register as it comes holds 16,383 bytes: a design with a larger packet says what it needs."""
    array = replace(ARRAY, axi_ports=2, weight_port_bits=128, max_tokens=640)
    design = design_of_runs(load_board("zcu104"), [random_run(array, SHAPES, 10, 2)])
    files = hls_files(design, Interface.AXIS)
    # Activations: 30 features in 5 words' columns for 640 tokens in threes; a word of 6 × 3 bytes takes 3 beats of 8.
    largest = max(
        activation_beats(design.accelerator, np.zeros((m.in_features, 640), np.int8)).size for m in design.packed
    )
    largest = max(
        largest,
        *(result_beats(design.accelerator, np.zeros((m.out_features, 640), np.int8)).size for m in design.packed),
    )
    assert largest == 5 * 214 * 3 * 8 == 25680
    assert "**15 bits**" in files["README.md"].decode()
    assert "25,680 bytes" in files["README.md"].decode()
    assert "AXI DMA" not in hls_files(design)["README.md"].decode()
    made: list[int] = []

    class Overlay:
        def __init__(self, bitfile: str) -> None:
            self.codesign_engine_0 = types.SimpleNamespace(write=lambda *_: None, read=lambda _: made.append(1) or 2)
            self.axi_dma_0 = types.SimpleNamespace(buffer_max_size=int(bitfile))

    fake = types.ModuleType("pynq")
    fake.Overlay, fake.allocate = Overlay, None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynq", fake)
    path = tmp_path / "engine_pynq.py"
    path.write_bytes(files["drivers/engine_pynq.py"])
    engine = runpy.run_path(str(path))["Engine"]
    # PYNQ counts 2^14 − 1, older versions 2^14.
    for size in (16383, 16384):
        with pytest.raises(ValueError, match=r"at most 16383 bytes at once, and this design 25680: .* of 15 bits"):
            engine(str(size))
    for size in (32767, 32768):
        with pytest.raises(FileNotFoundError):  # further than the check: there are no weights here
            engine(str(size), weights=tmp_path)


def test_more_than_a_dma_can_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hls, "DMA_MOST_BITS", 8)
    with pytest.raises(
        InputError, match=r"--interface: a matrix has more bytes .*accepted: m_axi, or 255 bytes, not 480"
    ):
        hls_files(everywhere(), Interface.AXIS)
    hls_files(everywhere())
    hls_files(everywhere("u50"), Interface.AXIS)  # no DMA there


XRT = """#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
enum ert_cmd_state { ERT_CMD_STATE_NEW = 1, ERT_CMD_STATE_COMPLETED = 4, ERT_CMD_STATE_TIMEOUT = 8 };
enum xclBOSyncDirection { XCL_BO_SYNC_BO_TO_DEVICE, XCL_BO_SYNC_BO_FROM_DEVICE };
namespace xrt {
struct uuid {};
struct device { explicit device(unsigned); uuid load_xclbin(const std::string&); };
struct run { ert_cmd_state wait(const std::chrono::milliseconds&) const; };
struct kernel;
struct bo {
  bo(const device&, std::size_t, int);
  void write(const void*);
  void read(void*);
  void sync(xclBOSyncDirection);
  std::shared_ptr<void> handle;
};
struct kernel {
  enum class cu_access_mode : std::uint8_t { exclusive = 0, shared = 1, none = 2 };
  kernel(const device&, const uuid&, const std::string&, cu_access_mode = cu_access_mode::shared);
  int group_id(int) const;
  std::uint32_t read_register(std::uint32_t) const;
  template <typename... Arguments> run operator()(Arguments&&...) { return run(); }
};
}
"""


def test_the_xrt_driver_compiles_and_names_the_arguments_in_order(tmp_path: Path) -> None:
    """Against declarations as XRT's native API documents them."""
    files = hls_files(everywhere("u50"))
    (tmp_path / "xrt").mkdir()
    for name in ("bo", "device", "kernel"):
        (tmp_path / "xrt" / f"xrt_{name}.h").write_text(XRT)
    (tmp_path / "host.cpp").write_bytes(files["drivers/engine_xrt.cpp"])
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I.", "host.cpp"]
    subprocess.run(command, cwd=tmp_path, check=True)
    code = files["drivers/engine_xrt.cpp"].decode()
    order = ["activations", "results", "weights", "external_0", "external_1"]
    assert f"wait(kernel({', '.join(order)}, 1, 0, 0, 0),\n" in code
    assert f"wait(kernel({', '.join(order)}, 0, first, layers, tokens),\n" in code
    for number, name in enumerate(order):
        assert re.search(rf"{name} ?(=|\().*\b(kernel, {number}\)|group_id\({number}\))", code)


XRT_THAT_HANGS = """#pragma once
#include "xrt_kernel_declared.h"
#include <stdexcept>
namespace xrt {
inline device::device(unsigned) {}
inline uuid device::load_xclbin(const std::string&) { return uuid(); }
inline bo::bo(const device&, std::size_t, int) {}
inline void bo::write(const void*) {}
inline void bo::read(void*) {}
inline void bo::sync(xclBOSyncDirection) {}
inline kernel::kernel(const device&, const uuid&, const std::string&, cu_access_mode mode) {
  if (mode != cu_access_mode::exclusive) throw std::runtime_error("registers are read by one process alone");
}
inline int kernel::group_id(int) const { return 0; }
inline std::uint32_t kernel::read_register(std::uint32_t) const { return 1; }
inline ert_cmd_state run::wait(const std::chrono::milliseconds& time) const {
  return time.count() > 2000 ? ERT_CMD_STATE_COMPLETED : ERT_CMD_STATE_TIMEOUT;
}
}
"""


XRT_THAT_RUNS = """#pragma once
#include "xrt_kernel_declared.h"
#include <fstream>
#include <vector>
namespace xrt {
struct memory { int argument; std::vector<char> host, card; };
inline memory& of(const bo& buffer) { return *static_cast<memory*>(buffer.handle.get()); }
inline device::device(unsigned) {}
inline uuid device::load_xclbin(const std::string&) { return uuid(); }
inline bo::bo(const device&, std::size_t size, int argument)
    : handle(std::make_shared<memory>(memory{argument, std::vector<char>(size), {}})) {}
inline void bo::write(const void* data) {
  memory& own = of(*this);
  own.host.assign(static_cast<const char*>(data), static_cast<const char*>(data) + own.host.size());
}
inline void bo::read(void* data) {
  const memory& own = of(*this);
  for (std::size_t i = 0; i < own.host.size(); ++i) static_cast<char*>(data)[i] = own.host[i];
}
inline void bo::sync(xclBOSyncDirection way) {
  memory& own = of(*this);
  if (way == XCL_BO_SYNC_BO_TO_DEVICE) own.card = own.host; else own.host = own.card;
}
inline kernel::kernel(const device&, const uuid&, const std::string& name, cu_access_mode) {
  if (name != "codesign_engine") throw 1;
}
inline int kernel::group_id(int argument) const { return 100 + argument; }
inline std::uint32_t kernel::read_register(std::uint32_t) const { return 4; }
inline ert_cmd_state run::wait(const std::chrono::milliseconds&) const { return ERT_CMD_STATE_COMPLETED; }
// What the kernel finds in its memories goes into a file for each; its results come out of one.
inline void keep(int call, int place, const bo& buffer) {
  memory& own = of(buffer);
  if (own.argument != 100 + place) throw 2;
  const std::string name = "call" + std::to_string(call) + "." + std::to_string(place);
  std::ofstream(name, std::ios::binary).write(own.card.data(), own.card.size());
  if (place != 1) return;
  std::ifstream file("answer.bin", std::ios::binary);
  own.card.assign(own.host.size(), 0);
  file.read(own.card.data(), own.card.size());
}
inline void keep(int call, int place, int number) {
  std::ofstream("call" + std::to_string(call) + "." + std::to_string(place)) << number;
}
inline int calls = 0;
template <typename... Arguments> run called(Arguments&&... arguments) {
  int place = 0;
  (keep(calls, place++, arguments), ...);
  ++calls;
  return run();
}
}
"""


@pytest.mark.parametrize(("external", "flipped"), [(True, None), (True, 0), (False, None), (False, -1)])
def test_the_xrt_driver_runs_the_kernel(tmp_path: Path, external: bool, flipped: int | None) -> None:
    """Against a card in memory, whose kernel keeps what it reads and knows what it must give."""
    design = everywhere("u50")
    if not external:
        # Words of 20 bytes, which are no whole beats of 8; of 12 rows, 4 at a time in 3 parts of two beats.
        array = replace(ARRAY, axi_ports=0, weight_port_bits=160, rows=12, requant_interval=3)
        design = design_of_runs(load_board("u50"), [random_run(array, SHAPES[:2], 10, 2)])
    buffers = 5 if external else 3
    (run,) = design.runs
    files = hls_files(design)
    write_project(tmp_path / "p", files)
    folder = tmp_path / "p" / "drivers"
    (folder / "xrt").mkdir()
    declared = XRT.replace(
        "(Arguments&&...) { return run(); }", "(Arguments&&... given) { return called(given...); }"
    ).replace("struct kernel;", "struct kernel;\ntemplate <typename... Arguments> run called(Arguments&&...);", 1)
    (folder / "xrt" / "xrt_kernel_declared.h").write_text(declared)
    for name in ("bo", "device", "kernel"):
        (folder / "xrt" / f"xrt_{name}.h").write_text(XRT_THAT_RUNS)
    beats = [result_beats(design.accelerator, y) for y in run.results]
    answer = np.concatenate([part.reshape(-1) for part in beats])
    if flipped is not None:
        # The first feature's first token; the last one's, which stands before the beats' padding.
        differs = np.flatnonzero(beats[-1] != result_beats(design.accelerator, changed_last(run.results[-1])))
        last = answer.size - beats[-1].size + int(differs[0])
        answer[0 if flipped == 0 else last] ^= 1
    (folder / "answer.bin").write_bytes(answer.tobytes())
    command = ["g++", "-std=c++17", "-O1", "-I.", "engine_xrt.cpp", "-o", "host"]
    subprocess.run(command, cwd=folder, check=True)
    told = subprocess.run(["./host", "x.xclbin", ".."], cwd=folder, capture_output=True, text=True, check=False)
    outputs = sum(y.size for y in run.results)
    wrong = 0 if flipped is None else 1
    assert (told.stdout, told.returncode) == (f"{outputs} outputs, {wrong} mismatches\n", wrong), told.stderr
    # Arguments in the kernel's order: activations, results, weights, any ports; load, first, layers, tokens.
    numbers = [
        [int((folder / f"call{call}.{place}").read_text()) for place in range(buffers, buffers + 4)]
        for call in (0, 1)
    ]
    assert numbers == [[1, 0, 0, 0], [0, 0, len(run.results), 10]]
    read = [(folder / f"call1.{place}").read_bytes() for place in range(buffers)]
    assert read[0] == b"".join(activation_beats(design.accelerator, x).tobytes() for x in run.activations)
    assert (folder / "call0.2").read_bytes() == uram_beats(design.accelerator, design.images).tobytes()
    if external:
        whole = np.frombuffer(files["weights/ddr.bin"], np.uint8).reshape(-1, 2, 8)
        assert read[3:] == [whole[:, port].tobytes() for port in range(2)]


def changed_last(results: np.ndarray) -> np.ndarray:
    """Results whose last feature's last token is another."""
    found = results.copy()
    found[-1, -1] ^= 1
    return found


def test_the_xrt_driver_does_not_wait_for_ever(tmp_path: Path) -> None:
    files = hls_files(everywhere("u50"))
    write_project(tmp_path / "p", files)
    folder = tmp_path / "p" / "drivers"
    (folder / "xrt").mkdir()
    (folder / "xrt" / "xrt_kernel_declared.h").write_text(XRT)
    for name in ("bo", "device", "kernel"):
        (folder / "xrt" / f"xrt_{name}.h").write_text(XRT_THAT_HANGS)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I.", "engine_xrt.cpp", "-o", "host"]
    subprocess.run(command, cwd=folder, check=True)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = ["./host", "x.xclbin", *map(str, arguments)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    # 1000 times 122 cycles at 200 MHz are less than the second that every call is given.
    hung = run("..")
    assert hung.returncode == 2
    assert "codesign_engine is not done after 1.000000 s" in hung.stderr
    assert "state of the call is 8" in hung.stderr
    assert "control register 0x00 is 0x00000001" in hung.stderr
    assert len(hung.stderr.splitlines()) == 1
    # The longer time is the one that was asked for; the kernel of this test then gives zeros.
    patient = run("..", 2.5)
    assert patient.returncode == 1
    assert "mismatches" in patient.stdout
    assert "runs.txt: cannot be read" in run("none").stderr
    assert run("..", "soon").returncode == 2


ALVEO = [name for name in board_names() if load_board(name).vitis.flow_target == "vitis"]
# Banks of the memory that the ports lead to, from the vendor's guides.
BANKS = {"u50": ("HBM", 32), "u280": ("HBM", 32), "u250": ("DDR", 4)}


@pytest.mark.parametrize("board", ALVEO)
@pytest.mark.parametrize("own", [(), ("activations", "results"), ("activations", "results", "weights")])
def test_every_port_is_linked_to_a_bank_that_the_card_has(board: str, own: tuple[str, ...]) -> None:
    """For every number of ports that the board has: no bank that is not there, and none with two ports more."""
    found = load_board(board)
    assert found.fastest_memory.banks
    _, count = BANKS[board]
    assert (found.fastest_memory.banks.tag, found.fastest_memory.banks.count) == BANKS[board]
    for ports in range(1, found.axi.ports + 1):
        external = [f"external_{number}" for number in range(ports)]
        banks = assign_banks([*own, *external], count)
        assert list(banks) == [*own, *external]
        for names in (external, [*own, *external]):
            per_bank = [[banks[name] for name in names].count(bank) for bank in range(count)]
            assert sum(per_bank) == len(names)
            assert max(per_bank) - min(per_bank) <= 1
        # As far apart as they can be: on average, the distance of neighbours is that of an even spread.
        assert [banks[name] for name in external] == [number * count // ports for number in range(ports)]
    # More ports than banks, as a board of one's own may have.
    many = assign_banks([*own, *(f"external_{number}" for number in range(3 * count))], count)
    per_bank = [list(many.values()).count(bank) for bank in range(count)]
    assert max(per_bank) - min(per_bank) <= 1


@pytest.mark.parametrize("board", ALVEO)
def test_link_cfg_connects_every_port_once(board: str) -> None:
    ports = 1 << (load_board(board).axi.ports.bit_length() - 1)
    array = replace(ARRAY, axi_ports=ports, axi_port_bits=32, weight_port_bits=ports * 32)
    design = design_of_runs(load_board(board), [random_run(array, SHAPES, 10, 2)])
    files = hls_files(design)
    linked = re.findall(r"^sp=codesign_engine_1\.(\w+):(\w+)\[(\d+)\]$", files["link.cfg"].decode(), flags=re.M)
    memories = {p["port"] for p in pragmas(files["src/engine.cpp"].decode()) if p["mode"] == "m_axi"}
    assert len(memories) == ports + 3
    assert sorted(name for name, _, _ in linked) == sorted(memories)
    tag, count = BANKS[board]
    assert {name for _, name, _ in linked} == {tag}
    assert {int(number) for _, _, number in linked} == set(range(count))


def test_what_does_not_fit_into_a_bank_is_refused() -> None:
    small = load_board("u50").model_copy(
        update={"memories": [load_board("u50").memories[0].model_copy(update={"bytes": 32 * 16})]}
    )
    with pytest.raises(InputError, match=r"what lies in HBM\[\d+\] of u50 does not fit there"):
        hls_files(replace(everywhere("u50"), board=small))


# ---- Vitis.


@pytest.mark.parametrize(
    ("board", "part", "flow", "format"),
    [("zcu104", "xczu7ev-ffvc1156-2-e", "vivado", "ip_catalog"), ("u50", "xcu50-fsvh2104-2-e", "vitis", "xo")],
)
def test_what_new_and_old_vitis_are_told_is_the_same(board: str, part: str, flow: str, format: str) -> None:
    """A design for 200 MHz."""
    files = hls_files(everywhere(board))
    config, script = files["hls_config.cfg"].decode(), files["run_hls.tcl"].decode()
    told = dict(line.split("=", 1) for line in config.splitlines() if "=" in line and line[0] not in "#[")
    for key in ("tb.file", "syn.file"):
        told.pop(key)
    assert told == {
        "part": part,
        "flow_target": flow,
        "clock": "5.000ns",
        "clock_uncertainty": "12.5%",
        "syn.top": "codesign_engine",
        "syn.cflags": "-std=c++14 -Isrc",
        "tb.cflags": "-std=c++14 -Isrc -Itb",
        "cosim.argv": "--first-run-only --rtl",
        "package.output.format": format,
        "package.ip.name": "codesign_engine",
        "package.ip.version": "1.0.0",
    }
    listed = re.findall(r"^(syn|tb)\.file=(.*)$", config, flags=re.M)
    assert listed == [("syn", "src/engine.cpp"), *(("tb", n) for n in ("tb/testbench.cpp", "weights", "vectors"))]
    for line in (
        "open_project -reset work",
        "set_top codesign_engine",
        'add_files $folder/src/engine.cpp -cflags "-std=c++14 -I$folder/src"',
        'add_files -tb $folder/tb/testbench.cpp -cflags "-std=c++14 -I$folder/src -I$folder/tb"',
        "add_files -tb $folder/weights",
        "add_files -tb $folder/vectors",
        f"open_solution -reset solution -flow_target {flow}",
        f"set_part {part}",
        "create_clock -period 5.000 -name default",
        "set_clock_uncertainty 12.5%",
        'if {"csim" in $steps} { csim_design -argv "$folder" }',
        'if {"cosim" in $steps} { cosim_design -argv "$folder --first-run-only --rtl" }',
        f"  export_design -format {format} -ipname codesign_engine -version 1.0.0",
    ):
        assert line in script.splitlines(), line
    if flow == "vitis":
        lines = [
            line for line in files["link.cfg"].decode().splitlines() if line and not line.startswith(("#", "sp="))
        ]
        assert lines == [
            "platform=xilinx_u50_gen3x16_xdma_5_202210_1",
            "[connectivity]",
            "nk=codesign_engine:1:codesign_engine_1",
            "[clock]",
            "defaultFreqHz=200000000",
        ]


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="no Tcl here")
@pytest.mark.parametrize("steps", ["csynth", "cosim", "package", None])
def test_the_tcl_script_asks_vitis_for_the_steps(steps: str | None, tmp_path: Path) -> None:
    write_project(tmp_path / "p", hls_files(everywhere()))
    commands = (
        "open_project set_top add_files open_solution set_part create_clock set_clock_uncertainty csim_design"
        " csynth_design cosim_design export_design"
    )
    fake = f'foreach name {{{commands}}} {{ proc $name args "puts \\"$name \\$args\\"" }}\nsource p/run_hls.tcl\n'
    (tmp_path / "fake.tcl").write_text(fake)
    environment = {"PATH": "/usr/bin:/bin"} | ({"CODESIGN_STEPS": steps} if steps else {})
    command = ["tclsh", "fake.tcl"]
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    called = [line.split()[0] for line in shown.splitlines()]
    assert "set_part xczu7ev-ffvc1156-2-e" in shown
    assert "create_clock -period 5.000 -name default" in shown
    run = [name for name in called if name.endswith("_design")]
    assert (
        run
        == {
            "csynth": ["csynth_design"],
            "cosim": ["csynth_design", "cosim_design"],
            "package": ["csynth_design", "export_design"],
            None: ["csim_design", "csynth_design", "cosim_design", "export_design"],
        }[steps]
    )
    for path in re.findall(r"add_files (?:-tb )?(\S+)", shown):
        assert Path(path).exists()


def test_make_uses_the_vitis_that_is_there(tmp_path: Path) -> None:
    write_project(tmp_path / "p", hls_files(everywhere()))

    def make(target: str, *tools: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "-".join(("bin", *tools))
        folder.mkdir(exist_ok=True)
        for tool in tools:
            (folder / tool).write_text(f'#!/bin/sh\necho {tool} "$@" steps=$CODESIGN_STEPS\n')
            (folder / tool).chmod(0o755)
        environment = {"PATH": f"{folder}:/usr/bin:/bin"}
        command = ["make", "-s", "-C", str(tmp_path / "p"), target]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    new = make("csynth", "v++", "vitis-run")
    assert new.stdout.strip() == "v++ -c --mode hls --config hls_config.cfg --work_dir work steps="
    new = make("cosim", "v++", "vitis-run")
    assert new.stdout.splitlines()[1].startswith(
        "vitis-run --mode hls --config hls_config.cfg --work_dir work --cosim"
    )
    old = make("package", "vitis_hls")
    assert old.stdout.strip() == "vitis_hls -f run_hls.tcl steps=package"
    none = make("csynth")
    assert none.returncode != 0
    assert none.stderr.splitlines()[0].startswith("no Vitis on the PATH")
    config = (tmp_path / "p" / "hls_config.cfg").read_text()
    assert re.search(r"^part=.*\n\n\[hls\]\n", config, flags=re.M)
    for path in re.findall(r"^(?:syn|tb)\.file=(.*)$", config, flags=re.M):
        assert (tmp_path / "p" / path).exists()


def test_a_project_in_a_folder_with_spaces(tmp_path: Path) -> None:
    """g++ takes it; Vitis does not, which is said."""
    from codesign.simulation.toolchain import hls_headers

    place = tmp_path / "sp ace's"
    write_project(place / "p", hls_files(everywhere()))
    wheel = place / "wheel"
    (wheel / "templates" / "vivado").mkdir(parents=True)
    (wheel / "templates" / "vivado" / "ap_types").symlink_to(hls_headers())
    (place / "python").write_text(f'#!/bin/sh\necho "{wheel}"\n')
    (place / "python").chmod(0o755)

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin"}
        command = ["make", "-C", str(place / "p"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    told = make("-n", "csim", f"PYTHON={place / 'python'}")
    assert told.returncode == 0, told.stderr
    assert f'-isystem "{wheel}/templates/vivado/ap_types" -Isrc' in told.stdout
    compiled = make("build/engine.o", f"PYTHON={place / 'python'}", "CXXFLAGS=-O0 -fsyntax-only")
    assert compiled.returncode == 0, compiled.stderr
    refused = make("csynth")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"{place / 'p'}: Vitis takes no spaces in the path of a project")
    if shutil.which("tclsh"):
        told = subprocess.run(["tclsh", place / "p" / "run_hls.tcl"], capture_output=True, text=True, check=False)
        assert (told.returncode, told.stderr) == (2, refused.stderr.splitlines()[0] + "\n")


def test_an_interpreter_that_make_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    line = hls_files(everywhere())["local.mk"].decode().splitlines()[1]
    assert line == f"GENERATOR_PYTHON := {sys.executable}"
    monkeypatch.setattr(sys, "executable", "/tmp/$(shell touch x)/python#")
    assert hls_files(everywhere())["local.mk"].decode().splitlines()[1] == "GENERATOR_PYTHON :="


# What could end a comment or a string, or go on behind the end of a line, in C++, SystemVerilog, Tcl, make, Markdown.
HOSTILE = 'x*/ #error "\\\n??/\nexec rm -rf / [exec x] $(shell x) `x` \u202e <script> {{ 7 }} é \\'


@pytest.mark.parametrize("board", ["zcu104", "u50"])
def test_names_do_nothing_in_generated_files(board: str) -> None:
    design = everywhere(board)
    matrices = tuple(m.model_copy(update={"name": HOSTILE}) for m in design.images.matrices)
    hostile = replace(design, title=HOSTILE, images=replace(design.images, matrices=matrices))
    safe = "x_/ _error _____/_exec rm -rf / _exec x_ _(shell x) _x_ _ _script_ __ 7 __ é _"
    plain = replace(
        design,
        title="x",
        images=replace(
            design.images, matrices=tuple(m.model_copy(update={"name": "x"}) for m in design.images.matrices)
        ),
    )
    files, wanted = hls_files(hostile), hls_files(plain)
    assert set(files) == set(wanted)
    for name, data in files.items():
        if name not in ("manifest.json", "weights/features.json", "weights/manifest.json"):
            # Line for line the same, but for the name, which stands in one piece.
            lines = [line.replace(safe, "x") for line in data.decode(errors="replace").splitlines()]
            assert lines == wanted[name].decode(errors="replace").splitlines(), name
    sources = rtl_files(design.accelerator, DspType.DSP48E2, hostile.images, HOSTILE)
    for name in ("engine_pkg.sv", "engine_top.v"):
        assert safe in sources[name].decode()
        assert "exec" not in sources[name].decode().replace(safe, "")


# ---- The command.


def test_the_command_from_design_to_c_simulation(
    codesign: Run, quantised: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = codesign("gen-hls", "-o", "out")
    assert told.code == 2
    assert "build: no design folder here" in told.err
    for name in ("old", "new"):
        shutil.copytree(quantised("bert"), tmp_path / "build" / name / "design")
    (tmp_path / "build" / "new" / "design" / "design.yaml").touch()
    # What a kill has left half written is no design.
    half = tmp_path / "build" / "new" / "design" / ".codesign-new-x"
    half.mkdir()
    (half / "design.yaml").touch()
    os.utime(half / "design.yaml", (2e9, 2e9))
    told = codesign("gen-hls", "-o", "out")
    assert told.code == 0, told.err
    assert "No design given: build/new/design is the newest." in told.out
    assert re.search(r"wrote out: \d+ files", told.out)
    made = subprocess.run(["make", "-C", "out", "csim", "CXXFLAGS=-O1"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert "every output bit is the integer model's, every trip the hardware model's" in made.stdout
    # Again: the same bytes, and only with --force into the same folder.
    told = codesign("gen-hls", "build/new/design", "-o", "again")
    assert told.code == 0
    files = {
        p.relative_to("out"): p.read_bytes() for p in Path("out").rglob("*") if p.is_file() and "build" not in p.parts
    }
    assert files == {p.relative_to("again"): p.read_bytes() for p in Path("again").rglob("*") if p.is_file()}
    told = codesign("gen-hls", "build/new/design", "-o", "out")
    assert (told.code, told.err) == (
        2,
        "codesign: out: there is already what codesign gen-hls wrote; accepted: --force to replace it, or another"
        " --output-dir\n",
    )
    told = codesign("gen-hls", "build/new/design", "-o", "out", "--force", "--interface", "axis")
    assert told.code == 0, told.err
    assert "mode=axis" in Path("out/src/engine.cpp").read_text()
    assert Path("out/build/csim").is_file()  # not what gen-hls wrote


def test_bad_input_is_one_line(codesign: Run, quantised: Callable[[str], Path], tmp_path: Path) -> None:
    design = quantised("bert")

    def refused(*arguments: object) -> str:
        told = codesign("gen-hls", *arguments, "-o", tmp_path / "out")
        assert told.code == 2
        assert not (tmp_path / "out").exists()
        (line,) = told.err.splitlines()
        return line

    assert "none: no such folder; accepted: a design folder" in refused(tmp_path / "none")
    assert "no design.yaml here" in refused(tmp_path)
    assert "--interface: not accepted (got 'axi'); accepted: m_axi, axis" in refused(design, "--interface", "axi")
    assert "has other DSPs than pynq-z2" in refused(design, "--board", "pynq-z2")
    assert "the design is for another board (got 'u50')" in refused(design, "--board", "u50")
    for damage, message in (
        (
            lambda folder: (folder / "weights.safetensors").write_bytes(b"x"),
            "weights.safetensors: truncated or changed",
        ),
        (
            lambda folder: (folder / "images" / "index.bin").unlink(),
            "index.bin: images.index: the manifest names this file",
        ),
        (
            lambda folder: (folder / "images" / "index.bin").write_bytes(b"x"),
            "index.bin: images.index: truncated or overlong",
        ),
        (
            lambda folder: (folder / "design.yaml").write_text(
                (folder / "design.yaml").read_text().replace("codesign-design-5", "codesign-design-0")
            ),
            "format version (got 'codesign-design-0'); accepted: codesign-design-5: run codesign quantize again",
        ),
    ):
        copy = tmp_path / "copy"
        shutil.copytree(design, copy)
        damage(copy)
        assert message in refused(copy)
        shutil.rmtree(copy)


def test_the_features_of_whole_matrices() -> None:
    design = everywhere()
    features = [
        Features(
            m.in_features + 1,
            np.delete(np.arange(m.in_features + 1), 2),
            WholeResults(
                np.delete(np.arange(m.out_features + 2), [1, m.out_features]),
                np.arange(m.out_features + 2).astype(np.int8),
            ),
        )
        for m in design.packed
    ]
    found = json.loads(hls_files(replace(design, features=features))["weights/features.json"])
    assert found == [
        {
            "name": place.name,
            "inputs": m.in_features + 1,
            "unread": [2],
            "outputs": m.out_features + 2,
            "constant": [1, m.out_features],
            "values": [1, m.out_features],
        }
        for place, m in zip(design.images.matrices, design.packed, strict=True)
    ]
    plain = json.loads(hls_files(design)["weights/features.json"])
    assert [(p["inputs"], p["unread"], p["outputs"], p["constant"]) for p in plain] == [
        (m.in_features, [], m.out_features, []) for m in design.packed
    ]
