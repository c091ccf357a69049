"""The focus with short patience: the same program, whose waits on its connection last seconds instead of a minute.

It is started with the arguments of bin/jicofo. Tests take their deadlines from PATIENCE. Its journal is compared with
its memory, as in `checked_focus`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

#: module -> constants; each must be there already
PATIENCE = {
    "focus.xmpp.stream": {"CHECK_INTERVAL": 0.2, "IDLE": 1.5, "ANSWER_TIME": 3.0},
    "focus.xmpp.backoff": {"FIRST": 0.1, "STABLE": 0.0},
}


def main() -> int:
    """Set the constants and run the command line."""
    from focus import cli
    from focus.journal.keeper import Keeper
    from tests.support.checked_focus import checked

    for name, constants in PATIENCE.items():
        module = importlib.import_module(name)
        for constant, value in constants.items():
            if not hasattr(module, constant):
                raise AttributeError("%s has no %s any more" % (name, constant))
            setattr(module, constant, value)
    Keeper.commit = checked(Keeper.commit)  # type: ignore[method-assign]
    return cli.main()


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # not the folder of this file: its names are short ones
    sys.exit(main())
