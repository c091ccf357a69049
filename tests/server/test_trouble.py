"""What goes wrong between the focus and its server, and what the log says of it (pains.md, conference.md 10)."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from tests.support import media
from tests.support.certificates import TestAuthority
from tests.support.focus_process import FocusProcess
from tests.support.prosody import Prosody
from tests.support.relay import Relay
from tests.support.stage import (
    Stage,
    answers_to,
    full_prosody,
    is_ready,
    item,
    log_lines,
    unavailable_focus,
)

SECRETS = ("focus-password", "component-secret", "jvb-password", "not-the-password", "not-the-secret")


@pytest.fixture(scope="module")
def prosody() -> Iterator[Prosody]:
    """A server of our own; it keeps cut streams like a stock one, and can always resume them."""
    with full_prosody(mended=True) as server:
        yield server


class Trouble(Stage):
    """A stage whose focus is started by the test, with a relay between it and the server."""

    def __init__(self, prosody: Prosody, *options: str, relayed: bool = False, **settings: Any) -> None:
        process = FocusProcess(prosody, options=options, **settings)
        super().__init__(prosody, process)
        self.relay = Relay(self.loop, prosody.c2s_port) if relayed else None
        if self.relay is not None:
            process.options.append("--client_port=%d" % self.relay.port)

    def __exit__(self, *exception: object) -> None:
        status = self.focus.stop()
        super().__exit__(*exception)
        self.focus.discard()
        assert status in (0, None)

    def start(self, usable: bool = True, component: bool = True) -> None:
        """Start the focus, and wait until it can be asked."""
        self.focus.start()
        if not usable:
            return
        self.wait_log("Joined the brewery", 30)
        self.wait_log("Registered (resumed=false) client", 30)
        if component:
            self.wait_log("Registered (resumed=false) component", 30)

    def log(self) -> str:
        """All that the focus has logged, without any secret."""
        log = super().log()
        for secret in SECRETS:
            assert secret not in log
        return log

    def complaints(self) -> List[str]:
        """The lines for the operator."""
        return log_lines(self.log(), "WARNING", "SEVERE")

    def attempts(self, count: int, name: str = "client") -> List[str]:
        """Wait until that many attempts have failed; the lines for the operator about this connection until then."""
        self.wait(lambda: len(re.findall(r"reconnecting in: .*\(%s\)" % name, self.log())) >= count,
                  "%d attempts" % count, self.log, 20)
        before = self.log()
        found = [at.start() for at in re.finditer(r"reconnecting in: .*\(%s\)" % name, before)][count - 1]
        return [line for line in log_lines(before[:found], "WARNING", "SEVERE") if ": %s: " % name in line]


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Opens stages and closes them after the test."""
    made: List[Trouble] = []

    def opened(*arguments: Any, **settings: Any) -> Trouble:
        made.append(Trouble(*arguments, **settings))
        return made[-1]

    yield opened
    for one in made:
        one.__exit__(None, None, None)


# --- logging in -----------------------------------------------------------------------------------------------------


def test_the_focus_starts_before_its_server(stage: Any) -> None:
    """U-13, C-1032: one line an attempt, and when the server is there, all is well without being told."""
    with full_prosody() as prosody:
        prosody.stop()
        one = stage(prosody)
        one.start(usable=False)
        for name, port in (("client", prosody.c2s_port), ("component", prosody.component_port)):
            lines = one.attempts(2, name)
            assert len(lines) == 2
            assert all("127.0.0.1:%d" % port in line and "refused" in line and "Is the XMPP server running" in line
                       for line in lines)
        prosody.start()
        one.wait_log("Joined the brewery", 30)
        one.wait_log("Registered (resumed=false) component", 30)
        assert is_ready(one.client().ask(one.room(), one.focus.jid))
        assert is_ready(one.client().ask(one.room(), one.focus.component_jid))
        one.focus.stop()


def test_a_wrong_password(stage: Any, prosody: Prosody) -> None:
    """U-2: server, account, mechanism, where the password came from, and the command that repairs it."""
    one = stage(prosody, environment={"JICOFO_AUTH_PASSWORD": "not-the-password"})
    one.start(usable=False)
    lines = one.attempts(2)
    assert len(lines) == 2
    for line in lines:
        assert re.search(r"SASLError using SCRAM-SHA-\d+: not-authorized", line)
        for words in ("focus@" + prosody.user_domain, "127.0.0.1:%d" % prosody.c2s_port, "JICOFO_AUTH_PASSWORD",
                      "prosodyctl"):
            assert words in line
    assert "Traceback" not in one.log()
    answer = one.client().ask(one.room(), one.focus.component_jid)
    assert not is_ready(answer)  # what may heal isn't an error (C-262)
    assert one.focus.running


