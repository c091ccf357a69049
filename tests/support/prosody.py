"""The private Prosody of the demo, under the name that the tests use (see `focus.demo.prosody`)."""

from __future__ import annotations

import subprocess

from focus.demo.prosody import (
    COMPONENT_SECRET,
    DOMAIN,
    PASSWORDS,
    USER_DOMAIN,
    Prosody,
    ProsodyFailed,
    free_ports,
)

__all__ = ["COMPONENT_SECRET", "DOMAIN", "PASSWORDS", "USER_DOMAIN", "Prosody", "ProsodyFailed", "free_ports",
           "run_shell"]


def run_shell(server: Prosody, *command: str) -> None:
    """A command for a running server that has the module "admin_shell"."""
    done = subprocess.run(["prosodyctl", "--config", str(server.configuration), "shell", *command],
                          capture_output=True, text=True, timeout=20, check=False)
    assert "OK: " in done.stdout or "Result: " in done.stdout, done.stdout + done.stderr
