"""The scripted XEP-0198 server of tests/chaos behaves as Prosody 0.12 does: the same scripts on both, with one outcome.

Each script is played by our own stream class through a proxy that can be cut, while somebody stands in the same room
and sends to it. What came of it is told in lines, which are the same for both servers and stand in the test.
"""

from __future__ import annotations

from typing import Any, List

import gevent
import pytest

from tests.support.connecting import client
from tests.support.connections import wait_for
from tests.support.loop import Loop
from tests.support.prosody import USER_DOMAIN, Prosody
from tests.support.proxy import Proxy
from tests.support.scripted_world import Seat, World
from tests.support.smacks_server import SmacksServer
from tests.support.stage import MENDED_HOST, SHIPPED_MODULES
from tests.support.wire import Login

ROOM = "somewhere@internal." + USER_DOMAIN
JOIN = "<presence to='%s/%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
FOCUS = "focus@%s/focus" % USER_DOMAIN
SMALL_QUEUE = 10


class ScriptedServer:
    """The scripted server under the names that a Prosody has."""

    host = "127.0.0.1"
    user_domain = USER_DOMAIN
    passwords = {"focus": "focus-password"}
    ca_file = None

    def __init__(self, loop, **settings):
        self.world = World()
        self.server = SmacksServer(loop, self.world, **settings)
        self.c2s_port = self.server.port

    def observer(self, user):
        return Seat(self.world, "%s@%s/j" % (user, self.user_domain))


class RealServer:
    """A Prosody."""

    def __init__(self, prosody):
        self._prosody = prosody

    def __getattr__(self, name):
        return getattr(self._prosody, name)

    def observer(self, user):
        prosody = self._prosody
        return Login(prosody.host, prosody.c2s_port, prosody.user_domain, user=user,
                     password=prosody.passwords[user], resource="j", ca_file=prosody.ca_file)


class Script:
    """The focus's stream through a proxy, and an observer in the room it enters."""

    def __init__(self, server, loop, peers, inboxes):
        self.server = server
        self.seen: List[str] = []
        """What the observer received, in lines."""
        self._peers, self._inboxes, self._loop = peers, inboxes, loop
        self.proxy = Proxy(server.c2s_port)
        self.proxy.__enter__()
        self.observer = server.observer("jvb").open(loop, self._saw)
        self.observer.send(JOIN % (ROOM, "j"))
        self.wait(lambda: "presence j" in self.seen, "the observer in the room")
        self.inbox = inboxes()
        self.focus = peers(client(self.inbox, server, port=self.proxy.port))
        self.inbox.wait_connected()
        self.focus.send([(JOIN % (ROOM, "focus")).encode()])
        self.wait(lambda: "presence focus" in self.seen and self.count("message") == 1, "the focus in the room")
        self.settle()

    def close(self):
        self.proxy.__exit__()

    def wait(self, condition, what):
        wait_for(condition, what + ", seen: %s" % self.seen)

    def settle(self):
        """Both sides have confirmed everything."""
        self.observer.send("<iq type='get' id='s' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>" % USER_DOMAIN)
        self.wait(lambda: "iq s result" in self.seen, "the server is quiet")
        self.wait(lambda: self.focus.unacknowledged == 0, "our stanzas are confirmed")
        self.seen.clear()

    def count(self, kind):
        return sum(1 for line in self.arrivals() if line.startswith(kind))

    def arrivals(self, begin=0):
        """What the focus received, in lines; `late` is said of what carries a <delay/>."""
        lines = []
        for element in self.inbox.arrived[begin:]:
            kind = element.tag.rpartition("}")[2]
            late = " late" if element.find("{urn:xmpp:delay}delay") is not None else ""
            name = element.get("id") or element.get("from").partition("/")[2]
            lines.append((kind + " " + name).strip() + late)
        return lines

    def lose(self):
        """Cut the connection; new ones are refused until `back`."""
        self.proxy.accepts = False
        self.proxy.cut()
        self.inbox.wait_disconnected(len(self.inbox.connected))

    def speak(self, *names):
        """The observer says something in person, asks something, and changes its presence in the room."""
        for name in names:
            self.observer.send("<message to='%s' id='%s'><body>x</body></message>" % (FOCUS, name))
        self.observer.send("<iq type='get' id='q' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>" % FOCUS)
        self.observer.send("<presence to='%s/j'><show>dnd</show></presence>" % ROOM)
        self.wait(lambda: "presence j" in self.seen, "all is said")

    def back(self):
        """Let it connect again; returns how that went and where the arrivals after it begin."""
        begin = len(self.inbox.arrived)
        self.proxy.accepts = True
        self.focus.reconnect()
        connected = self.inbox.wait_connected(len(self.inbox.connected) + 1)
        return connected.resumed, begin

    def wait_arrivals(self, begin, *lines):
        self.wait(lambda: len(self.arrivals(begin)) >= len(lines), "arrivals, so far %s" % self.arrivals(begin))
        gevent.sleep(0.05)  # nothing else may come
        assert self.arrivals(begin) == list(lines)

    def wait_seen(self, *lines):
        self.wait(lambda: len(self.seen) >= len(lines), "%s" % (lines,))
        gevent.sleep(0.05)
        assert self.seen == list(lines)

    def _saw(self, stanza):
        kind = stanza.get("type") if stanza.name != "message" else stanza.get("type").replace("groupchat", "")
        name = stanza.get("id") or stanza.get("from").partition("/")[2]
        if stanza.name != "message" or kind:
            self.seen.append(" ".join(filter(None, (stanza.name, name, kind))))


