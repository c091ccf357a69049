"""``python -m focus.config ini|page``: prints the files that are made from the table of options."""
from __future__ import annotations

import sys

from focus.config import pages

_PAGES = {"ini": pages.ini, "page": pages.page}


def main() -> int:
    """Prints one of the files; exit status 2 if none of that name is known."""
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in _PAGES:
        print("usage: python -m focus.config %s" % "|".join(_PAGES), file=sys.stderr)
        return 2
    sys.stdout.write(_PAGES[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
