"""What holds for all tests."""
from __future__ import annotations

from hypothesis import settings

# A busy machine is no failure: tests measure time only where time is their subject. And the same tests run each time:
# what a random search finds belongs into a table.
settings.register_profile("project", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("project")
