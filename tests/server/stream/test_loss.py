"""Connections to a real Prosody that break, and what becomes of them (C-1030 ... C-1043, U-13, XEP-0198)."""

from __future__ import annotations

import pytest

from focus.xmpp import stream
from focus.xmpp.errors import NoAnswer
from tests.support.connecting import client, component, ping
from tests.support.connections import wait_for
from tests.support.prosody import Prosody
from tests.support.proxy import Proxy
from tests.unit.test_xmpp_parser import long_name, nested

# Loss and return


def test_prosody_started_after_us(peers, inboxes):
    with Prosody() as server:
        server.stop()
        inbox = inboxes()
        focus = peers(client(inbox, server))
        proxy = peers(component(inbox, server))
        wait_for(lambda: focus.failure and proxy.failure, "the failed attempts")
        assert "Connection refused" in focus.failure.text
        server.start()
        inbox.wait_connected(2, timeout=20)


def test_server_restart(peers, inboxes):
    with Prosody() as server:
        inbox = inboxes()
        peers(client(inbox, server))
        inbox.wait_connected()
        server.stop()
        assert inbox.wait_disconnected().will_resume, "Prosody just closes the connection"
        server.start()
        assert not inbox.wait_connected(2, timeout=20).resumed
        assert inbox.connected[1].session == inbox.connected[0].session + 1


def test_server_killed(peers, inboxes):
    with Prosody() as server:
        inbox = inboxes()
        focus = peers(client(inbox, server))
        inbox.wait_connected()
        server.kill()
        assert inbox.wait_disconnected().will_resume, "it may have been the network"
        focus.send([ping("auth.meet.example", "old")])
        server.start()
        assert not inbox.wait_connected(2, timeout=20).resumed
        focus.send([ping("auth.meet.example", "new")])
        assert [element.get("id") for element in inbox.wait_arrived()] == ["new"], "the old session's output is gone"


def test_connection_cut_and_resumed(prosody, peers, inboxes):
    inbox, others = inboxes(), inboxes()
    with Proxy(prosody.c2s_port) as proxy:
        focus = peers(client(inbox, prosody, port=proxy.port))
        jvb = peers(client(others, prosody, user="jvb"))
        inbox.wait_connected()
        others.wait_connected()
        proxy.accepts = False
        proxy.cut()
        lost = inbox.wait_disconnected()
        assert lost.will_resume and lost.error.text
        focus.send([b"<message to='%s' id='late'/>" % jvb.jid.encode()])
        jvb.send([b"<message to='%s' id='early'/>" % focus.jid.encode()])
        wait_for(lambda: jvb.unacknowledged == 0, "the server has the message")
        assert focus.unacknowledged == 1
        proxy.accepts = True
        connected = inbox.wait_connected(2)
        assert connected.resumed and connected.session == inbox.connected[0].session
        assert [element.get("id") for element in inbox.wait_arrived()] == ["early"]
        assert [element.get("id") for element in others.wait_arrived()] == ["late"]
        assert focus.disconnects == 1


def break_within_a_stanza(prosody, peers, inboxes):
    """The server has read half a stanza when the connection breaks; returns what the next login was."""
    inbox = inboxes()
    with Proxy(prosody.c2s_port) as proxy:
        focus = peers(client(inbox, prosody, port=proxy.port))
        inbox.wait_connected()
        focus.send([ping("auth.meet.example", "before")])
        inbox.wait_arrived()
        wait_for(lambda: focus.unacknowledged == 0, "quiet")
        forwarded = proxy.forwarded
        focus._wire.write(b"<message to='nobody@auth.meet.example/x'><body>half a sta")
        wait_for(lambda: proxy.forwarded > forwarded, "half a stanza on its way")
        begin = prosody.log_file.stat().st_size
        proxy.cut_far_end_in_order()
        wait_for(lambda: "Client disconnected" in prosody.log(begin), "the server sees the end")
        connected = inbox.wait_connected(2)
        focus.send([ping("auth.meet.example", "after")])
        assert [element.get("id") for element in inbox.wait_arrived(2)] == ["before", "after"]
        return connected


def test_connection_broken_within_a_stanza(prosody, peers, inboxes, logged):
    """Prosody resumes such a stream but never reads it again: seen at once, and mended by a fresh login."""
    assert not break_within_a_stanza(prosody, peers, inboxes).resumed
    assert logged("the server resumed the stream but does not read it")


def test_connection_broken_within_a_stanza_with_our_module(mended_prosody, peers, inboxes):
    assert break_within_a_stanza(mended_prosody, peers, inboxes).resumed


