"""What can go wrong with a directory."""

from __future__ import annotations


class Unavailable(Exception):
    """No server of the directory answers as it should; the text says why, for the log and for admins."""
