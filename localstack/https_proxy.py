#!/usr/bin/env python3
"""Serves a port of this machine over HTTPS, with a self-signed certificate. `make up HTTPS=1` starts it in front of the emulator.

    https_proxy.py --port 8443 --target 4566 --folder DIR

It ends TLS and forwards the bytes, so requests and responses are unchanged. Each start makes a new certificate: https.pem in the folder,
which clients trust, and https.key.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

from arguments import Parser

CERTIFICATE, KEY = "https.pem", "https.key"
VALID_DAYS = 90
CONNECT_SECONDS = HANDSHAKE_SECONDS = 10
CHUNK_BYTES = 64 * 1024
# Forward secrecy and authenticated encryption, as the gateway's policy on AWS. TLS 1.3 has no other ciphers.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def make_certificate(folder):
    """Writes a certificate for the names of this machine, and its key, which only this user can read."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Ferrocart local stack")])
    names = [x509.DNSName(each) for each in sorted({"localhost", socket.gethostname()})]
    addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
    now = datetime.now(timezone.utc)
    usage = {"digital_signature": True} | {each: False for each in (
        "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")}
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names + addresses), critical=False)
        # It signs no other certificate, so a client that trusts it trusts this server only.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256()))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    remove_certificate(folder)
    with open(os.open(folder / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    (folder / CERTIFICATE).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def remove_certificate(folder):
    for name in (CERTIFICATE, KEY):
        (folder / name).unlink(missing_ok=True)


def server_context(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    return context


async def start(host, port, target, folder):
    """Starts the proxy and returns its server. Port 0 selects a free one."""
    async def connected(reader, writer):
        await forward(reader, writer, target)

    return await asyncio.start_server(connected, host, port, ssl=server_context(folder), ssl_handshake_timeout=HANDSHAKE_SECONDS)


async def forward(reader, writer, target):
    """Forwards the bytes of one connection in both directions until both sides have ended."""
    try:
        upstream_reader, upstream_writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", target), CONNECT_SECONDS)
    except (OSError, asyncio.TimeoutError):
        writer.close()
        return
    await asyncio.gather(copy(reader, upstream_writer), copy(upstream_reader, writer))


async def copy(reader, writer):
    # Either side may close the connection at any time. TLS has no half-closed connections, so its end is the end of both directions.
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            return
    writer.close()


async def serve(args):
    make_certificate(args.folder)
    server = await start(args.host, args.port, args.target, args.folder)
    await server.serve_forever()


def main():
    parser = Parser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="the port to listen on")
    parser.add_argument("--target", type=int, required=True, help="the port of the HTTP server")
    parser.add_argument("--folder", type=Path, required=True, help="the folder of the certificate and its key")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