def test_what_is_in_the_inbox_does_not_come_twice(prosody, peers, inboxes):
    """The connection breaks while arrivals wait to be handled: only then it resumes, with the right count."""
    inbox, others = inboxes(), inboxes()
    with Proxy(prosody.c2s_port) as proxy:
        focus = peers(client(inbox, prosody, port=proxy.port))
        jvb = peers(client(others, prosody, user="jvb"))
        inbox.wait_connected()
        others.wait_connected()
        inbox.held = True
        jvb.send([b"<message to='%s' id='%d'/>" % (focus.jid.encode(), n) for n in range(10)])
        wait_for(lambda: focus._delivered == 10, "ten messages in the inbox")
        proxy.cut()
        wait_for(lambda: not focus.connected, "the loss")
        inbox.held = False
        inbox.wait_connected(2)
        jvb.send([b"<message to='%s' id='10'/>" % focus.jid.encode()])
        inbox.wait_arrived(11)
        assert [element.get("id") for element in inbox.arrived] == [str(n) for n in range(11)]


def test_server_that_answers_no_more(prosody, peers, inboxes, monkeypatch):
    monkeypatch.setattr(stream, "CHECK_INTERVAL", 0.05)
    monkeypatch.setattr(stream, "IDLE", 0.2)
    monkeypatch.setattr(stream, "ANSWER_TIME", 0.4)
    inbox = inboxes()
    with Proxy(prosody.c2s_port) as proxy:
        peers(client(inbox, prosody, port=proxy.port))
        inbox.wait_connected()
        passed = proxy.passed
        wait_for(lambda: proxy.passed > passed + 100, "answers to our <r/>")
        assert not inbox.disconnected
        proxy.hold()
        lost = inbox.wait_disconnected()
        assert isinstance(lost.error, NoAnswer) and lost.will_resume
        proxy.release()
        assert inbox.wait_connected(2).resumed


def test_component_sends_white_space_when_idle(prosody, peers, inboxes, monkeypatch):
    monkeypatch.setattr(stream, "CHECK_INTERVAL", 0.05)
    monkeypatch.setattr(stream, "IDLE", 0.1)
    written = []
    original = stream.Wire.write

    def write(wire, data):
        written.append(data)
        original(wire, data)

    monkeypatch.setattr(stream.Wire, "write", write)
    inbox = inboxes()
    peers(component(inbox, prosody))
    inbox.wait_connected()
    wait_for(lambda: written.count(b" ") >= 3, "white space")


def test_component_cut(prosody, peers, inboxes):
    inbox, guests = inboxes(), inboxes()
    with Proxy(prosody.component_port) as proxy:
        focus = peers(component(inbox, prosody, port=proxy.port))
        guest = peers(client(guests, prosody, user="jvb"))
        inbox.wait_connected()
        guests.wait_connected()
        proxy.cut()
        assert not inbox.wait_disconnected().will_resume
        focus.send([b"<iq type='result' id='kept' from='focus.meet.example' to='%s'/>" % guest.jid.encode()])
        assert not inbox.wait_connected(2).resumed
        assert guests.wait_arrived()[0].get("id") == "kept", "an answer waits for the reconnect"


def test_conflict_waits_and_names_the_cause(prosody, peers, inboxes, logged):
    first, second = inboxes(), inboxes()
    focus = peers(client(first, prosody))
    first.wait_connected()
    peers(client(second, prosody))
    second.wait_connected()
    lost = first.wait_disconnected()
    assert lost.error.condition == "conflict" and not lost.will_resume
    assert "Another process logged in with our full JID (focus@auth.meet.example/focus)" in lost.error.text
    wait_for(lambda: logged("XMPP reconnecting in: 30.0 seconds"), "the pause")
    assert not second.disconnected
    # The operator (or the 30 s) lets it try again; replaced once more, it gives way for good.
    focus.reconnect()
    first.wait_connected(2)
    second.wait_disconnected()
    third = inboxes()
    peers(client(third, prosody))
    third.wait_connected()
    wait_for(lambda: focus.given_way, "giving way")
    assert logged("We give way and stay disconnected")


def test_hostile_stanzas_through_the_server(prosody, peers, inboxes):
    inbox, others = inboxes(), inboxes()
    focus = peers(client(inbox, prosody, stanza_size_limit=100000))
    jvb = peers(client(others, prosody, user="jvb"))
    inbox.wait_connected()
    others.wait_connected()
    to = focus.jid.encode()
    hostile = [nested(300, b"<iq type='set' id='deep' to='%s'>" % to),
               long_name(60000).replace(b"from='evil@b/c' to='focus@b/focus'", b"to='%s'" % to),
               b"<message id='big' to='%s'><body>%s</body></message>" % (to, b"x" * 150000)]
    for n, stanza in enumerate(hostile):
        jvb.send([stanza, b"<message to='%s' id='%d'/>" % (to, n)])
    inbox.wait_arrived(3)
    assert [element.get("id") for element in inbox.arrived] == ["0", "1", "2"]
    assert [(refused.kind, refused.attrs["id"], refused.attrs["from"]) for refused in inbox.refused] == [
        ("iq", "deep", jvb.jid), ("iq", "long", jvb.jid), ("message", "big", jvb.jid)]
    assert not inbox.disconnected


