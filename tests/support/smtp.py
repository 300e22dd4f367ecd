"""A small SMTP server of loopback that keeps what it is given: AUTH PLAIN, with STARTTLS or TLS from the first byte.

It can also fall silent, as servers do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email
import ipaddress
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class MailServer:
    """The server: its port, and the messages and credentials that it was given.

    ``tls``: its side of STARTTLS, which it offers then.  ``silent``: the word of the client after which it says
    nothing more ("" = it does not even greet, None = it answers always).
    """

    def __init__(self, tls: ssl.SSLContext | None = None, silent: str | None = None) -> None:
        self.messages: list[Message] = []
        self.credentials: list[str] = []
        self.encrypted: list[str] = []  # versions of TLS of the connections that turned it on
        self.words: list[str] = []
        self.port = 0
        self._tls = tls
        self._silent = silent

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client."""
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._note_tls(writer)
        if self._silent == "":
            await reader.read()
            return
        writer.write(b"220 mail.test\r\n")
        while line := (await reader.readline()).strip():
            word = line.split(b" ")[0].upper()
            self.words.append(word.decode())
            if self._silent == word.decode():
                await reader.read()
                return
            if word == b"EHLO":
                offer = b"250-STARTTLS\r\n" if self._tls is not None else b""
                writer.write(b"250-mail.test\r\n" + offer + b"250 AUTH PLAIN\r\n")
            elif word == b"STARTTLS" and self._tls is not None:
                writer.write(b"220 go on\r\n")
                await writer.start_tls(self._tls)
                self._note_tls(writer)
            elif word == b"AUTH":
                self.credentials.append(base64.b64decode(line.split(b" ")[2]).decode())
                writer.write(b"235 ok\r\n")
            elif word == b"DATA":
                writer.write(b"354 go on\r\n")
                body = await reader.readuntil(b"\r\n.\r\n")
                self.messages.append(email.message_from_bytes(body[:-5]))
                writer.write(b"250 kept\r\n")
            elif word == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
        await writer.drain()

    def _note_tls(self, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("ssl_object")
        if connection is not None:
            self.encrypted.append(connection.version())


@contextmanager
def mail_server(
    *, tls: ssl.SSLContext | None = None, implicit: bool = False, silent: str | None = None
) -> Generator[MailServer]:
    """Run a mail server on a free port of loopback; ``implicit``: with TLS from the first byte."""
    loop, server = asyncio.new_event_loop(), MailServer(None if implicit else tls, silent)
    thread = threading.Thread(target=loop.run_forever, name="mail", daemon=True)
    thread.start()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls if implicit else None)

    async def close(listening: asyncio.Server) -> None:
        listening.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.01)  # what is aborted is closed in a later round of the loop

    listening = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(close(listening), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def certified(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Return a certificate for 127.0.0.1 that signs itself, for SSL_CERT_FILE, and the server's side of TLS with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    moment = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "mail.pem", folder / "mail.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    return certificate, context
