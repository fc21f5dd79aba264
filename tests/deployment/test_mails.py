"""`make mails`: the list of the local stack's mails, one of them, and the error if the list is empty."""

import contextlib
import io
import json
import tempfile
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from unittest import mock

import fakes  # noqa: F401 (it sets the path of the scripts)

import mails  # noqa: E402
from stack import Stack  # noqa: E402


def kept(subject, second, to="ada@example.com"):
    return {"Source": '"Ferrocart" <shop@example.com>', "To": [to], "Subject": subject, "Timestamp": 1764324000.0 + second,
            "BodyText": f"Hello,\n\n{subject}.\n", "BodyHtml": f"<p>{subject}</p>"}


class Emulator(BaseHTTPRequestHandler):
    messages = {}

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"messages": self.messages}).encode())

    def log_message(self, *_):
        pass


class Mails(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        server = HTTPServer(("127.0.0.1", 0), Emulator)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        Thread(target=server.serve_forever, daemon=True).start()
        self.port = server.server_address[1]
        Emulator.messages = {"1": [kept("Your order is confirmed", 2), kept("Welcome", 1)], "2": [kept("Your refund", 3, "bob@example.com")]}

    def run_with(self, *given, running=True):
        out, err = io.StringIO(), io.StringIO()
        state = mock.patch.object(Stack, "endpoint", f"http://127.0.0.1:{self.port}")
        alive = mock.patch.object(Stack, "running", lambda _: running)
        folder = mock.patch.object(mails, "FOLDER", self.folder)
        with state, alive, folder, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = mails.main(list(given))
        return status, out.getvalue(), err.getvalue()

    def test_the_list_shows_the_newest_mail_first(self):
        status, out, err = self.run_with()
        self.assertEqual((status, err), (0, ""))
        rows = [line.split(maxsplit=3) for line in out.splitlines()[1:4]]
        self.assertEqual([(number, to, subject) for number, _time, to, subject in rows],
                         [("3", "bob@example.com", "Your refund"), ("2", "ada@example.com", "Your order is confirmed"),
                          ("1", "ada@example.com", "Welcome")])

    def test_one_mail_is_printed_and_its_html_written(self):
        for given, subject, number in [(["2"], "Your order is confirmed", 2), (["--last"], "Your refund", 3)]:
            status, out, _ = self.run_with(*given)
            path = self.folder / f"{number}.html"
            self.assertEqual(status, 0)
            self.assertIn(f"Subject: {subject}\n\nHello,\n\n{subject}.\n\nHTML: {path}", out)
            self.assertEqual(path.read_text(), f"<p>{subject}</p>")

    def test_a_mail_shows_its_trace(self):
        Emulator.messages = {"1": [kept("Welcome", 1) | {"Headers": {"X-Trace-Id": "0af7651916cd43dd8448eb211c80319c"}}]}
        self.assertIn("\nTrace:   0af7651916cd43dd8448eb211c80319c\n", self.run_with("1")[1])

    def test_an_unknown_mail_is_rejected_with_one_sentence(self):
        for given, said in [(["4"], "There is no mail 4: the numbers are 1 to 3."), (["0"], "There is no mail 0: the numbers are 1 to 3."),
                            (["-1"], "There is no mail -1: the numbers are 1 to 3."), (["x"], "N must be the number of a mail: 'x' is not a number.")]:
            self.assertEqual(self.run_with(*given), (1, "", f"error: {said}\n"))
        Emulator.messages = {}
        self.assertEqual(self.run_with(), (1, "", "error: No mails yet: the local stack has sent none. make demo sends some.\n"))
        self.assertEqual(self.run_with(running=False), (1, "", "error: The local stack is not running: run make up.\n"))


if __name__ == "__main__":
    unittest.main()