def test_a_certificate_of_another_authority(stage: Any, prosody: Prosody, tmp_path: Path) -> None:
    """U-8, C-1003: what the certificate is, and the way to trust it."""
    stranger = TestAuthority(tmp_path / "stranger")
    one = stage(prosody, "--ca_file=%s" % stranger.ca_file)
    one.start(usable=False)
    lines = one.attempts(2)
    assert len(lines) == 2
    for line in lines:
        assert "certificate of" in line and prosody.user_domain in line
        assert "ca_file" in line and re.search(r"([0-9A-Fa-f]{2}:){19,31}[0-9A-Fa-f]{2}|[0-9a-f]{64}", line)
        assert re.search("issue", line, re.IGNORECASE)


def test_a_wrong_component_secret(stage: Any, prosody: Prosody) -> None:
    """U-3: the user connection works meanwhile, and is asked."""
    one = stage(prosody, environment={"JICOFO_SECRET": "not-the-secret"})
    one.start(component=False)
    lines = one.attempts(2, "component")
    assert len(lines) == 2
    for line in lines:
        assert "component secret for %s not accepted by 127.0.0.1:%d" % (
            prosody.focus_component, prosody.component_port) in line
        assert "not-authorized, host:127.0.0.1, port:%d" % prosody.component_port in line
        assert "component_secret" in line and "JICOFO_SECRET" in line and "differ" in line
    assert is_ready(one.client().ask(one.room(), one.focus.jid))


def test_an_unknown_component(stage: Any, prosody: Prosody) -> None:
    """U-4: names the component asked for, and where Prosody wants it."""
    one = stage(prosody, "--subdomain=nobody")
    one.start(component=False)
    lines = one.attempts(2, "component")
    assert len(lines) == 2
    for line in lines:
        assert "host-unknown, host:127.0.0.1, port:%d" % prosody.component_port in line
        assert 'Component "nobody.%s"' % prosody.domain in line and "component_secret" in line
    assert is_ready(one.client().ask(one.room(), one.focus.jid))


def test_a_component_that_is_taken(stage: Any, prosody: Prosody) -> None:
    """S-711, U-4: no duel; the first one goes on."""
    first, second = stage(prosody), stage(prosody, "--resource=second")
    first.start()
    second.start(component=False, usable=False)
    lines = second.attempts(2, "component")
    assert len(lines) == 2 and all("conflict" in line and "already connected" in line for line in lines)
    assert is_ready(first.client().ask(first.room(), first.focus.component_jid))


def test_a_brewery_that_is_nowhere(stage: Any, prosody: Prosody) -> None:
    """U-18: says which room, and what Prosody needs; conferences work, without bridges."""
    one = stage(prosody, "--brewery_jid=jvbbrewery@nowhere.meet.example")
    one.start(usable=False)
    one.wait_log("Failed to create room", 30)
    lines = [line for line in one.complaints() if "brewery" in line]
    assert len(lines) == 1
    assert "jvbbrewery@nowhere.meet.example" in lines[0] and "admins" in lines[0] and "U-18" in lines[0]
    assert is_ready(one.client().ask(one.room(), one.focus.jid))


def test_a_wrong_user_domain(stage: Any, prosody: Prosody) -> None:
    """U-13, U-14: a host the server doesn't have; the line says what to compare."""
    one = stage(prosody, "--user_domain=nobody.meet.example", component=False)
    one.start(usable=False)
    lines = one.attempts(2)
    assert len(lines) == 2 and all("host-unknown" in line and "nobody.meet.example" in line for line in lines)


# --- the connection breaks in the middle of a call ------------------------------------------------------------------


def in_call(stage: Trouble, count: int = 2) -> Any:
    """A bridge and participants in a call."""
    bridge = stage.bridge()
    clients, room = [stage.client() for _ in range(count)], stage.room()
    stage.call(room, *clients)
    for client in clients:  # when this is answered, what the client said before has been heard
        assert client.request("get", client.focus, "<ping xmlns='urn:xmpp:ping'/>").get("type") == "result"
    return bridge, clients, room


