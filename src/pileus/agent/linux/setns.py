"""Run a function inside a network namespace: in a thread of its own, so that no other thread ever leaves home.

Sockets made and processes started by the function belong to that namespace for good.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000

T = TypeVar("T")


def inside(namespace: str, function: Callable[[], T]) -> T:
    """Call the function inside a named namespace; FileNotFoundError when there is none of that name."""
    descriptor = os.open(NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _in_thread(lambda libc: libc.setns(descriptor, _CLONE_NEWNET), function)
    finally:
        os.close(descriptor)


def in_new_namespace(function: Callable[[], T]) -> T:
    """Call the function inside a nameless new namespace, which is gone when it returns."""
    return _in_thread(lambda libc: libc.unshare(_CLONE_NEWNET), function)


def _in_thread(enter: Callable[[ctypes.CDLL], int], function: Callable[[], T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            if enter(ctypes.CDLL(None, use_errno=True)) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"cannot enter the network namespace: {os.strerror(number)}")
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