@pytest.fixture(scope="module")
def small_prosody():
    """Both a mended Prosody and one with a short queue."""
    with Prosody(smacks_max_queue_size=SMALL_QUEUE, extra_global='plugin_paths = { "%s" }' % SHIPPED_MODULES,
                 extra_hosts=MENDED_HOST) as server:
        yield server


@pytest.fixture
def loop():
    """A loop that works while greenlets wait."""
    with Loop() as one:
        def run():
            while True:
                one.step(0.0)
                gevent.sleep(0.002)

        worker = gevent.spawn(run)
        yield one
        worker.kill()


@pytest.fixture(params=["scripted", "Prosody"])
def stand(request, loop, peers, inboxes):
    """Makes a script on one of the two servers."""
    made = []

    def make(mended=True):
        server: Any = ScriptedServer(loop, queue_limit=SMALL_QUEUE, mended=mended)
        if request.param == "Prosody":
            server = RealServer(request.getfixturevalue("small_prosody" if mended else "prosody"))
        made.append(Script(server, loop, peers, inboxes))
        return made[-1]

    yield make
    for script in made:
        script.close()


SPOKEN = ("message 1 late", "message 2 late", "iq q", "presence j late")


def test_resumed(stand):
    script = stand()
    script.lose()
    script.speak("1", "2")
    assert script.focus.session_state().acknowledged == 1
    script.focus.send([b"<message to='%s' id='ours' type='chat'/>" % script.observer.jid.encode()])
    resumed, begin = script.back()
    assert resumed
    script.wait_arrivals(begin, *SPOKEN)
    script.wait(lambda: "message ours chat" in script.seen, "what waited here")
    assert "presence focus unavailable" not in script.seen


def test_resumed_twice(stand):
    """What was never acknowledged comes again and again; what was, does not."""
    script = stand()
    script.lose()
    script.speak("1", "2")
    for _ in range(2):
        state = script.focus.session_state()
        script.focus.stop(end_stream=False)
        script.inbox = script._inboxes()
        script.inbox.held = True
        script.proxy.accepts = True
        script.focus = script._peers(client(script.inbox, script.server, port=script.proxy.port, resume_from=state))
        script.wait(lambda: script.focus._delivered == len(SPOKEN), "the replay has arrived and is not handled")
    script.inbox.held = False
    script.wait_arrivals(0, *SPOKEN)
    assert script.inbox.wait_connected().resumed


def test_cut_within_our_stanza(stand):
    script = stand()
    half_a_stanza(script)
    resumed, begin = script.back()
    assert resumed
    script.speak("1")
    script.wait_arrivals(begin, "message 1", "iq q", "presence j")
    assert script.seen == ["presence j"]


def test_cut_within_our_stanza_not_mended(stand):
    """Resumed, but what we send is never read again: our stream sees it and logs in anew, which ends the old one."""
    script = stand(mended=False)
    half_a_stanza(script)
    resumed, _ = script.back()
    assert not resumed
    script.wait(lambda: "presence focus unavailable" in script.seen, "the room sees the old session go")


def half_a_stanza(script):
    forwarded = script.proxy.forwarded
    script.focus._wire.write(b"<message to='%s' id='half'><body>half a sta" % script.observer.jid.encode())
    script.wait(lambda: script.proxy.forwarded > forwarded, "half a stanza on its way")
    script.proxy.accepts = False
    script.proxy.cut_far_end_in_order()
    script.inbox.wait_disconnected()


def refused(script, **wrong):
    """A later process with a wrong idea of the session."""
    script.focus.stop(end_stream=False)
    state = script.focus.session_state()
    for name, value in wrong.items():
        setattr(state, name, value)
    script.speak("1")
    script.inbox = script._inboxes()
    script.focus = script._peers(client(script.inbox, script.server, port=script.proxy.port, resume_from=state))
    return script.inbox.wait_connected()


def test_unknown_token(stand, logged):
    script = stand()
    assert not refused(script, id="no-such-token").resumed
    assert logged("the server did not resume the stream; starting anew")
    script.wait(lambda: "presence focus unavailable" in script.seen, "the room sees the old session go")
    assert "iq q error" in script.seen and "message 1 error" in script.seen


@pytest.mark.parametrize("wrong", [-1, 1000])
def test_stale_h(stand, logged, wrong):
    """Too low or too high: the connection ends without a word, and the session with it."""
    script = stand()
    handled = script.focus.session_state().handled
    assert not refused(script, handled=handled + wrong).resumed
    assert logged("stream resumption refused: the stream ended after <resume/> (the server closed the connection)")
    script.wait(lambda: "presence focus unavailable" in script.seen, "the room sees the old session go")
    assert "iq q error" in script.seen and "message 1 error" in script.seen


def test_queue_overflown(stand, logged):
    script = stand()
    script.lose()
    script.speak(*map(str, range(SMALL_QUEUE + 5)))
    script.seen.clear()
    resumed, _ = script.back()
    assert not resumed
    assert logged("stream resumption refused: the stream ended after <resume/> (the server closed the connection)")
    script.wait(lambda: "presence focus unavailable" in script.seen, "the room sees the old session go")
    assert [line for line in script.seen if line.startswith("message")] == [
        "message %d error" % number for number in range(7, SMALL_QUEUE + 5)], "the oldest are lost without a word"
