"""Names of certificates, and certificates in words (C-1003, U-8, U-9)."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus.xmpp import certificate, tls
from focus.xmpp.errors import TlsFailed
from tests.support.certificates import TestAuthority


@pytest.mark.parametrize("name, pattern, matches", [
    ("auth.meet.example", "auth.meet.example", True),
    ("AUTH.meet.example.", "auth.MEET.example", True),
    ("auth.meet.example", "*.meet.example", True),
    ("a.b.meet.example", "*.meet.example", False),
    ("meet.example", "*.meet.example", False),
    ("auth.meet.example", "*.example", False),
    ("auth.meet.example", "a*.meet.example", False),
    ("auth.meet.example", "*", False),
    ("meet.example", "*.example", False),
    (".meet.example", "*.meet.example", False),
    ("auth.meet.example", "meet.example", False),
    ("auth.meet.example", "auth.meet.example.evil.example", False),
    ("bücher.example", "xn--bcher-kva.example", True),
    ("localhost", "localhost", True),
    ("", "", False),
])
def test_host_names(name, pattern, matches):
    assert tls.matches(name, [("DNS", pattern)]) is matches


@pytest.mark.parametrize("name, known, matches", [
    ("127.0.0.1", ("IP Address", "127.0.0.1"), True),
    ("127.0.0.1", ("DNS", "127.0.0.1"), False),
    ("[::1]", ("IP Address", "0:0:0:0:0:0:0:1"), True),
    ("::1", ("IP Address", "<invalid>"), False),
    ("127.0.0.2", ("IP Address", "127.0.0.1"), False),
])
def test_addresses(name, known, matches):
    assert tls.matches(name, [known]) is matches


def test_common_name_counts_only_alone():
    subject = ((("commonName", "auth.meet.example"),),)
    assert tls.certificate_names({"subject": subject}) == [("DNS", "auth.meet.example")]
    with_names = {"subject": subject, "subjectAltName": (("DNS", "a"), ("URI", "x:y"), ("IP Address", "::1"))}
    assert tls.certificate_names(with_names) == [("DNS", "a"), ("IP Address", "::1")]


def test_certificate_in_words(tmp_path):
    file, _ = TestAuthority(tmp_path, "Some CA").issue(["auth.meet.example", "*.meet.example", "127.0.0.1", "::1"])
    der = ssl.PEM_cert_to_DER_cert(file.read_text())
    read = certificate.read(der)
    assert (read.subject, read.issuer) == ("CN=auth.meet.example", "CN=Some CA")
    assert read.names == ("auth.meet.example", "*.meet.example", "127.0.0.1", "::1")
    assert read.fingerprint == certificate.fingerprint(der) and read.fingerprint.count(":") == 31
    assert read.valid_from[:4].isdigit() and read.valid_from < read.valid_until
    own = certificate.read(ssl.PEM_cert_to_DER_cert((tmp_path / "ca.pem").read_text()))
    assert "(self-signed)" in own.describe() and "names none" in own.describe()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_certificate_or_a_value_error(data):
    with pytest.raises(ValueError):
        certificate.read(b"\x30" + data)


def test_damaged_certificates(tmp_path):
    file, _ = TestAuthority(tmp_path).issue(["auth.meet.example"])
    der = ssl.PEM_cert_to_DER_cert(file.read_text())
    for place in range(len(der)):
        damaged = der[:place] + bytes([der[place] ^ 0xFF]) + der[place + 1:]
        for data in (der[:place], damaged):
            try:
                assert "SHA-256 fingerprint" in certificate.read(data).describe()
            except ValueError:
                pass


def test_contexts(tmp_path):
    authority = TestAuthority(tmp_path)
    strict = tls.TlsSettings(str(authority.ca_file)).context()
    assert strict.verify_mode == ssl.CERT_REQUIRED
    assert tls.TlsSettings(verify=False).context().verify_mode == ssl.CERT_NONE
    (tmp_path / "broken.pem").write_text("no certificate")
    for name in ("broken.pem", "missing.pem"):
        with pytest.raises(TlsFailed, match="ca_file .*%s can't be used" % name):
            tls.TlsSettings(str(tmp_path / name)).context()
