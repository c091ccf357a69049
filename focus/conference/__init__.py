"""One conference: what it knows, and the decisions about it. No sockets, no XML, no clock of its own."""
