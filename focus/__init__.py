"""A conference focus for Jitsi Meet."""
from __future__ import annotations

__version__ = "1.0.0"
