"""Configuration: one table of options, read from flags, variables and an ini file, in that order.

``load`` gives a :class:`Config`, or raises :class:`ConfigError` with a line that says what to put right. The table is
in ``options``, the kinds of values in ``kinds``, what is made from the table (ini, reference page) in ``pages``.
"""
from __future__ import annotations

from focus.config.errors import ConfigError
from focus.config.load import load
from focus.config.value import Config

__all__ = ["Config", "ConfigError", "load"]
