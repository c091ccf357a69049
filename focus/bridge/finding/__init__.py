"""How bridges come to be known: the brewery, service discovery, the operator, publish-subscribe (bridge.md 1, 10)."""
