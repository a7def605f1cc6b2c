"""A WebSocket echo server over OpenSSL, with Python's standard library alone.

    openssl.py CHAIN KEY VERSION [AUTHORITY]

VERSION is 1.2 or 1.3. With AUTHORITY, clients must have a certificate of it. What happens is said on stdout, a line
each: `port N`, then `open VERSION new|resumed` (the handshake is over), `refused REASON` and `goodbye clean|cut`.
"""

import base64
import hashlib
import socket
import ssl
import struct
import sys
import threading

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
say_lock = threading.Lock()


def say(text):
    with say_lock:
        print(text, flush=True)


def take(stream, count):
    data = bytearray()
    while len(data) < count:
        piece = stream.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def upgrade(stream):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += take(stream, 1)
    key = next(
        line.split(b":", 1)[1].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    )
    accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
    stream.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def frame(opcode, payload):
    if len(payload) < 126:
        length = bytes([len(payload)])
    elif len(payload) < 1 << 16:
        length = b"\x7e" + struct.pack(">H", len(payload))
    else:
        length = b"\x7f" + struct.pack(">Q", len(payload))
    return bytes([0x80 | opcode]) + length + payload


def echo(stream):
    while True:
        first, second = take(stream, 2)
        opcode, length = first & 15, second & 127
        if length == 126:
            (length,) = struct.unpack(">H", take(stream, 2))
        elif length == 127:
            (length,) = struct.unpack(">Q", take(stream, 8))
        mask = take(stream, 4)
        payload = take(stream, length)
        pad = (mask * (length // 4 + 1))[:length]
        whole = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
        stream.sendall(frame(opcode, whole.to_bytes(length, "big")))
        if opcode == 8:
            return


def serve(context, plain):
    try:
        stream = context.wrap_socket(plain, server_side=True)
    except (OSError, ssl.SSLError) as error:
        say(f"refused {getattr(error, 'reason', None) or error}")
        return plain.close()
    kind = "resumed" if stream.session_reused else "new"
    say(f"open {stream.version()} {kind}")
    end = "cut"
    try:
        upgrade(stream)
        echo(stream)
        # The client's close_notify is waited for.
        stream.unwrap()
        end = "clean"
    except (EOFError, OSError):
        pass
    say(f"goodbye {end}")
    stream.close()


def main(chain, key, version, authority=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    only = ssl.TLSVersion.TLSv1_2 if version == "1.2" else ssl.TLSVersion.TLSv1_3
    context.minimum_version = context.maximum_version = only
    if authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    say(f"port {listener.getsockname()[1]}")
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=serve, args=(context, plain), daemon=True).start()


main(*sys.argv[1:])
