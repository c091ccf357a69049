"""``python -m focus``, and what ``bin/jicofo`` starts in a checkout."""
from __future__ import annotations

import os
import sys

if not __package__:  # started by its path: the modules beside this one must not be found under their short names
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from focus.cli import main

if __name__ == "__main__":
    sys.exit(main())
