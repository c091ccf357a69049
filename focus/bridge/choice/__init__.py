"""Which bridge a participant gets, and who is moved: pure functions over values (bridge.md 3, 5, 8.4, 8.5)."""
