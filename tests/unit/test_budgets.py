"""What one member may cost the others (moderation.md, abuse list)."""
from __future__ import annotations

import pytest
from lxml import etree

from focus.conference.budgets import Bucket, Invitations
from focus.conference.members import PRESENCES_BURST, PRESENCES_RATE
from focus.stanzas.stanza import Presence, parse_stanza, read_stanza, write_stanza
from tests.support.harness import Scene


def source_info(number: int, muted: bool) -> str:
    return "<SourceInfo>{&quot;anna-a0&quot;:{&quot;muted&quot;:%s}}</SourceInfo><n xmlns='urn:x'>%d</n>" % (
        "true" if muted else "false", number)


def test_bucket() -> None:
    """So many at once, then as many as time gives; what is refused isn't counted."""
    bucket = Bucket()
    assert [bucket.spend(10.0, rate=2, burst=3) for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert bucket.spend(10.25, 2, 3) == 0.25
    assert bucket.spend(10.5, 2, 3) == 0
    assert bucket.spend(10.5, 2, 3) == 0.5
    assert [bucket.spend(1000.0, 2, 3) for _ in range(4)] == [0, 0, 0, 0.5]


def test_invitations_are_forgotten() -> None:
    """Thousands who came once leave nothing behind."""
    invitations = Invitations()
    for number in range(5000):
        assert invitations.spend("guest%d@meet.example" % number, float(number), 5, 10.0) == 0
    assert len(invitations._of) <= 64
    assert [invitations.spend("a@b", 9000.0, 2, 10.0) for _ in range(3)] == [0, 0, 10.0]
    assert invitations.spend("a@b", 9010.0, 2, 10.0) == 0


def test_presence_flood() -> None:
    """M-1114: beyond 20 a second only the newest presence counts; it does count, and so do those of others."""
    scene = Scene().bring_in("anna", "ben")
    flood = [scene.presence("anna", extra=source_info(number, muted=number % 2 == 0)) for number in range(1000)]
    looked_at = 0
    info = scene.state.members["anna"].info
    for one in [*flood, scene.presence("anna", extra=source_info(1000, muted=False))]:
        scene.mail(one)
        looked_at += scene.state.members["anna"].info is not info
        info = scene.state.members["anna"].info
    assert looked_at <= PRESENCES_BURST
    assert scene.state.present, "the newest is kept"
    scene.mail(scene.presence("ben", extra=source_info(1, muted=False).replace("anna", "ben")))
    assert scene.state.members["ben"].is_sending("audio")
    scene.restart().pass_time(2 / PRESENCES_RATE)
    assert scene.state.members["anna"].is_sending("audio") and not scene.state.present


def test_leave_after_a_flood() -> None:
    """M-1114: a leave is never dropped, and no presence of before it comes after."""
    scene = Scene().bring_in("anna", "ben")
    for number in range(200):
        scene.mail(scene.presence("anna", extra=source_info(number, muted=number % 2 == 0)))
    scene.leave("anna").pass_time(5)
    assert "anna" not in scene.state.members and not scene.state.present


@pytest.mark.parametrize("same_person", [True, False], ids=["one person", "different people"])
def test_joining_in_a_loop(same_person: bool) -> None:
    """M-1122: one who comes and goes gets 5 invitations in 10 s, then later; different people aren't limited."""
    scene = Scene().bring_in("ben", "carl")
    offers = 0
    for number in range(12):
        nick = "guest%d" % number
        real = "guest%s@meet.example/r" % ("" if same_person else number)
        scene.mail(scene.presence(nick, real=real))
        offers += len([el for el in scene.sent if el.find(".//*[@create='true']") is not None])
        scene.settle()
        if number < 11:
            scene.leave(nick).settle()
    assert offers == (5 if same_person else 12)
    assert "guest11" in scene.state.members
    if same_person:
        assert "guest11" not in scene.state.participants
        scene.pass_time(10.1)
        assert scene.take("conference-modify")
        assert "guest11" in scene.state.participants, "later, not never"


def test_moderators_policy() -> None:
    """C-632, M-554: a moderator's old client has later joiners start muted; nobody is muted by a second offer."""
    policy = "<startmuted xmlns='http://jitsi.org/jitmeet/start-muted' audio='true' video='false'/>"
    scene = Scene().bring_in("anna", "ben")
    scene.mail(scene.presence("ben", extra=policy))  # who is no moderator has no say
    scene.mail(scene.presence("anna", affiliation="owner", role="moderator", extra=policy.replace("true", "TRUE")))
    scene.restart()

    def offered(nick: str) -> object:
        offer = scene.one("session-initiate")
        assert offer.get("to").endswith(nick)
        found = offer.find(".//{http://jitsi.org/jitmeet/start-muted}startmuted")
        return None if found is None else (found.get("audio"), found.get("video"))

    scene.join("carl")
    scene.mail(scene.allocated(scene.one("conference-modify")))
    assert offered("carl") == ("true", "false")
    scene.mail(scene.accept("carl")).settle()
    session = scene.state.participants["carl"].bridge_session
    scene.mail(scene.jingle("carl", "session-terminate", "<bridge-session xmlns='http://jitsi.org/protocol/focus' "
                                                         "id='%s' restart='true'/>" % session))
    scene.mail(*[scene.proper_answer(el) for el in scene.take("conference-modify")])  # of the expiry
    scene.mail(*[scene.allocated(el) for el in scene.take("conference-modify")])
    assert offered("carl") is None



def test_a_prefix_that_nothing_declares() -> None:
    """What is kept for later can be read again, whatever names a stranger has given its children."""
    text = "<s xmlns='jabber:client'><presence from='r@c.example/n'><a u:b='1'><v:c/></a></presence></s>"
    stanza = parse_stanza(etree.fromstring(text, etree.XMLParser(recover=True))[0])
    assert isinstance(stanza, Presence)
    written = write_stanza(stanza)
    again = read_stanza(written)
    assert again.from_ == "r@c.example/n" and write_stanza(again) == written
    with pytest.raises(ValueError):
        read_stanza("<presence><a u:b='1'>")
