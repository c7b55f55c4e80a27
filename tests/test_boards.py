from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from codesign.boards import board_names, load_board
from codesign.errors import InputError
from codesign.shipped import data_folder

# The vendor's device tables, written out by hand: LUT, FF, BRAM18, URAM, DSP, DSP type.
VENDOR = {
    "zcu104": (230400, 460800, 624, 96, 1728, "DSP48E2"),
    "kv260": (117120, 234240, 288, 64, 1248, "DSP48E2"),
    "zcu102": (274080, 548160, 1824, 0, 2520, "DSP48E2"),
    "ultra96-v2": (70560, 141120, 432, 0, 360, "DSP48E2"),
    "pynq-z2": (53200, 106400, 280, 0, 220, "DSP48E1"),
    "u250": (1728000, 3456000, 5376, 1280, 12288, "DSP48E2"),
    "u280": (1303680, 2607360, 4032, 960, 9024, "DSP48E2"),
    "u50": (871680, 1743360, 2688, 640, 5952, "DSP48E2"),
}


def test_all_boards_are_there() -> None:
    assert set(board_names()) == set(VENDOR)


@pytest.mark.parametrize("name", sorted(VENDOR))
def test_device_is_the_vendors(name: str) -> None:
    device = load_board(name).device
    totals = (device.lut, device.ff, device.bram18, device.uram, device.dsp, device.dsp_type.value)
    assert totals == VENDOR[name]
    assert load_board(name).name == name


@pytest.mark.parametrize("name", sorted(VENDOR))
def test_every_number_has_a_source(name: str) -> None:
    # Counted from the raw file, not by the code that checks it.
    content = yaml.safe_load((data_folder("boards") / f"{name}.yaml").read_text())
    sources = content.pop("sources")

    def numbers(value: object, path: str) -> list[str]:
        if isinstance(value, dict):
            return [p for k, v in value.items() for p in numbers(v, f"{path}.{k}" if path else k)]
        if isinstance(value, list):
            return [p for i, v in enumerate(value) for p in numbers(v, f"{path}.{i}")]
        return [path] if isinstance(value, int | float) else []

    for number in numbers(content, ""):
        assert any(number == key or number.startswith(f"{key}.") for key in sources), number
    assert all(re.search(r"\w{4}", source["text"]) for source in sources.values())


def test_a_path_works_as_well_as_a_name() -> None:
    assert load_board(data_folder("boards") / "kv260.yaml") == load_board("kv260")


def broken(tmp_path: Path, old: str, new: str) -> Path:
    """zcu104's file with one line changed."""
    text = (data_folder("boards") / "zcu104.yaml").read_text()
    assert text.count(old) >= 1
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


# (line, replacement, field, value as shown, a word of what is accepted)
BAD = [
    ("  lut: 230400", "  luts: 230400", "device.luts", "230400", "lut"),
    ("name: zcu104", "name: zcu104\ncolour: green", "colour", "green", "device"),
    ("  lut: 230400", "  lut: 0", "device.lut", "0", "greater than 0"),
    ("  dsp: 1728", "  dsp: -5", "device.dsp", "-5", "greater than 0"),
    ("  uram: 96", "  uram: -1", "device.uram", "-1", "greater than or equal to 0"),
    ("  lut: 0.70", "  lut: 1.2", "usable.lut", "1.2", "less than or equal to 1"),
    ("  lut: 0.70", "  lut: 0", "usable.lut", "0", "greater than 0"),
    ("  dsp_type: DSP48E2", "  dsp_type: DSP58", "device.dsp_type", "DSP58", "DSP48E1"),
    ("    bus_bits: 64", "    bus_bits: 72", "memories.0.bus_bits", "72", "power of two"),
    ("  port_bits: 128", "  port_bits: 100", "axi.port_bits", "100", "power of two"),
    ("  lut: 230400", "  lut: many", "device.lut", "many", "integer"),
    ("  lut: 230400", "  lut: 1.5", "device.lut", "1.5", "integer"),
    ("  default_mhz: 300", "  default_mhz: 900", "clock", "", "at most 600"),
    ("    gb_per_s: 17.06", "    gb_per_s: 30", "memories.0", "", "17.06"),
    ("  flow_target: vivado", "  flow_target: quartus", "vitis.flow_target", "quartus", "vivado"),
    # What reaches Tcl, make, C++ and pages is nothing but a name.
    ("part: xczu7ev-ffvc1156-2-e", "part: 'x\"; rm -rf /; \"'", "part", "rm -rf", "letters, digits"),
    ("part: xczu7ev-ffvc1156-2-e", "part: ''", "part", "''", "letters, digits"),
    ("part: xczu7ev-ffvc1156-2-e", 'part: "x\\n"', "part", "x", "letters, digits"),
    ("name: zcu104", "name: ZCU104", "name", "ZCU104", "lower-case letters"),
    ("name: zcu104", 'name: "a\\nb"', "name", "a", "lower-case letters"),
    ("title: AMD Zynq", "title: AMD */ Zynq", "title", "*/", "spaces"),
    ("title: AMD Zynq", "title: AMD \\ Zynq", "title", "AMD", "spaces"),
    ("  platform: xilinx", "  platform: a;xilinx", "vitis.platform", "a;xilinx", "letters, digits"),
    ("    banks: null", "    banks: {tag: 'DDR[0]\\nsp=x', count: 4}", "memories.0.banks.tag", "DDR", "letters"),
    ("    banks: null", "    banks: {tag: DDR, count: 0}", "memories.0.banks.count", "0", "greater than 0"),
]


