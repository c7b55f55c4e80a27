"""The planted faults are of the engine as it is. (Whether they are caught: make -C sim faults.)"""

from __future__ import annotations

import pytest

from codesign.simulation.faults import FAULTS, Fault, places


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_what_it_changes_is_there_once(fault: Fault) -> None:
    assert places(fault) == 1
    assert fault.wrong != fault.right


def test_there_are_enough() -> None:
    assert len({fault.what for fault in FAULTS}) == len(FAULTS) >= 30
