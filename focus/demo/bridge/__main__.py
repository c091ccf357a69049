"""python -m focus.demo.bridge: options, and the program around `service.Bridge`."""

from __future__ import annotations

import argparse
import asyncio
import configparser
import logging
import os
import re
import secrets
import signal
import ssl
import sys
from typing import Dict, List, Optional, Pattern, Sequence, Tuple

from focus.demo.bridge import sasl
from focus.demo.bridge.answers import SPEAKS
from focus.demo.bridge.component import Node
from focus.demo.bridge.journal import Journal
from focus.demo.bridge.knobs import BadCommand, Knobs
from focus.demo.bridge.knobs import __doc__ as CONTROL_LINES
from focus.demo.bridge.service import Bridge, BridgeOptions
from focus.demo.bridge.transport import local_addresses
from focus.demo.bridge.xmpp import Login

DESCRIPTION = """\
A small videobridge with real media, for the demo and for tests.

Every option can also stand in the [bridge] section of --config (words joined by underscores: public_address) or in the
environment (FOCUS_BRIDGE_PUBLIC_ADDRESS); a flag wins over the environment, that over the file. The password has no
flag: FOCUS_BRIDGE_PASSWORD or `password` in the file.
"""

CAPACITY = """\
Capacity, measured with benchmarks/demo_bridge.py on a machine with two cores, everybody receiving everybody: 30
endpoints with 200 kbit/s of video each take 0.82 of a core, 16 endpoints with 1.5 Mbit/s each 0.93, without loss; that
is 13 to 17 microseconds for a forwarded packet, about 60,000 a second. The bridge is one process and uses one core; the
other is left to everything else.
"""

OPTIONS: Tuple[Tuple[str, str, str], ...] = (
    ("user", "jvb@auth.meet.example", "bare JID to log in with"),
    ("host", "", "XMPP server to connect to (default: the domain of the user)"),
    ("port", "5222", "its port"),
    (
        "ca-file",
        "",
        "PEM file with the CA that the server certificate must come from (default: the system CAs)",
    ),
    ("tls", "verify", "verify, no-verify (encrypted but unchecked) or off (never with PLAIN)"),
    ("brewery", "", "bridge room (default: jvbbrewery@internal.<domain of the user>)"),
    (
        "component",
        "",
        "be the XMPP component with this address, whose secret is the password, instead of a user in a brewery",
    ),
    ("authorized-source", "", "as a component: pattern for the addresses that may ask (default: everybody)"),
    ("pubsub-node", "", "as a component: PubSub node to publish the statistics on (default: nowhere)"),
    ("stats-to", "", "as a component: who is sent the statistics (default: nobody)"),
    ("pubsub-service", "", "the service of that node (default: pubsub.<parent domain of the component>)"),
    ("nickname", "", "name in the brewery (default: bridge- and random letters, new at each start)"),
    (
        "address",
        "",
        "addresses to bind for media, separated by commas (default: the first of this host, or 127.0.0.1)",
    ),
    ("media-port", "0", "UDP port for all media (0: any)"),
    ("public-address", "", "address to announce instead of the bound one (behind NAT)"),
    ("channel-host", "", "address on which the WebSocket listens (default: the first media address)"),
    ("channel-port", "0", "its port (0: any)"),
    (
        "channel-url",
        "",
        "what clients are told, like wss://meet.example:9090 (default: made of host and port)",
    ),
    ("channel-certificate", "", "PEM file with certificate and key; makes it wss"),
    ("region", "", "region to publish in the statistics"),
    ("relay-id", "", "relay id to publish; with it, this bridge can share conferences with others"),
    ("colibri", "2", "which version it speaks: 1, as bridges did until 2022, 2, or both"),
    ("expiry-interval", "60", "seconds between two checks for idle endpoints and empty conferences"),
    ("endpoint-timeout", "60", "seconds of silence after which an endpoint is removed"),
)


