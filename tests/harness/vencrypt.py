"""VNC over TLS, seen from a client (VeNCrypt 0.2)."""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path

_RFB = b"RFB 003.008\n"
_VENCRYPT = 19

TLS_NONE, TLS_PASSWORD, X509_NONE, X509_PASSWORD = 257, 258, 260, 261


def offers(server: socket.socket) -> list[int]:
    """What the server offers within VeNCrypt; RuntimeError if it offers anything beside it."""
    _receive(server, len(_RFB))
    server.sendall(_RFB)
    security = list(_receive(server, _receive(server, 1)[0]))
    if security != [_VENCRYPT]:
        raise RuntimeError(f"security types {security}, not VeNCrypt alone")
    server.sendall(bytes([_VENCRYPT]))
    if _receive(server, 2) != b"\0\2":
        raise RuntimeError("not VeNCrypt 0.2")
    server.sendall(b"\0\2")
    if _receive(server, 1) != b"\0":
        raise RuntimeError("the server does not want VeNCrypt 0.2")
    count = _receive(server, 1)[0]
    return list(struct.unpack(f">{count}I", _receive(server, 4 * count)))


def encrypt(server: socket.socket, kind: int, authority: Path) -> ssl.SSLSocket:
    """Choose ``kind`` and shake hands; the server must have a certificate of the authority's."""
    server.sendall(struct.pack(">I", kind))
    if _receive(server, 1) != b"\1":
        raise RuntimeError(f"the server does not want {kind}")
    context = ssl.create_default_context(cafile=str(authority))
    return context.wrap_socket(server, server_hostname="127.0.0.1")


def result(server: socket.socket) -> int:
    """The server's last word on the security: 0 lets the client in."""
    (code,) = struct.unpack(">I", _receive(server, 4))
    return int(code)


def _receive(server: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = server.recv(count - len(data))
        if not more:
            raise EOFError(f"the server hung up after {data!r}")
        data += more
    return data
