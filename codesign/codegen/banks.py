"""Which bank of external memory each port of a kernel is linked to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

EXTERNAL = "external_"
"""How the names of ports to external weights begin."""


def assign_banks(ports: Sequence[str], count: int) -> dict[str, int]:
    """The number of each port's bank, from 0 to ``count`` − 1.

    Ports to external weights, which are read all the time and at once, lie as far apart as the banks allow; the
    others go to the banks with the fewest ports. No bank has more than one port above another.

    Args:
        ports: Names, in the kernel's order.
        count: Of banks.
    """
    external = [name for name in ports if name.startswith(EXTERNAL)]
    found = {
        name: number * count // len(external) if len(external) <= count else number % count
        for number, name in enumerate(external)
    }
    used = Counter(found.values())
    for name in ports:
        if name not in found:
            found[name] = min(range(count), key=lambda bank: (used[bank], bank))
            used[found[name]] += 1
    return {name: found[name] for name in ports}