def test_a_cut_stream_is_resumed_and_nobody_notices(stage: Any, prosody: Prosody) -> None:
    """C-1030, C-1033, C-1034, U-101: requests sent meanwhile are answered once; the call goes on."""
    one = stage(prosody, relayed=True)
    one.start()
    bridge, (ada, bo), room = in_call(one)
    one.relay.open = False
    one.relay.cut()
    extra = media.audio_source(ada.endpoint, 424242, index=1)
    asked = ada.send_iq("set", ada.focus, ada.jingle("source-add", media.update_contents(extra)))
    pinged = bo.send_iq("get", bo.focus, "<ping xmlns='urn:xmpp:ping'/>")
    late = one.client()
    wanted = late.send_iq("set", one.focus.jid, late.conference_request(room))
    one.wait_log("XMPP connection closed on error: client")
    one.never(lambda: answers_to(ada, [asked]) or answers_to(bo, [pinged]), 0.5, "an answer without a connection")
    one.relay.open = True
    one.wait_log("Registered (resumed=true) client", 20)
    one.wait(lambda: answers_to(ada, [asked]) and answers_to(bo, [pinged]) and answers_to(late, [wanted]), "answers",
             one.log)
    ada.sources = ada.sources.plus(extra)
    bo.wait_sources_of([ada])
    late.join(room)
    one.wait(lambda: late.session is not None and late.session.state == "active", "the late one is in", one.log)
    one.wait_call(ada, bo, late)
    for client, identifier in ((ada, asked), (bo, pinged), (late, wanted)):
        assert [answer.get("type") for answer in answers_to(client, [identifier])] == ["result"]
        assert not unavailable_focus(client)
    assert [len(c.sessions) for c in (ada, bo)] == [1, 1]
    assert one.log().count("Joined the room") == 1
    one.check()


def test_many_cuts_during_joins(stage: Any, prosody: Prosody) -> None:
    """C-434, C-1030: whenever it breaks, everybody ends with all sources."""
    one = stage(prosody, relayed=True)
    one.start()
    bridge = one.bridge()
    clients, room = [one.client() for _ in range(4)], one.room()  # more cuts mean longer pauses (C-1033)
    for number, client in enumerate(clients):
        client.enter(room, one.focus.component_jid)
        resumed = one.log().count("(resumed=true)")
        one.loop.run_for(0.04 * number)  # so that each cut comes at another point of the exchange
        one.relay.cut()
        one.wait(lambda before=resumed: one.log().count("(resumed=true)") > before, "resumed", one.log, 20)
    one.wait(lambda: all(c.session is not None and c.session.state == "active" for c in clients), "all are in",
             one.log, 30)
    one.wait_call(*clients)
    assert all(not unavailable_focus(client) and len(client.sessions) == 1 for client in clients)
    assert bridge.endpoint(clients[0].endpoint) is not None
    one.check()


def test_asking_the_component_while_the_user_is_away(stage: Any, prosody: Prosody) -> None:
    """C-222, C-224, U-123: ready='false' after 5 s; 'true' if the connection comes back before."""
    one = stage(prosody, relayed=True)
    one.start()
    asker, room = one.client(), one.room()
    one.relay.open = False
    one.relay.cut()
    one.wait_log("XMPP connection closed on error: client")
    begin = time.monotonic()
    answer = asker.ask(room, one.focus.component_jid, timeout=12)
    assert not is_ready(answer)
    assert 3 < time.monotonic() - begin < 9
    assert asker.request("get", one.focus.component_jid, "<ping xmlns='urn:xmpp:ping'/>").get("type") == "result"
    identifier = asker.send_iq("set", one.focus.component_jid, asker.conference_request(room))
    one.relay.open = True
    one.wait(lambda: answers_to(asker, [identifier]), "answered", one.log, 20)
    if not is_ready(answers_to(asker, [identifier])[0]):  # the back-off may have been longer than the 5 s
        one.wait_log("(resumed=true)", 20)
        assert is_ready(asker.ask(room, one.focus.component_jid))
    asker.join(room)
    asker.wait_joined()
    assert "focus" in asker.occupants


def test_the_server_is_restarted(stage: Any) -> None:
    """C-1033, C-1037, U-13: rooms, bridges and participants are gone; everything begins anew by itself."""
    with full_prosody() as prosody:
        one = stage(prosody)
        one.start()
        bridge, clients, room = in_call(one)
        prosody.stop()
        one.wait(lambda: all(c.stream.closed for c in clients) and bridge.stream.closed, "all are out")
        one.clients.clear()
        one.bridges.clear()
        prosody.start()
        one.wait(lambda: one.log().count("Joined the brewery") == 2, "back in the brewery", one.log, 30)
        one.wait(lambda: one.log().count("Registered (resumed=false) component") == 2, "component", one.log, 30)
        again = one.bridge()
        newcomers = [one.client(), one.client()]
        one.call(room, *newcomers)
        one.call(one.room(), one.client(), one.client())
        one.check()
        assert again.leaks() == []
        one.focus.stop()


