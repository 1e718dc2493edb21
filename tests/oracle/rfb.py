"""The password check of a VNC server, seen from a client (RFC 6143, section 7.2.2)."""

from __future__ import annotations

import socket
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_VERSION = b"RFB 003.008\n"
_BY_PASSWORD = 2


def is_accepted(port: int, password: str) -> bool:
    """Whether the server at ``port`` of this host lets in who knows ``password``."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as server:
        _receive(server, len(_VERSION))
        server.sendall(_VERSION)
        offered = _receive(server, _receive(server, 1)[0])
        if _BY_PASSWORD not in offered:
            raise RuntimeError(f"the server asks for no password: {offered!r}")
        server.sendall(bytes([_BY_PASSWORD]))
        server.sendall(_response(_receive(server, 16), password))
        return struct.unpack(">I", _receive(server, 4)) == (0,)


def _response(challenge: bytes, password: str) -> bytes:
    # DES with each byte's bits in reverse; three times the same key is plain DES.
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
    encryptor = Cipher(algorithms.TripleDES(key * 3), modes.ECB()).encryptor()
    return encryptor.update(challenge) + encryptor.finalize()


def _receive(server: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = server.recv(count - len(data))
        if not more:
            raise EOFError(f"the server hung up after {data!r}")
        data += more
    return data
