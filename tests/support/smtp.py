"""A small SMTP server of loopback that keeps what it is given; plain text, AUTH PLAIN and LOGIN are taken and kept."""

from __future__ import annotations

import asyncio
import base64
import email
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message


class MailServer:
    """The server: its port, and the messages and credentials that it was given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.credentials: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client."""
        writer.write(b"220 mail.test\r\n")
        while line := (await reader.readline()).strip():
            word = line.split(b" ")[0].upper()
            if word == b"EHLO":
                writer.write(b"250-mail.test\r\n250 AUTH PLAIN\r\n")
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
        writer.close()


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run a mail server on a free port of loopback."""
    loop, server = asyncio.new_event_loop(), MailServer()
    thread = threading.Thread(target=loop.run_forever, name="mail", daemon=True)
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(asyncio.start_server(server.serve, "127.0.0.1", 0), loop).result(10)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(listening.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
