"""Checksums of templates as clients write them: {SHA-256}hex, or bare hex whose length tells the algorithm."""

from __future__ import annotations

import hashlib
import re

import msgspec

from pileus.core.errors import InvalidParameter

_ALGORITHMS = {
    "MD5": "md5",
    "SHA-1": "sha1",
    "SHA-224": "sha224",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
}
_FORM = re.compile(r"(?:\{([A-Za-z0-9-]+)\})?([0-9A-Fa-f]+)\Z")


class Checksum(msgspec.Struct, frozen=True):
    """An algorithm of hashlib and the expected digest in lower-case hex."""

    algorithm: str
    digest: str


def parse(text: str) -> Checksum:
    """Return the checksum; raises InvalidParameter when it is none."""
    match = _FORM.match(text.strip())
    if match is None:
        raise InvalidParameter("parameter checksum must be hex digits, with a prefix such as {SHA-256} before them")
    digest = match[2].lower()
    if match[1] is not None:
        algorithm = _ALGORITHMS.get(match[1].upper())
        if algorithm is None:
            raise InvalidParameter(f"parameter checksum: {match[1]} is none of {', '.join(_ALGORITHMS)}")
        if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size * 2:
            raise InvalidParameter(f"parameter checksum: {len(digest)} hex digits are no {match[1]} digest")
        return Checksum(algorithm, digest)
    for algorithm in _ALGORITHMS.values():
        if len(digest) == hashlib.new(algorithm, usedforsecurity=False).digest_size * 2:
            return Checksum(algorithm, digest)
    raise InvalidParameter(f"parameter checksum: no algorithm makes digests of {len(digest)} hex digits")
