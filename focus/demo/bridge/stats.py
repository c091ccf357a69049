"""What the bridge publishes about itself, in the words of its generation (bridge.md 1.2, B-1004, B-1012).

Today's bridges say `drain`, `shutting_down`, `healthy` and `average_participant_stress`; those that speak Colibri 1
alone know none of these, and the early ones no `stress_level` either, only how many videos they carry. The bridges of
2022, which speak both, say all of it and `colibri2`.
"""

from __future__ import annotations

import datetime
import time
from typing import Callable, Dict

from focus import __version__
from focus.demo.bridge.channels import ChannelTable
from focus.demo.bridge.colibri import Table
from focus.demo.bridge.knobs import Knobs

STRESS_INTERVAL = 10.0
"""Seconds over which the load is measured (B-1121)."""
LOAD_THRESHOLD = 0.9


class Statistics:
    """The statistics of one bridge. `speaks` is 1, 2 or both; `fixed` stands in every report."""

    def __init__(
        self,
        speaks: str,
        table: Table,
        channels: ChannelTable,
        knobs: Knobs,
        endpoints: Callable[[], int],
        fixed: Dict[str, str],
    ) -> None:
        self._speaks = speaks
        self._table = table
        self._channels = channels
        self._knobs = knobs
        self._endpoints = endpoints
        self._fixed = fixed
        self._stress = 0.0
        self._measured = (time.monotonic(), time.process_time())

    def now(self) -> Dict[str, str]:
        """All of them, as name and value."""
        moment = datetime.datetime.now(datetime.timezone.utc)
        stats = {
            "version": __version__,
            "current_timestamp": moment.strftime("%Y-%m-%d %H:%M:%S.") + "%03d" % (moment.microsecond // 1000),
            "conferences": str(len(self._table.conferences) + len(self._channels.conferences)),
            "endpoints": str(self._endpoints()),
            "graceful_shutdown": _word(self._table.graceful_shutdown),
        }
        if self._speaks != "1":
            stats["shutting_down"] = "false"
            stats["drain"] = _word(self._knobs.drain)
            stats["healthy"] = _word(self._knobs.health == "ok")
            stats["average_participant_stress"] = "0.01"
        if self._speaks == "both":
            stats["colibri2"] = "true"
        if self._speaks == "1" and self._channels.form == "early":
            stats.update(self._videos())
        else:
            stats["stress_level"] = "%.3f" % self._load()
        stats.update(self._fixed)
        stats.update(self._knobs.stats)
        return stats

    def _videos(self) -> Dict[str, str]:
        """What early bridges were chosen by: channels of video, and streams of them (everybody gets everybody's)."""
        count = streams = 0
        for conference in self._channels.conferences.values():
            videos = sum(channel.content == "video" for channel in conference.channels.values())
            count += videos
            streams += videos * (videos - 1)
        return {"videochannels": str(count), "videostreams": str(streams)}

    def _load(self) -> float:
        wall, used = time.monotonic(), time.process_time()
        if wall - self._measured[0] >= STRESS_INTERVAL:
            self._stress = (used - self._measured[1]) / (wall - self._measured[0]) / LOAD_THRESHOLD
            self._measured = (wall, used)
        return self._stress


def _word(value: bool) -> str:
    return "true" if value else "false"