@pytest.mark.parametrize(("old", "new", "field", "value", "accepted"), BAD, ids=[f"{b[1].strip()}" for b in BAD])
def test_bad_field_is_named(tmp_path: Path, old: str, new: str, field: str, value: str, accepted: str) -> None:
    path = broken(tmp_path, old, new)
    with pytest.raises(InputError) as error:
        load_board(path)
    message = str(error.value)
    assert str(path) in message
    assert f"{field}: " in message
    assert value in message
    assert accepted in message.partition("; accepted: ")[2]
    assert "\n" not in message


def test_ports_of_a_kernel_need_banks(tmp_path: Path) -> None:
    """Where v++ links it, and as many as there is room for: 15 ports at a bank (AMD UG1393)."""
    text = (data_folder("boards") / "u250.yaml").read_text()
    path = tmp_path / "mine.yaml"
    for old, new, message in (
        (
            "    banks: {tag: DDR, count: 4}\n",
            "",
            r"memories\.0\.banks: v\+\+ must be told .*accepted: a tag and a count",
        ),
        ("  ports: 4", "  ports: 58", r"axi\.ports: 58 ports and 3 of the kernel's own .*accepted: 57 or fewer"),
    ):
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        with pytest.raises(InputError, match=message):
            load_board(path)
    path.write_text(text.replace("  ports: 4", "  ports: 57"))
    assert load_board(path).axi.ports == 57


def test_banks_are_of_the_ports_memory() -> None:
    """The channels that the files name stand for the whole memory: UG1393 and UG1120 have 256 MB and 16 GB each."""
    sizes = {"u50": 256 << 20, "u280": 256 << 20, "u250": 16 << 30}
    for name in VENDOR:
        board = load_board(name)
        assert (board.fastest_memory.banks is None) == (name not in sizes)
        if board.fastest_memory.banks:
            assert board.fastest_memory.bytes // board.fastest_memory.banks.count == sizes[name]


def test_missing_field_is_named(tmp_path: Path) -> None:
    path = broken(tmp_path, "  dsp: 1728\n", "")
    with pytest.raises(InputError, match=r"mine\.yaml: device\.dsp: this field is missing"):
        load_board(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        load_board(tmp_path / "none.yaml")


def test_unknown_name_lists_the_boards() -> None:
    with pytest.raises(InputError, match=r"unknown board \(got 'zcu1004'\).*kv260.*zcu104"):
        load_board("zcu1004")


def test_bad_yaml_has_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: x\ndevice: {lut: 1\nusable: 2\n")
    with pytest.raises(InputError, match=r"mine\.yaml:3:7: not valid YAML"):
        load_board(path)


def test_field_given_twice(tmp_path: Path) -> None:
    path = broken(tmp_path, "  dsp: 1728", "  dsp: 1728\n  dsp: 9")
    with pytest.raises(InputError, match=r"mine\.yaml:\d+:3: .*'dsp' is given twice"):
        load_board(path)


def test_number_without_source(tmp_path: Path) -> None:
    path = broken(tmp_path, "  clock.default_mhz:\n    text:", "  clock.highest_mhz.x:\n    text:")
    with pytest.raises(InputError, match=r"no source for clock\.default_mhz"):
        load_board(path)


def test_source_of_nothing(tmp_path: Path) -> None:
    path = broken(tmp_path, "sources:\n", "sources:\n  device.gpu: {text: hearsay, confirmed: false}\n")
    with pytest.raises(InputError, match=r"'device\.gpu' is no field of this file"):
        load_board(path)


@pytest.mark.parametrize("content", ["", "- 1\n", "just text\n"])
def test_a_file_that_is_no_board(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"mine\.yaml"):
        load_board(path)
