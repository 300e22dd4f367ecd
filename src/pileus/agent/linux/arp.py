"""Tell the neighbours that an address lives here now (gratuitous ARP)."""

from __future__ import annotations

import socket
import struct

_ARP = 0x0806
_BROADCAST = b"\xff" * 6


def announce(link: str, mac: str, addresses: list[str]) -> None:
    """Send one gratuitous ARP request for each address from the link, in the calling thread's namespace."""
    source = bytes.fromhex(mac.replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP)) as sender:
        sender.bind((link, _ARP))
        for address in addresses:
            own = socket.inet_aton(address)
            header = _BROADCAST + source + struct.pack("!H", _ARP)
            request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
            sender.send(header + request + source + own + bytes(6) + own)
