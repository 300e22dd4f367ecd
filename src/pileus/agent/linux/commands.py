"""Run the few programs that have no library: an argument list, a time limit, and an error that says what went wrong."""

from __future__ import annotations

import subprocess


class CommandError(Exception):
    """A program failed: which one, how, and what it said."""


def run(arguments: list[str], *, text: str = "", timeout: float = 30.0) -> str:
    """Run a program in the calling thread's network namespace and return its output; CommandError when it fails."""
    try:
        done = subprocess.run(arguments, input=text, text=True, capture_output=True, timeout=timeout, check=False)
    except FileNotFoundError:
        raise CommandError(f"{arguments[0]} is not installed on this host") from None
    except subprocess.TimeoutExpired:
        raise CommandError(f"{' '.join(arguments)} took more than {timeout:.0f} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[:2000]
        raise CommandError(f"{' '.join(arguments)} ended with {done.returncode}: {said}")
    return done.stdout
