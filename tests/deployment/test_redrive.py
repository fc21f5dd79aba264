"""`make redrive` redrives only the dead letters that existed at its start."""

import argparse
import unittest
from unittest import mock

import fakes  # noqa: F401 - puts localstack/ on the path
import redrive

BEGAN = 1_795_255_200


class Queue:
    """A dead-letter queue whose consumer immediately rejects every redriven message."""

    def __init__(self, *letters):
        self.letters, self.sent = list(letters), 0

    def get_queue_attributes(self, **_):
        return {"ResponseMetadata": {"HTTPHeaders": {"date": "Sat, 21 Nov 2026 10:00:00 GMT"}}}

    def receive_message(self, **_):
        taken, self.letters = self.letters, []
        return {"Messages": taken}

    def send_message(self, MessageBody, **_):
        self.sent += 1
        self.letters.append(letter(f"again-{self.sent}", MessageBody, BEGAN + 0.5))

    def delete_message(self, **_):
        pass


def letter(name, body, at):
    return {"MessageId": name, "ReceiptHandle": name, "Body": body, "Attributes": {"SentTimestamp": str(int(at * 1000))}}


def redriven(*letters):
    queue = Queue(*letters)
    run = redrive.Run(mock.Mock(), queue, "release-stock", "http://sqs/shop-release-stock-dead-letter",
                      argparse.Namespace(dry_run=False, forget=False))
    run.why = mock.Mock(of=lambda *_: "it is not an envelope")
    run.all()
    return queue.sent


class Redrive(unittest.TestCase):
    def test_a_letter_that_is_rejected_again_is_redriven_once(self):
        self.assertEqual(redriven(letter("first", "odd", BEGAN - 60)), 1)

    def test_a_letter_sent_just_before_the_start_is_redriven(self):
        self.assertEqual(redriven(letter("first", "odd", BEGAN + 0.4)), 1)

    def test_all_existing_copies_are_redriven(self):
        self.assertEqual(redriven(letter("first", "odd", BEGAN - 60), letter("second", "odd", BEGAN - 50)), 2)

    def test_a_letter_sent_after_the_start_waits_for_the_next_run(self):
        self.assertEqual(redriven(letter("first", "odd", BEGAN + 5)), 0)
