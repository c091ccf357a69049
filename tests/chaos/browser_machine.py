"""How busy the machine was during a run: load average, and time that the hypervisor gave to others (steal)."""

from __future__ import annotations

from typing import List, NamedTuple


class Load(NamedTuple):
    """Shares of the processors' time between two moments, in percent, and the load averages at the end."""

    busy: float
    steal: float
    load1: float
    load5: float

    def __str__(self) -> str:
        return "busy %.0f %%, steal %.1f %%, load %.2f (1 min) %.2f (5 min)" % self


class Watch:
    """Begins to watch when it is made."""

    def __init__(self) -> None:
        self._begin = _times()

    def stop(self) -> Load:
        """What was so since then."""
        spent = [now - then for now, then in zip(_times(), self._begin)]
        total = max(1, sum(spent))
        idle, steal = spent[3] + spent[4], spent[7]
        with open("/proc/loadavg", encoding="ascii") as file:
            load = file.read().split()
        return Load(100.0 * (total - idle - steal) / total, 100.0 * steal / total, float(load[0]), float(load[1]))


def _times() -> List[int]:
    """user, nice, system, idle, iowait, irq, softirq, steal of all processors together, in ticks."""
    with open("/proc/stat", encoding="ascii") as file:
        return [int(word) for word in file.readline().split()[1:9]]
