"""Downloads of templates from the cloud's image store, by the host's own certificate."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from pileus.agent.registry import OperationError
from pileus.wire.enrolment import SERVER_NAME
from pileus.wire.storage import Image

_BLOCK = 1024 * 1024
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class Fetcher:
    """Fetches images by HTTPS with mutual TLS; the checksum is checked while the bytes go by."""

    def __init__(self, context: Callable[[], ssl.SSLContext]) -> None:
        self._context = context

    def __call__(self, image: Image, target: Path, progress: Callable[[float], None]) -> None:
        """Write the image to `target` (a new file); raises OperationError when bytes or checksum are wrong."""
        if urlsplit(image.url).scheme != "https":
            raise OperationError("image-url", f"image {image.uuid} must come by https, not from {image.url}")
        algorithm, expected = parse_checksum(image.checksum)
        digest = hashlib.new(algorithm)
        try:
            self._download(image, target, digest.update, progress)
        except httpx.HTTPStatusError as error:
            text = f"the image store answered {error.response.status_code} for image {image.uuid}"
            raise OperationError("image-fetch", text, retryable=True) from error
        except httpx.HTTPError as error:
            text = f"image {image.uuid} could not be fetched from the image store"
            raise OperationError("image-fetch", text, True, f"{type(error).__name__}: {error}") from error
        if digest.hexdigest() != expected:
            text = f"image {image.uuid} has the wrong checksum {digest.hexdigest()}, expected {expected}"
            raise OperationError("image-checksum", text, retryable=True)

    def _download(
        self,
        image: Image,
        target: Path,
        update: Callable[[bytes], None],
        progress: Callable[[float], None],
    ) -> None:
        got, told = 0, time.monotonic()
        with (
            httpx.Client(verify=self._context(), timeout=_TIMEOUT, trust_env=False) as client,
            client.stream(
                "GET",
                image.url,
                headers={"accept-encoding": "identity"},
                extensions={"sni_hostname": SERVER_NAME},
            ) as response,
            target.open("wb") as file,
        ):
            response.raise_for_status()
            size = image.size or int(response.headers.get("content-length", 0))
            for block in response.iter_raw(_BLOCK):
                file.write(block)
                update(block)
                got += len(block)
                if size and time.monotonic() - told > 0.5:
                    told = time.monotonic()
                    progress(min(got / size, 1.0))
        if image.size and got != image.size:
            text = f"image {image.uuid} came with {got} bytes instead of {image.size}"
            raise OperationError("image-size", text, retryable=True)


def parse_checksum(text: str) -> tuple[str, str]:
    """Split `{SHA-256}hex` into hashlib's name and the digest; other algorithms than SHA-2 are refused."""
    names = {"SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
    name, _, digest = text.removeprefix("{").partition("}")
    if name not in names or not digest:
        raise OperationError("image-checksum", f"{text!r} is not a checksum such as {{SHA-256}}hex digits")
    return names[name], digest.lower()
