"""Bridges: which exist, which one to use, and a conference's exchange with one."""