class BadOption(ValueError):
    """An option whose value is wrong; the text names option and value."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m focus.demo.bridge",
        description=DESCRIPTION + "\n" + CAPACITY,
        epilog="Control lines (--control, --stdin):\n\n" + (CONTROL_LINES or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--config", metavar="FILE", help="ini file with a [bridge] section")
    for name, default, meaning in OPTIONS:
        made.add_argument(
            "--" + name, metavar="VALUE", help="%s%s" % (meaning, " (%s)" % default if default else "")
        )
    made.add_argument("--json", action="store_true", help="events as JSON lines on standard output")
    made.add_argument("--stdin", action="store_true", help="obey control lines on standard input")
    made.add_argument("--control-file", metavar="FIFO", help="make this named pipe and obey control lines on it")
    made.add_argument(
        "--control", action="append", default=[], metavar="LINE", help="obey this control line at start"
    )
    made.add_argument("--debug", action="store_true", help="log what the ICE and DTLS libraries do")
    return made


def read_values(arguments: argparse.Namespace, environment: Dict[str, str]) -> Dict[str, str]:
    """All options as text: flag over environment over file over default. Raises BadOption."""
    ini = configparser.ConfigParser(interpolation=None)
    if arguments.config:
        try:
            with open(arguments.config, encoding="utf-8") as file:
                ini.read_file(file)
        except (OSError, configparser.Error) as error:
            raise BadOption("--config: %s" % error) from error
    section = dict(ini["bridge"]) if ini.has_section("bridge") else {}
    known = {name.replace("-", "_") for name, _, _ in OPTIONS} | {"password"}
    for name in section:
        if name not in known:
            raise BadOption("%s: unknown option %s in [bridge]" % (arguments.config, name))
    values = {"password": environment.get("FOCUS_BRIDGE_PASSWORD", section.get("password", ""))}
    for name, default, _ in OPTIONS:
        key = name.replace("-", "_")
        given = getattr(arguments, key)
        values[key] = (
            given
            if given is not None
            else environment.get("FOCUS_BRIDGE_" + key.upper(), section.get(key, default))
        )
    return values


def build_options(values: Dict[str, str]) -> BridgeOptions:
    """Check the values. Raises BadOption."""
    try:
        user, domain = sasl.split_user(values["user"])
    except ValueError as error:
        raise BadOption("user: %s" % error) from error
    if not values["password"]:
        raise BadOption("password: missing, set FOCUS_BRIDGE_PASSWORD or password in the configuration file")
    if values["tls"] not in ("verify", "no-verify", "off"):
        raise BadOption("tls: %r is none of verify, no-verify, off" % values["tls"])
    if values["colibri"] not in SPEAKS:
        raise BadOption("colibri: %r is none of %s" % (values["colibri"], ", ".join(SPEAKS)))
    addresses = [part.strip() for part in values["address"].split(",") if part.strip()] or local_addresses()
    if "0.0.0.0" in addresses and not values["public_address"]:
        raise BadOption("address: 0.0.0.0 needs public_address, clients can't send to it")
    _check_component(values)
    login = Login(
        values["host"] or domain,
        _number(values, "port"),
        values["component"] or domain,
        user,
        values["password"],
        "",
        values["ca_file"] or None,
        values["tls"] != "off",
        values["tls"] == "verify",
    )
    return BridgeOptions(
        login,
        values["brewery"] or "jvbbrewery@internal." + domain,
        values["nickname"] or "bridge-" + secrets.token_hex(3),
        tuple(addresses),
        _number(values, "media_port"),
        values["public_address"] or None,
        values["channel_host"] or addresses[0],
        _number(values, "channel_port"),
        values["channel_url"].rstrip("/"),
        _channel_tls(values["channel_certificate"]),
        values["region"],
        _number(values, "expiry_interval"),
        _number(values, "endpoint_timeout"),
        values["relay_id"],
        values["colibri"],
        bool(values["component"]),
        _node(values),
        values["stats_to"],
        _pattern(values["authorized_source"]),
    )


def _check_component(values: Dict[str, str]) -> None:
    if not values["component"]:
        for name in ("authorized_source", "pubsub_node", "pubsub_service", "stats_to"):
            if values[name]:
                raise BadOption("%s: only a component has it" % name)
    elif values["colibri"] != "1":
        raise BadOption("component: bridges of that time speak colibri 1, not %s" % values["colibri"])


def _node(values: Dict[str, str]) -> Optional[Node]:
    if not values["pubsub_node"]:
        return None
    parent = values["component"].partition(".")[2]
    return Node(values["pubsub_service"] or "pubsub." + parent, values["pubsub_node"])


def _pattern(text: str) -> Optional[Pattern[str]]:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise BadOption("authorized_source: %s" % error) from error


def _number(values: Dict[str, str], key: str) -> int:
    text = values[key]
    if not text.isdigit() or (key.endswith("port") and int(text) > 65535):
        raise BadOption("%s: %r is not a number in range" % (key, text))
    return int(text)


def _channel_tls(certificate: str) -> Optional[ssl.SSLContext]:
    if not certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate)
    except (OSError, ssl.SSLError) as error:
        raise BadOption("channel_certificate: %s: %s" % (certificate, error)) from error
    return context


async def serve(
    options: BridgeOptions, journal: Journal, control: Sequence[str], inputs: Sequence[int]
) -> None:
    """Run the bridge until SIGTERM, SIGINT or `quit`. Raises OSError and BadCommand.

    inputs: descriptors to read control lines from.
    """
    bridge = Bridge(options, journal, Knobs())
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, bridge.stop)
    for line in control:
        bridge.command(line)
    for descriptor in inputs:
        loop.add_reader(descriptor, _read_control, descriptor, bridge, journal, [])
    await bridge.run()


def _read_control(descriptor: int, bridge: Bridge, journal: Journal, rest: List[bytes]) -> None:
    data = os.read(descriptor, 4096)
    if not data:
        asyncio.get_running_loop().remove_reader(descriptor)
        return
    *lines, last = b"".join(rest + [data]).split(b"\n")
    rest[:] = [last]
    for line in lines:
        text = line.decode("utf-8", "replace")
        try:
            bridge.command(text)
            journal.note("control", line=text)
        except BadCommand as error:
            journal.note("control_failed", why=str(error))


def _pipe(path: str) -> int:
    """A named pipe that is also open for writing here, so that it doesn't end. Raises OSError."""
    if not os.path.exists(path):
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The program. Exit status 0 after a stop, 2 for a wrong option, 1 for a port that is taken."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if arguments.debug else logging.WARNING, stream=sys.stderr)
    try:
        options = build_options(read_values(arguments, dict(os.environ)))
        inputs = [sys.stdin.fileno()] if arguments.stdin else []
        if arguments.control_file:
            inputs.append(_pipe(arguments.control_file))
        asyncio.run(serve(options, Journal(arguments.json), arguments.control, inputs))
    except (BadOption, BadCommand) as error:
        print("focus.demo.bridge: %s" % error, file=sys.stderr)
        return 2
    except OSError as error:
        print("focus.demo.bridge: %s" % error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
