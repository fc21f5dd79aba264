"""A rollback deploys the release before, from its packaged templates, and only if that release can read what is stored."""

import argparse
import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from fakes import PACKAGED, Aws

import answers as config  # noqa: E402 (fakes.py adds it to the path)
import releases  # noqa: E402
import rollback  # noqa: E402
import stored_states  # noqa: E402
from rollback import CommandError  # noqa: E402

ANSWERS = config.Answers("shop", "eu-west-1", {"Stage": "dev", "SenderAddress": "a@example.com", "PaymentProvider": "simulated"})


class Rollback(unittest.TestCase):
    def setUp(self):
        self.aws = Aws("UPDATE_COMPLETE", {"orders": False})

    def released(self, day, states=("orders.Status=pending",), templates=True):
        """Records a deployment of this day with these states."""
        time, address = f"2026-11-{day}T00:00:00.000Z", f"s3://bucket/shop/{day}" if templates else None
        for name, body in [("template.yaml", PACKAGED + f"# {day}"), ("parameters.json", json.dumps({"Stage": "dev", "RetrySeconds": day}))]:
            self.aws.put_object("bucket", f"shop/{day}/{name}", body.encode())
        with mock.patch.object(stored_states, "known", lambda: list(states)), mock.patch.object(releases, "commit", lambda: f"commit-{day}"):
            releases.record(self.aws, "shop", time, address)

    def rollback(self, sam=0, check=False):
        """Runs a rollback at noon. `self.sam` has the command of sam, `self.template` the template that it deploys."""
        self.sam, self.template = [], None

        def run(command, **_):
            self.sam = [str(word) for word in command]
            self.template = Path(self.sam[self.sam.index("--template-file") + 1]).read_text()
            return argparse.Namespace(returncode=sam)

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "samconfig.toml"
            config.write(ANSWERS, config.definitions(), path)
            with mock.patch("subprocess.run", run), mock.patch.object(releases, "now", lambda: "2026-11-30T12:00:00.000Z"), \
                    contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()) as printed:
                rollback.rollback(lambda _region: self.aws, argparse.Namespace(config=path, check=check))
        return printed.getvalue()

    def test_the_release_before_is_deployed_with_its_templates_and_parameters(self):
        for day in (11, 12, 13):
            self.released(day)
        printed = self.rollback()
        self.assertEqual(self.template, PACKAGED + "# 12")
        self.assertIn("RetrySeconds=12", self.sam)
        self.assertIn("Canary=AllAtOnce", self.sam)
        self.assertIn("commit-12", printed)
        self.assertEqual(self.aws.changes, ["protect orders"])
        self.assertEqual(self.aws.invocations, [("shop-check-health:live", {}, "2026-11-30T12:00:00.000Z")])

    def test_a_second_rollback_goes_to_the_release_before_that(self):
        for day in (11, 12, 13):
            self.released(day)
        self.rollback()
        current = releases.current(self.aws, "shop")
        self.assertEqual((current["commit"], current["rolled_back_from"]), ("commit-12", "deployment#2026-11-13T00:00:00.000Z"))
        self.rollback()
        self.assertEqual(self.template, PACKAGED + "# 11")
        with self.assertRaisesRegex(CommandError, "No deployment before .* is recorded"):
            self.rollback()

    def test_a_release_that_does_not_know_a_stored_state_is_refused(self):
        self.released(11, ["orders.Status=pending"])
        self.released(12, ["orders.Status=pending", "orders.Status=parked"])
        with self.assertRaisesRegex(CommandError, r"commit-11.* does not know states that may be stored: orders\.Status=parked\. Deploy a release"):
            self.rollback()
        self.assertEqual((self.sam, self.aws.changes), ([], []))

    def test_a_state_that_an_earlier_release_has_stored_is_still_refused(self):
        self.released(11, ["a=1"])
        self.released(12, ["a=1", "a=2"])
        self.released(13, ["a=1"])  # reverted by hand
        self.released(14, ["a=1"])
        with self.assertRaisesRegex(CommandError, "states that may be stored: a=2"):
            self.rollback()

    def test_no_record_or_no_templates_is_one_sentence(self):
        with self.assertRaisesRegex(CommandError, "^No deployment of shop is recorded: run make deploy.$"):
            self.rollback()
        self.released(11, templates=False)
        with self.assertRaisesRegex(CommandError, "there is nothing to return to.$"):
            self.rollback()
        self.released(12)
        with self.assertRaisesRegex(CommandError, "deploy its commit with make deploy"):
            self.rollback()

    def test_a_failed_rollback_is_not_recorded(self):
        self.released(11)
        self.released(12)
        before = releases.current(self.aws, "shop")
        with self.assertRaisesRegex(CommandError, "sam deploy failed"):
            self.rollback(sam=1)
        self.assertEqual(releases.current(self.aws, "shop"), before)

    def test_a_check_changes_nothing(self):
        self.released(11)
        self.released(12)
        self.assertIn("make rollback deploys 0.1.0 (commit-11)", self.rollback(check=True).replace(releases.version(), "0.1.0"))
        self.assertEqual((self.sam, self.aws.changes), ([], []))


class StoredStates(unittest.TestCase):
    def test_recorded_states_are_those_of_the_code(self):
        declared = stored_states.declared(stored_states.HERE.parent)
        self.assertEqual(json.loads(stored_states.FILE.read_text()), declared, "run: python3 localstack/stored_states.py --write")

    def test_every_kind_of_enum_is_found(self):
        declared = stored_states.declared(stored_states.HERE.parent)
        for enum, state in [("orders.Status", "pending"), ("payments.AttemptState", "voiding"), ("inventory.State", "held"),
                            ("catalog.Status", "archived"), ("notifications.Delivery", "SENT"), ("provider.DisputeState", "won")]:
            self.assertIn(state, declared[enum])
        code = "\n".join(path.read_text() for path in stored_states.HERE.parent.glob("functions/*/src/**/*.rs"))
        self.assertEqual(code.count("stored_enum!("), len(stored_states.MACRO.findall(code)))
        self.assertEqual(sum(enum.startswith("payments.") for enum in declared), 9)


if __name__ == "__main__":
    unittest.main()
