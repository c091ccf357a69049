"""The certificate authority of the demo, under the name that the tests use (see `focus.demo.certificates`)."""

from __future__ import annotations

from focus.demo.certificates import LEEWAY, VALIDITY, Authority

__all__ = ["LEEWAY", "VALIDITY", "TestAuthority"]


class TestAuthority(Authority):
    """A certificate authority that lives in one folder."""

    __test__ = False  # the name begins with Test; pytest must not collect it
