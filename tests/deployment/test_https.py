"""HTTPS in front of the local stack: TLS versions, the pinned certificate, and the start and end of the proxy."""

import argparse
import contextlib
import io
import json
import socket
import ssl
import tempfile
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest import mock

import fakes  # noqa: F401 (it sets the path of the scripts)

import client  # noqa: E402
import https_proxy  # noqa: E402
import stack as local  # noqa: E402
from client import Api, ApiError  # noqa: E402


class Upstream(BaseHTTPRequestHandler):
    """Answers with the method, the path and the body of the request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        answer = json.dumps({"method": self.command, "path": self.path, "body": body}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, *_):
        pass


class Https(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.here = Path(folder.name)
        upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        Thread(target=upstream.serve_forever, daemon=True).start()
        self.addCleanup(upstream.server_close)
        self.addCleanup(upstream.shutdown)
        self.enterContext(mock.patch.object(client, "STATE", self.here / ".state"))
        self.said = self.enterContext(contextlib.redirect_stderr(io.StringIO()))
        self.stack = self.of("local")
        self.stack.save(port=upstream.server_port, bind="127.0.0.1", pid=0, url=f"http://127.0.0.1:{upstream.server_port}/api/v1")
        self.http = self.stack.state["url"]
        self.addCleanup(lambda: local.stop_https(self.stack))

    def of(self, name):
        stack = local.Stack(name)
        stack.folder = self.here / ".state" / name
        stack.file = stack.folder / "stack.json"
        return stack

    def serve(self):
        port = local.free_port()
        local.serve_https(self.stack, port)
        return port

    def handshake(self, port, **versions):
        context = ssl.create_default_context(cafile=self.stack.certificate)
        for name, value in versions.items():
            setattr(context, name, value)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, \
                context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            return secure.version(), secure.cipher()[0]

    def test_requests_and_responses_pass_unchanged(self):
        self.serve()
        self.assertRegex(self.stack.state["url"], r"^https://127\.0\.0\.1:\d+/api/v1$")
        api = Api(self.stack.state["url"])
        self.assertEqual(api.call("GET", "/orders?limit=2").body, {"method": "GET", "path": "/api/v1/orders?limit=2", "body": ""})
        long = {"note": "ä" * 300_000}
        self.assertEqual(json.loads(api.as_caller("token").call("POST", "/orders", long).body["body"]), long)

    def test_tls_1_2_and_1_3_are_accepted_with_forward_secrecy(self):
        port = self.serve()
        self.assertEqual(self.handshake(port)[0], "TLSv1.3")
        version, cipher = self.handshake(port, maximum_version=ssl.TLSVersion.TLSv1_2)
        self.assertEqual((version, cipher.split("-")[0]), ("TLSv1.2", "ECDHE"))
        self.assertIs(https_proxy.server_context(self.stack.folder).minimum_version, ssl.TLSVersion.TLSv1_2)

    def test_only_the_certificate_of_the_stack_is_trusted(self):
        port = self.serve()
        address = f"https://127.0.0.1:{port}"
        self.assertIsNone(client.tls_context(self.http))
        self.assertEqual(client.tls_context(f"{address}/api/v1").cert_store_stats()["x509"], 1)
        self.assertNotEqual(client.tls_context("https://127.0.0.1:1").cert_store_stats()["x509"], 1)
        for context in (client.tls_context(address), client.tls_context("https://shop.example")):
            self.assertEqual((context.verify_mode, context.check_hostname), (ssl.CERT_REQUIRED, True))
        # Another server on the same port has another certificate.
        stranger = self.of("stranger")
        stranger.folder.mkdir(parents=True)
        https_proxy.make_certificate(stranger.folder)
        (self.stack.folder / https_proxy.CERTIFICATE).write_bytes((stranger.folder / https_proxy.CERTIFICATE).read_bytes())
        with self.assertRaisesRegex(ApiError, "CERTIFICATE_VERIFY_FAILED"):
            Api(self.stack.state["url"]).call("GET", "/orders")

    def test_only_the_user_can_read_the_key(self):
        self.serve()
        self.assertEqual((self.stack.folder / https_proxy.KEY).stat().st_mode & 0o777, 0o600)

    def test_proxy_moves_and_ends_with_the_address(self):
        first = self.serve()
        pid = self.stack.state["https"]["pid"]
        local.serve_https(self.stack, first)
        self.assertEqual(self.stack.state["https"]["pid"], pid)
        second = self.serve()
        self.assertFalse(local.in_use(first))
        self.assertEqual(self.stack.state["url"], f"https://127.0.0.1:{second}/api/v1")
        local.serve_https(self.stack, None)
        self.assertFalse(local.in_use(second))
        self.assertEqual(json.loads(self.stack.file.read_text())["url"], self.http)
        self.assertEqual([file.name for file in self.stack.folder.glob("https.*") if file.suffix != ".log"], [])

    def test_proxy_that_has_ended_is_named(self):
        self.serve()
        local.end(self.stack.state["https"]["pid"])
        with mock.patch.object(local.Stack, "running", return_value=True), \
                self.assertRaisesRegex(local.CommandError, "^The HTTPS proxy of the local stack has ended: run make up HTTPS=1"):
            self.stack.must_be_deployed()

    def test_option_is_1_or_a_port(self):
        wanted = lambda text: local.wanted_https_port(argparse.Namespace(https=text))  # noqa: E731
        self.assertEqual([wanted(text) for text in (None, "", "0", "1", "9443")], [None, None, None, 8443, 9443])
        for text in ("yes", "-1", "70000"):
            with self.assertRaisesRegex(local.CommandError, f"^HTTPS={text} is neither 1 nor a port: write HTTPS=1"):
                wanted(text)


if __name__ == "__main__":
    unittest.main()
