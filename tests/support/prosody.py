"""The private Prosody of the demo, under the name that the tests use (see `focus.demo.prosody`)."""

from __future__ import annotations

from focus.demo.prosody import (
    COMPONENT_SECRET,
    DOMAIN,
    PASSWORDS,
    USER_DOMAIN,
    Prosody,
    ProsodyFailed,
    free_ports,
)

__all__ = ["COMPONENT_SECRET", "DOMAIN", "PASSWORDS", "USER_DOMAIN", "Prosody", "ProsodyFailed", "free_ports"]
