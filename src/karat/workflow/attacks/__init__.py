"""Attacks on privacy that take a run, and not only what it made."""
