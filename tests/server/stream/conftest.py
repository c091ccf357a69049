"""What the tests of connections share: servers, inboxes, and connections that are stopped afterwards."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support.connections import TickingInbox
from tests.support.prosody import Prosody

SECRETS = ("focus-password", "jvb-password", "component-secret", "wrong-one")


@pytest.fixture(scope="module")
def prosody():
    with Prosody(smacks_max_queue_size=50000) as server:
        yield server


@pytest.fixture(scope="module")
def mended_prosody():
    """Prosody with the module that mends its resumption after a connection that broke within a stanza."""
    modules = Path(__file__).parents[3] / "conf" / "prosody" / "modules"
    mended = 'VirtualHost "auth.meet.example"\n  modules_enabled = { "smacks_resume_fix" }\n'
    with Prosody(smacks_max_queue_size=50000, extra_global='plugin_paths = { "%s" }' % modules,
                 extra_hosts=mended) as server:
        yield server


@pytest.fixture
def logged(caplog):
    """Finds the log records that hold a text; at the end nothing secret may be in any."""
    caplog.set_level(logging.DEBUG)
    yield lambda text: [record for record in caplog.records if text in record.getMessage()]
    for secret in SECRETS:
        assert secret not in caplog.text


@pytest.fixture
def peers():
    """Makes connections that are stopped afterwards."""
    made = []

    def add(connection, start=True):
        made.append(connection)
        if start:
            connection.start()
        return connection

    yield add
    for connection in made:
        connection.stop()


@pytest.fixture
def inboxes():
    made = []

    def add(**settings):
        made.append(TickingInbox(**settings))
        return made[-1]

    yield add
    for inbox in made:
        inbox.close()
