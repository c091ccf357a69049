"""What goes wrong with a configuration."""
from __future__ import annotations


class ConfigError(Exception):
    """A value is wrong or missing. The text is one line: the option, where the value came from, what would be right."""

    def __init__(self, text: str) -> None:
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in text))