def test_a_later_process_resumes_the_stream(prosody, peers, inboxes):
    """The first process vanishes; another one, with what it wrote down, goes on. Nothing is lost or doubled."""
    inbox, others, later = inboxes(), inboxes(), inboxes()
    with Proxy(prosody.c2s_port) as proxy:
        focus = peers(client(inbox, prosody, port=proxy.port))
        jvb = peers(client(others, prosody, user="jvb"))
        inbox.wait_connected()
        others.wait_connected()
        to_focus, to_jvb = focus.jid.encode(), jvb.jid.encode()
        jvb.send([b"<message to='%s' id='%d'/>" % (to_focus, n) for n in range(5)])
        inbox.wait_arrived(5)
        proxy.hold()
        focus.send([b"<message to='%s' id='%d'/>" % (to_jvb, n) for n in range(3)])
        wait_for(lambda: focus.queued_bytes == 0, "output written")
        state = focus.session_state()
        focus.stop(end_stream=False)
    assert state.handled == 5 and len(state.unacknowledged) == 3
    jvb.send([b"<message to='%s' id='%d'/>" % (to_focus, n) for n in range(5, 8)])
    again = peers(client(later, prosody, resume_from=state))
    assert later.wait_connected().resumed and again.jid == state.jid
    assert [element.get("id") for element in later.wait_arrived(3)] == ["5", "6", "7"]
    assert [element.get("id") for element in others.wait_arrived(3)] == ["0", "1", "2"]
    wait_for(lambda: again.unacknowledged == 0, "all confirmed")
    again.stop()


def test_a_stop_with_output_to_write_keeps_the_stream(prosody, peers, inboxes):
    """As on SIGTERM: what waits may still be written, but the stream isn't closed, which would end its resumption."""
    inbox, later = inboxes(), inboxes()
    focus = peers(client(inbox, prosody))
    inbox.wait_connected()
    focus.send([ping("auth.meet.example", "last")])
    state = focus.session_state()
    focus.stop(end_stream=False)
    again = peers(client(later, prosody, resume_from=state))
    assert later.wait_connected().resumed
    assert [element.get("id") for element in later.wait_arrived()] == ["last"]
    again.stop()


@pytest.mark.parametrize("wrong", [{"id": "no-such-id"}, {"handled": 77}])
def test_resumption_refused_by_the_server(prosody, peers, inboxes, wrong, caplog):
    """Unknown id: <failed/>; a stale h: Prosody ends the stream. Both mean a fresh login at once."""
    inbox, later = inboxes(), inboxes()
    focus = peers(client(inbox, prosody))
    inbox.wait_connected()
    state = focus.session_state()
    focus.stop(end_stream=False)
    for name, value in wrong.items():
        setattr(state, name, value)
    again = peers(client(later, prosody, resume_from=state))
    connected = later.wait_connected()
    assert not connected.resumed and again.jid == "focus@auth.meet.example/focus"
    again.send([ping("auth.meet.example")])
    assert later.wait_arrived()[0].get("type") == "result"


def test_output_of_an_old_session_is_dropped(prosody, peers, inboxes):
    inbox = inboxes()
    focus = peers(client(inbox, prosody))
    session = inbox.wait_connected().session
    focus.send([ping("auth.meet.example", "stale")], session=session - 1)
    focus.send([ping("auth.meet.example", "fresh")], session=session)
    assert inbox.wait_arrived()[0].get("id") == "fresh"


def test_too_much_output_ends_the_session(prosody, peers, inboxes):
    inbox = inboxes()
    with Proxy(prosody.c2s_port) as proxy:
        focus = peers(client(inbox, prosody, port=proxy.port, queue_limit=1000000))
        inbox.wait_connected()
        proxy.accepts = False
        proxy.cut()
        inbox.wait_disconnected()
        for _ in range(12):
            focus.send([b"<message to='nobody@auth.meet.example/x'><body>%s</body></message>" % (b"x" * 100000)])
        assert focus.queued_bytes == 0
        proxy.accepts = True
        assert not inbox.wait_connected(2).resumed


def test_stop_ends_the_stream_in_order(prosody, peers, inboxes):
    inbox, others = inboxes(), inboxes()
    focus = peers(client(inbox, prosody))
    jvb = peers(client(others, prosody, user="jvb"))
    inbox.wait_connected()
    others.wait_connected()
    focus.send([b"<message to='%s' id='last'/>" % jvb.jid.encode()])
    focus.stop()
    assert others.wait_arrived()[0].get("id") == "last"
    jvb.send([ping("focus@auth.meet.example/focus", "gone")])
    assert others.wait_arrived(2)[1].get("type") == "error", "the session is over at once"
