"""A whole meeting on one machine: a small bridge, and what opens and checks the meeting. Not part of the focus."""
