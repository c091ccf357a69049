"""The focus, started with the arguments of bin/jicofo, with a fault built in: a stanza with the word "poison" in an
attribute of its payload ends the process at once, as a crash of a library would.
"""
from __future__ import annotations

import os
import sys
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if sys.path[0] != ROOT:
    sys.path[0] = ROOT

from focus import router  # noqa: E402
from focus.cli import main  # noqa: E402


def poisonable(original: Any) -> Any:
    def parse_stanza(element: Any) -> Any:
        if any("poison" in value for child in element.iter() for value in child.attrib.values()):
            os._exit(9)
        return original(element)
    return parse_stanza


if __name__ == "__main__":
    router.parse_stanza = poisonable(router.parse_stanza)
    sys.exit(main())