def test_the_server_crashes(stage: Any) -> None:
    """C-1037: SIGKILL instead of a clean end."""
    with full_prosody() as prosody:
        one = stage(prosody)
        one.start()
        in_call(one)
        prosody.kill()
        one.wait_log("XMPP connection closed on error: client")
        one.clients.clear()
        one.bridges.clear()
        prosody.start()
        one.wait(lambda: one.log().count("Joined the brewery") == 2, "back in the brewery", one.log, 30)
        one.bridge()
        one.call(one.room(), one.client(), one.client())
        one.check()
        one.focus.stop()


def test_the_stream_can_not_be_resumed(stage: Any) -> None:
    """C-712, C-1030, C-1033: the server gave the session up; the focus goes back into its rooms and the calls go on."""
    with full_prosody(smacks_hibernation_time=1) as prosody:
        one = stage(prosody, relayed=True)
        one.start()
        bridge, (ada, bo), room = in_call(one)
        for client in (ada, bo):
            client.hooks.append(lambda s: s.name == "presence" and s.get("type") == "unavailable"
                                and s.get("from").endswith("/focus"))
        one.relay.open = False
        one.relay.cut()
        one.wait(lambda: unavailable_focus(ada) and unavailable_focus(bo), "the server gave it up", one.log, 20)
        one.relay.open = True
        one.wait(lambda: one.log().count("Registered (resumed=false) client") == 2, "logged in anew", one.log, 30)
        one.wait(lambda: one.log().count("Joined the brewery") == 2, "back in the brewery", one.log)
        late = one.client()
        one.enter(room, late)
        one.wait_call(ada, bo, late)
        assert item(late.occupants["focus"]).get("jid") == one.focus.jid
        assert len(ada.sessions) == len(bo.sessions) == 1
        extra = media.audio_source(ada.endpoint, 525252, index=1)
        assert ada.add_sources(extra).get("type") == "result"
        bo.wait_sources_of([ada, late])
        one.check()
        one.focus.stop()


def test_another_process_with_our_address(stage: Any, prosody: Prosody) -> None:
    """C-1036, C-1043: no duel; the line names the cause."""
    one = stage(prosody, component=False)
    one.start(component=False)
    intruder = one.account("focus", resource="focus")
    one.wait_log("conflict", 20)
    lines = [line for line in one.complaints() if "conflict" in line]
    assert len(lines) == 1
    assert "focus@%s/focus" % prosody.user_domain in lines[0] and "Another process" in lines[0]
    one.never(lambda: intruder.stream.closed, 2, "thrown out again")


# --- the end --------------------------------------------------------------------------------------------------------


def test_a_stop_leaves_nothing_behind(stage: Any, prosody: Prosody) -> None:
    """C-820, C-824: without a journal, when nobody could go on: status 0, the bridge empty, the rooms left."""
    one = stage(prosody, journal=False)
    one.start()
    bridge, clients, room = in_call(one)
    empty_handed = one.client()
    assert is_ready(empty_handed.ask(one.room(), one.focus.jid))
    begin = time.monotonic()
    one.focus._process.terminate()
    one.wait(lambda: not one.focus.running, "ended", one.log, 10)
    assert one.focus.stop() == 0
    assert time.monotonic() - begin < 8
    one.wait(lambda: not bridge.leaks(), "the bridge is empty", bridge.leaks)
    for client in clients:
        client.wait(lambda: unavailable_focus(client), 10, "seen leaving")  # noqa: B023
    assert "exiting with exit code 0" in one.log()


def test_a_stop_without_a_server(stage: Any) -> None:
    """C-824: doesn't wait for what isn't there."""
    with full_prosody() as prosody:
        one = stage(prosody)
        one.start()
        prosody.stop()
        one.wait_log("XMPP connection closed on error")
        begin = time.monotonic()
        assert one.focus.stop() == 0
        assert time.monotonic() - begin < 6


def test_memory_and_conferences_do_not_grow(stage: Any, prosody: Prosody) -> None:
    """C-820, issue 10: after many calls nothing is left: no conference, no endpoint, hardly more memory."""
    one = stage(prosody, "--initial_timeout=1", checked=False)
    one.start()
    bridge = one.bridge()
    clients = [one.client() for _ in range(3)]
    before = 0.0
    for number in range(24):
        one.call(one.room(), *clients)
        for client in clients:
            client.leave()
        one.wait(lambda: not bridge.leaks(), "the bridge is empty", bridge.leaks)
        if number == 5:
            before = one.focus.rss_mb()
    one.wait(lambda: one.log().count("Stopped.") == 24, "all conferences ended", one.log)
    assert one.focus.rss_mb() - before < 4
    assert one.focus.rss_mb() < 60
    one.check()
