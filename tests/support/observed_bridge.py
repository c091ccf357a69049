"""`python -m tests.support.observed_bridge`: the demo's bridge, which on SIGUSR1 also tells whose sources it has.

It then writes one event `sources` with `endpoints` (room -> endpoint -> SSRCs) and `own` (room -> its own SSRCs).
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

from focus.demo.bridge import __main__ as program
from focus.demo.bridge.service import Bridge


class ObservedBridge(Bridge):
    """A bridge that can be asked for its sources."""

    def __init__(self, options: Any, journal: Any, knobs: Any = None) -> None:
        super().__init__(options, journal, knobs)
        self._told = journal

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.tell)
        await super().run()

    def tell(self) -> None:
        """Write the event."""
        conferences = [*self.table.conferences.values(), *self.channels.conferences.values()]
        self._told.note(
            "sources",
            endpoints={
                conference.label: {
                    endpoint.id: sorted(source.ssrc for source in endpoint.sources.sources)
                    for endpoint in conference.endpoints.values()
                }
                for conference in conferences
            },
            own={conference.label: list(conference.feedback) for conference in conferences},
        )


if __name__ == "__main__":
    program.Bridge = ObservedBridge  # type: ignore[misc]
    sys.exit(program.main())
