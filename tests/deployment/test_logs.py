"""`logs.py`: the start time of its queries."""

import io
import time
import unittest
from contextlib import redirect_stderr
from types import SimpleNamespace

import fakes  # noqa: F401
import logs


class Logs:
    """CloudWatch Logs with one group and no entries. It records the requested start times."""

    def __init__(self):
        self.started = []

    def __call__(self, _service):
        return self

    def get_paginator(self, operation):
        def events(logGroupName, startTime, **_streams):
            self.started.append(startTime)
            return [{"events": []}]

        groups = [{"logGroups": [{"logGroupName": "/aws/lambda/shop-orders"}]}]
        return SimpleNamespace(paginate=events if operation == "filter_log_events" else lambda logGroupNamePrefix: groups)


def run(*words):
    """Returns the requested start time in seconds before now, and the output."""
    client, said = Logs(), io.StringIO()
    with redirect_stderr(said):
        logs.logs(SimpleNamespace(name="shop", client=client), logs.arguments().parse_args(words))
    return time.time() - client.started[0] / 1000, said.getvalue().strip()


class Since(unittest.TestCase):
    def test_the_start_time_is_passed_to_cloudwatch(self):
        for words, seconds, said in [
            ([], 600, "10 minutes"), (["--since", "30m"], 1800, "30 minutes"), (["--since", "1h"], 3600, "1 hour"),
            (["--since", "36h"], 36 * 3600, "36 hours"), (["--since", "2d"], 2 * 86400, "2 days"), (["--since", "90m"], 5400, "90 minutes"),
        ]:
            with self.subTest(words):
                before, sentence = run(*words)
                self.assertAlmostEqual(before, seconds, delta=5)
                self.assertEqual(sentence, f"No log entries in the last {said}.")

    def test_all_reads_from_the_first_entry(self):
        before, sentence = run("--all")
        self.assertAlmostEqual(before, time.time(), delta=5)
        self.assertEqual(sentence, "No log entries at all.")


if __name__ == "__main__":
    unittest.main()
