"""What a test can make the bridge do wrong (K-1163, B-1155), by option or by a line on a named pipe or standard input.

One command a line:

    delay SECONDS                     answer Colibri requests that much later; 0 ends it
    drop COUNT | drop always | drop 0 execute, but do not answer
    error KIND CONDITION [REASON] [COUNT | always]
                                      refuse without executing; KIND is create-conference, create-endpoint, update,
                                      expire or any; COUNT defaults to 1
    forget endpoint ID                lose one endpoint silently, wherever it is
    forget conference ID              lose it silently; ID is the id of meeting or conference, or the room's local part
    graceful                          enter graceful shutdown
    drain on | off                    the flag in the statistics
    health ok | fail | silent         how health checks are answered
    form early | late | last          which years' Colibri 1 (see channels); late at start
    stat NAME VALUE                   say that in the statistics from now on
    leave                             leave the brewery and do not come back
    quit                              end the program
"""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Tuple

KINDS = ("create-conference", "create-endpoint", "update", "expire", "any")
ALWAYS = 1 << 30


class BadCommand(ValueError):
    """A control line that is not understood."""


class ScriptedError(NamedTuple):
    """An error to be answered instead of executing the request."""

    condition: str
    reason: str


class Knobs:
    """The switches themselves; `Action`s, which happen once, are returned by `command`."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.health = "ok"
        self.drain = False
        self.stats: Dict[str, str] = {}
        self._drops = 0
        self._errors: Dict[str, Tuple[ScriptedError, int]] = {}

    def command(self, line: str) -> Optional[List[str]]:
        """Obey one line. Returns the words of an action that the service must carry out, or None. Raises BadCommand."""
        words = line.split()
        if not words:
            return None
        try:
            return self._obey(words[0], words[1:])
        except (IndexError, ValueError) as error:
            raise BadCommand("not understood: %s (%s)" % (line.strip(), error)) from error

    def _obey(self, name: str, words: List[str]) -> Optional[List[str]]:
        if name == "delay":
            self.delay = max(0.0, float(words[0]))
        elif name == "drop":
            self._drops = _count(words[0])
        elif name == "error":
            self._script_error(words)
        elif name == "drain" and words[0] in ("on", "off"):
            self.drain = words[0] == "on"
        elif name == "health" and words[0] in ("ok", "fail", "silent"):
            self.health = words[0]
        elif name == "stat":
            self.stats[words[0]] = words[1]
        elif name == "forget" and words[0] in ("endpoint", "conference"):
            return [name, words[0], words[1]]
        elif name == "form" and words[0] in ("early", "late", "last"):
            return [name, words[0]]
        elif name in ("graceful", "leave", "quit"):
            return [name]
        else:
            raise ValueError("unknown command or value")
        return None

    def _script_error(self, words: List[str]) -> None:
        kind, condition, rest = words[0], words[1], words[2:]
        if not re.fullmatch("[a-z-]+", condition):
            raise ValueError("not the name of a condition")
        if kind not in KINDS:
            raise ValueError("kind must be one of %s" % ", ".join(KINDS))
        count = _count(rest.pop()) if rest and (rest[-1] == "always" or rest[-1].isdigit()) else 1
        self._errors[kind] = (ScriptedError(condition, rest[0] if rest else ""), count)

    def take_drop(self) -> bool:
        """Whether the answer that is due now is to be left out."""
        if self._drops:
            self._drops -= 1
            return True
        return False

    def take_error(self, of_request: str) -> Optional[ScriptedError]:
        """The error scripted for a request of this kind, or None."""
        for kind in (of_request, "any"):
            if kind in self._errors:
                error, count = self._errors[kind]
                if count <= 1:
                    del self._errors[kind]
                elif count < ALWAYS:
                    self._errors[kind] = (error, count - 1)
                return error
        return None


def _count(word: str) -> int:
    return ALWAYS if word == "always" else int(word)
