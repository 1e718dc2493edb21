"""The password check of a SPICE server, seen from a client (the protocol's "link" phase)."""

from __future__ import annotations

import socket
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_MAGIC = b"REDQ"
_HEADER = struct.Struct("<4sIII")  # magic, major, minor, size of what follows
_MAIN_CHANNEL = 1
_KEY_BYTES = 162


def is_accepted(server: socket.socket, password: str) -> bool:
    """Whether the server at the other end of a connection lets in who knows ``password``.

    A server without a password accepts any.
    """
    # connection 0, main channel number 0, no capabilities: so the server wants a ticket at once
    request = struct.pack("<IBBIII", 0, _MAIN_CHANNEL, 0, 0, 0, 18)
    server.sendall(_HEADER.pack(_MAGIC, 2, 2, len(request)) + request)
    magic, _, _, size = _HEADER.unpack(_receive(server, _HEADER.size))
    if magic != _MAGIC:
        raise RuntimeError(f"no SPICE server: {magic!r}")
    reply = _receive(server, size)
    (error,) = struct.unpack_from("<I", reply)
    if error:
        raise RuntimeError(f"the server refuses the channel with error {error}")
    key = serialization.load_der_public_key(reply[4 : 4 + _KEY_BYTES])
    assert isinstance(key, rsa.RSAPublicKey)
    scheme = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    server.sendall(key.encrypt(password.encode() + b"\0", scheme))
    return struct.unpack("<I", _receive(server, 4)) == (0,)


def _receive(server: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = server.recv(count - len(data))
        if not more:
            raise EOFError(f"the server hung up after {data!r}")
        data += more
    return data
