"""Plain values of the domain: addresses, sources, media, transports. No I/O, no XML, no clock."""
