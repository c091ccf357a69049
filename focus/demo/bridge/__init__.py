"""A small videobridge with real media: ICE, DTLS-SRTP, Colibri 2 in a brewery, the bridge channel.

For the demo and the tests; `python -m focus.demo.bridge --help` tells how it is started. A process of its own, on
asyncio and aiortc, so nothing here may be imported by the focus.

    request    Colibri 2 read and written             rtp, rtcp    packets, pure
    colibri    conferences, endpoints, refusals       reception    losses and jitter of one stream
    knobs      what tests can make it do wrong        speaker      who speaks
    constraints what a client wants to receive        room         which packet goes to whom
    xmpp, sasl one XMPP stream                        transport    ICE, DTLS, SRTP on one UDP port
    brewery    presence, statistics, health           channel      the WebSocket
    journal    events, also as JSON lines             service      all of it together

Two cores carry one conference of 30 endpoints with 200 kbit/s of video each, or of 16 with 1.5 Mbit/s (measured with
benchmarks/demo_bridge.py; the bridge is one process and fills one core).

With --relay-id it shares conferences with other bridges: media, keyframe requests and retransmissions cross a relay.

What it does not do: messages between bridges (a client's EndpointMessage stays on its bridge, and video is relayed
whether somebody behind the relay wants it or not), SCTP, SSRC rewriting (the focus needs use_ssrc_rewriting off),
layers of simulcast other than the lowest, bandwidth estimation toward receivers, IPv6.
"""
