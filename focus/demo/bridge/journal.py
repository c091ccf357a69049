"""What the bridge tells about itself: one line an event on standard error, or on standard output as JSON.

Events of an endpoint's way into a call carry the room, the endpoint and the wall clock in milliseconds, so that a
timeline can be made of them: endpoint_created, ice_connected, dtls_connected, first_audio, first_video, channel_open,
endpoint_gone. Secrets never come here.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, TextIO


class Journal:
    """Writes events. `json_lines`: one JSON object a line, with keys `t` (wall clock, ms) and `event`."""

    def __init__(self, json_lines: bool = False, stream: TextIO | None = None) -> None:
        self._json = json_lines
        self._stream = stream or (sys.stdout if json_lines else sys.stderr)

    def note(self, event: str, **facts: Any) -> None:
        """Write one event with its facts."""
        now = time.time()
        if self._json:
            line = json.dumps(dict(t=int(now * 1000), event=event, **facts))
        else:
            clock = time.strftime("%H:%M:%S", time.localtime(now)) + ".%03d" % (now % 1 * 1000)
            line = " ".join([clock, event] + ["%s=%s" % item for item in facts.items()])
        self._stream.write(line + "\n")
        self._stream.flush()
