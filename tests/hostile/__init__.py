"""What an attacker could send: a grammar of stanzas, and runs of many against the real focus process."""
