"""TLS of client connections: certificate and name are verified (C-1003, U-8, U-9)."""

from __future__ import annotations

import ipaddress
import os
import ssl
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from gevent import ssl as gevent_ssl

from focus.xmpp import certificate
from focus.xmpp.errors import CertificateRefused, ConnectionLost, NoAnswer, StreamFailure, TlsFailed, describe_os_error

Reconnect = Callable[[], Any]
"""Opens another connection and returns its socket, ready for a TLS handshake."""


class TlsSettings:
    """How TLS is done.

    ca_file: a PEM file of authorities (or of the server's own certificate) trusted besides the system's store;
    verify: False accepts any certificate.
    """

    def __init__(self, ca_file: Optional[str] = None, verify: bool = True) -> None:
        self.ca_file = ca_file
        self.verify = verify

    def context(self) -> ssl.SSLContext:
        """A context for one handshake. Raises TlsFailed if ca_file can't be used."""
        context: ssl.SSLContext = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # two names are to be tried: see _check_names
        if not self.verify:
            context.verify_mode = ssl.CERT_NONE
            return context
        context.verify_mode = ssl.CERT_REQUIRED
        # A certificate in ca_file is trusted even if it is not an authority: the server's own may be given.
        context.verify_flags |= getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0x80000)
        _trust_system(context)
        if self.ca_file:
            try:
                context.load_verify_locations(cafile=self.ca_file)
            except (OSError, ssl.SSLError) as error:
                raise TlsFailed("ca_file %s can't be used: %s" % (self.ca_file, describe_os_error(error))) from None
        return context


def _trust_system(context: ssl.SSLContext) -> None:
    """Trust the system's authorities.

    From a directory by hash, as Debian has it, OpenSSL reads the one it needs; a bundle is read whole, which takes
    100 ms and some MB. A bundle somebody names (SSL_CERT_FILE) counts if it isn't that of the directory.
    """
    paths = ssl.get_default_verify_paths()
    if not paths.capath or not _has_hashes(paths.capath):
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    context.load_verify_locations(capath=paths.capath)
    if paths.cafile and os.path.dirname(os.path.realpath(paths.cafile)) != os.path.realpath(paths.capath):
        try:
            context.load_verify_locations(cafile=paths.cafile)
        except (OSError, ssl.SSLError) as error:
            raise TlsFailed("the system's bundle of authorities %s can't be used: %s" % (
                paths.cafile, describe_os_error(error))) from None


def _has_hashes(directory: str) -> bool:
    """Whether the directory holds certificates under the names OpenSSL looks for: eight digits and a number."""
    try:
        with os.scandir(directory) as entries:
            return any(entry.name[8:10] == ".0" for entry in entries)
    except OSError:
        return False


def handshake(raw: Any, settings: TlsSettings, domain: str, host: str, port: int, reconnect: Reconnect) -> Any:
    """Do the TLS handshake on a connected socket; returns the TLS socket.

    domain: the XMPP domain, sent as the name asked for and checked first; host: the configured host name, checked
    second. reconnect: to look at a refused certificate (nothing but a handshake is done on that connection).
    Raises CertificateRefused, TlsFailed, ConnectionLost, NoAnswer.
    """
    server = "%s:%d" % (host, port)
    try:
        wrapped = settings.context().wrap_socket(raw, server_hostname=domain)
    except ssl.SSLCertVerificationError as error:
        reason = getattr(error, "verify_message", "") or str(error)
        reason = "PKIX path building failed: " + reason  # the words people look for (U-8)
        raise refused(server, reason, _look_at(reconnect, domain), (domain, host), settings) from None
    except ssl.SSLError as error:
        raise TlsFailed("TLS handshake with %s failed: %s" % (server, error.reason or error)) from None
    except OSError as error:
        if "timed out" in str(error):
            raise NoAnswer("%s did not answer during the TLS handshake" % server) from None
        raise ConnectionLost("connection to %s lost in the TLS handshake: %s"
                             % (server, describe_os_error(error))) from None
    if settings.verify:
        _check_names(wrapped, domain, host, server, settings)
    return wrapped


def _check_names(wrapped: Any, domain: str, host: str, server: str, settings: TlsSettings) -> None:
    """The certificate must be for the XMPP domain or for the configured host name (U-9)."""
    known = certificate_names(wrapped.getpeercert())
    tried = (domain,) if domain == host else (domain, host)
    if any(matches(name, known) for name in tried):
        return
    der = wrapped.getpeercert(binary_form=True)
    wrapped.close()
    raise refused(server, "Hostname verification of certificate failed. Certificate does not authenticate %s" % domain,
                  der, tried, settings)


def refused(server: str, reason: str, der: Optional[bytes], names: Sequence[str],
            settings: TlsSettings) -> CertificateRefused:
    """The failure that describes the certificate and the ways to go on."""
    if der is None:
        description = "could not be fetched"
    else:
        try:
            description = certificate.read(der).describe()
        except ValueError:
            description = "malformed, SHA-256 fingerprint " + certificate.fingerprint(der)
    names = tuple(dict.fromkeys(names))
    if reason.startswith("Hostname"):
        advice = ("Give the server a certificate for %s, or set the host here to a name the certificate has"
                  % names[0])
    else:
        more = "" if not settings.ca_file else " (it is %s now)" % settings.ca_file
        advice = ("If the fingerprint is the server's, set ca_file to a file with that certificate or its authority's"
                  "%s, or add it to the system's store (/usr/local/share/ca-certificates, update-ca-certificates)"
                  % more)
    return CertificateRefused(server, reason, description, names, advice)


def _look_at(reconnect: Reconnect, domain: str) -> Optional[bytes]:
    """The certificate the server shows, unverified; None if it can't be had."""
    try:
        raw = reconnect()
        try:
            wrapped = TlsSettings(verify=False).context().wrap_socket(raw, server_hostname=domain)
            try:
                der: Optional[bytes] = wrapped.getpeercert(binary_form=True)
                return der
            finally:
                wrapped.close()
        finally:
            raw.close()
    except (OSError, StreamFailure):
        return None


def certificate_names(peer: Dict[str, Any]) -> List[Tuple[str, str]]:
    """(kind, name) pairs of a verified certificate, as `getpeercert` describes it.

    The common name counts only where there is no alternative name at all (RFC 6125 6.4.4).
    """
    names = [(kind, name) for kind, name in peer.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    if not names:
        names = [("DNS", value) for group in peer.get("subject", ()) for kind, value in group if kind == "commonName"]
    return names


def matches(name: str, known: Sequence[Tuple[str, str]]) -> bool:
    """Whether `name` (host name or IP address) is among the names of a certificate.

    A '*' stands for exactly one whole label, the leftmost (RFC 6125 6.4.3).
    """
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        wanted = _labels(name)
        return any(kind == "DNS" and _labels_match(wanted, _labels(pattern)) for kind, pattern in known)
    for kind, pattern in known:
        if kind == "IP Address":
            try:
                if ipaddress.ip_address(pattern) == address:
                    return True
            except ValueError:
                continue
    return False


def _labels(name: str) -> List[str]:
    try:
        ascii_name = name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError:
        ascii_name = name
    return ascii_name.rstrip(".").lower().split(".")


def _labels_match(wanted: List[str], pattern: List[str]) -> bool:
    if len(wanted) != len(pattern) or "" in wanted:
        return False
    if pattern[0] == "*" and len(pattern) > 2:
        return wanted[1:] == pattern[1:]
    return wanted == pattern
