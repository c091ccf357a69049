"""A small videobridge with real media: ICE, DTLS-SRTP, Colibri 2 and 1 in a brewery, the bridge channel.

For the demo and the tests; `python -m focus.demo.bridge --help` tells how it is started. A process of its own, on
asyncio and aiortc, so nothing here may be imported by the focus.

    request    Colibri 2 read and written             rtp, rtcp    packets, pure
    colibri    conferences, endpoints, refusals       reception    losses and jitter of one stream
    colibri1   Colibri 1 read and written             speaker      who speaks
    channels   conferences made of channels           room         which packet goes to whom
    elements   what both versions write alike         transport    ICE, DTLS, SRTP on one UDP port
    answers    a request executed and answered        channel      the WebSocket
    knobs      what tests can make it do wrong        constraints  what a client wants to receive
    xmpp, sasl one XMPP stream                        stats        what is published
    station    login, coming back, the program's IQs  journal      events, also as JSON lines
    brewery    a station in a brewery room            component    a station that is an XMPP component
    service    all of it together

Two cores carry one conference of 30 endpoints with 200 kbit/s of video each, or of 16 with 1.5 Mbit/s (measured with
benchmarks/demo_bridge.py; the bridge is one process and fills one core).

With --relay-id it shares conferences with other bridges: media, keyframe requests and retransmissions cross a relay.

With --colibri=1 it is a bridge of before 2022, in its statistics and features too; with --component one of before 2020.
The control line `form` chooses among the years of Colibri 1.

What it does not do: messages between bridges (a client's EndpointMessage stays on its bridge, and video is relayed
whether somebody behind the relay wants it or not), SCTP, SSRC rewriting (the focus needs use_ssrc_rewriting off),
layers of simulcast other than the lowest, bandwidth estimation toward receivers, IPv6.
"""
