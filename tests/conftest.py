"""What holds for all tests."""
from __future__ import annotations

from hypothesis import settings

# A busy machine is no failure: tests measure time only where time is their subject.
settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")
