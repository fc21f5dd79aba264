"""`make mutants`: the outcomes are counted per crate, and a crate below the threshold fails."""

import contextlib
import io
import json
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))
import mutants  # noqa: E402


def outcome(summary, package="orders", name="replace < with > in Order::is_payable"):
    """An outcome as cargo-mutants 27.1.0 writes it."""
    mutant = {"name": f"functions/{package}/src/domain/order.rs:7:9: {name}", "package": package, "file": f"functions/{package}/src/domain/order.rs",
              "function": {"function_name": "is_payable", "return_type": "-> bool"}, "span": {"start": {"line": 7, "column": 9}},
              "replacement": ">", "genre": "BinaryOperator"}
    return {"scenario": {"Mutant": mutant}, "summary": summary, "log_path": "log/order.log", "diff_path": "diff/order.diff", "phase_results": []}


def outcomes(*all):
    baseline = {"scenario": "Baseline", "summary": "Success", "log_path": "log/baseline.log", "diff_path": None, "phase_results": []}
    return {"outcomes": [baseline, *all], "total_mutants": len(all), "cargo_mutants_version": mutants.VERSION}


def options(**chosen):
    return SimpleNamespace(**{"package": None, "file": None, "shard": None, "changed": None, **chosen})


class Report(unittest.TestCase):
    def test_outcomes_are_counted_per_crate(self):
        counts = mutants.count(outcomes(outcome("CaughtMutant"), outcome("MissedMutant", name="delete !"), outcome("Unviable"),
                                        outcome("Timeout", name="replace += with -="), outcome("CaughtMutant", "users")))
        self.assertEqual(list(counts), ["orders", "users"])
        orders = counts["orders"]
        self.assertEqual((orders.mutants, orders.caught, orders.unviable, orders.score), (4, 1, 1, 50))
        self.assertEqual(orders.missed, ["functions/orders/src/domain/order.rs:7:9: delete !"])
        self.assertEqual(orders.timeouts, ["functions/orders/src/domain/order.rs:7:9: replace += with -="])

    def test_unknown_outcome_is_an_error(self):
        with self.assertRaisesRegex(SystemExit, "unknown outcome Failure"):
            mutants.count(outcomes(outcome("Failure")))

    def test_missed_mutants_and_crates_below_the_threshold_are_listed(self):
        counts = mutants.count(outcomes(outcome("CaughtMutant"), outcome("MissedMutant", name="delete !"), outcome("CaughtMutant", "users")))
        lines = mutants.report(counts)
        self.assertEqual(lines[0], "missed: functions/orders/src/domain/order.rs:7:9: delete !")
        self.assertEqual(lines[2].split(), ["orders", "2", "1", "1", "0", "0", "50.0", "%"])
        self.assertEqual(lines[3].split(), ["users", "1", "1", "0", "0", "0", "100.0", "%"])
        self.assertEqual([line for line in lines if "fewer than" in line], [lines[-1]])
        self.assertTrue(lines[-1].startswith("orders: "))

    def test_threshold_is_a_score_of_95_percent(self):
        for caught, missed, is_too_low in ((95, 5, False), (94, 5, True), (19, 1, False), (18, 1, True), (1, 0, False), (0, 1, True)):
            counts = mutants.count(outcomes(*[outcome("CaughtMutant")] * caught, *[outcome("MissedMutant")] * missed))
            self.assertEqual(counts["orders"].is_too_low, is_too_low, f"{caught} caught, {missed} missed")

    def test_unviable_mutants_and_timeouts_have_no_score(self):
        counts = mutants.count(outcomes(outcome("Unviable"), outcome("Timeout")))
        self.assertEqual((counts["orders"].score, counts["orders"].is_too_low), (None, False))
        self.assertEqual(mutants.report(counts)[-1].split()[-1], "-")

    def test_score_is_rounded_down(self):
        counts = mutants.count(outcomes(*[outcome("CaughtMutant")] * 1899, *[outcome("MissedMutant")] * 101))
        self.assertIn("94.9 %", mutants.report(counts)[-2])


class Run(unittest.TestCase):
    def run_with(self, written, *arguments, status=0, diff=""):
        """Runs `make mutants` with a cargo-mutants that writes these outcomes. Returns the status and what is printed."""
        def tested(command, **_):
            if written is not None:
                folder = mutants.WORK / "mutants.out"
                folder.mkdir(parents=True)
                (folder / "outcomes.json").write_text(json.dumps(written))
            return SimpleNamespace(returncode=status)

        output = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, mock.patch.multiple(mutants, WORK=Path(folder), install=mock.DEFAULT), \
                mock.patch.object(mutants.sys, "argv", ["mutants.py", *arguments]), mock.patch.object(mutants, "changes", return_value=diff), \
                mock.patch.object(mutants.subprocess, "run", tested), contextlib.redirect_stdout(output):
            return mutants.main(), output.getvalue()

    def test_status_is_1_below_the_threshold(self):
        self.assertEqual(self.run_with(outcomes(outcome("CaughtMutant")))[0], 0)
        self.assertEqual(self.run_with(outcomes(outcome("CaughtMutant"), outcome("MissedMutant")), status=2)[0], 1)
        self.assertEqual(self.run_with(outcomes(outcome("CaughtMutant"), outcome("Timeout")), status=3)[0], 0)

    def test_failing_tests_without_a_change_are_an_error(self):
        with self.assertRaisesRegex(SystemExit, "the unit tests fail without a change"):
            self.run_with(outcomes(), status=4)
        with self.assertRaisesRegex(SystemExit, "it ended with status 70"):
            self.run_with(outcomes(), status=70)

    def test_selection_without_a_mutant_is_an_error_unless_it_is_a_part(self):
        self.assertEqual(self.run_with(None, "--file", "functions/orders/src/domain/odrer.rs")[0], 1)
        self.assertEqual(self.run_with(None, "--shard", "7/8")[0], 0)
        self.assertEqual(self.run_with(None, "--changed", "origin/main", diff="--- a/tests/main.rs")[0], 0)

    def test_branch_without_a_changed_rust_file_starts_nothing(self):
        status, printed = self.run_with(outcomes(outcome("MissedMutant")), "--changed", "origin/main")
        self.assertEqual((status, printed), (0, "No Rust file has changed since origin/main.\n"))


class Selection(unittest.TestCase):
    def words(self, **chosen):
        return mutants.command(options(**chosen), chosen.get("diff"))

    def test_every_domain_and_the_pure_modules_of_shared_are_changed(self):
        found = mutants.packages()
        domains = {path.parts[-3] for path in mutants.ROOT.glob("functions/*/src/domain*")}
        self.assertEqual(set(found), domains | {"shared"})
        self.assertGreaterEqual(len(domains), 7)
        for globs in found.values():
            for glob in globs:
                self.assertTrue(list(mutants.ROOT.glob(glob)), glob)
        words = self.words()
        self.assertIn("--package=orders", words)
        self.assertIn("--file=functions/orders/src/domain/**/*.rs", words)
        self.assertIn("--file=functions/notifications/src/domain.rs", words)

    def test_source_is_copied_and_only_libraries_are_built(self):
        words = self.words()
        self.assertNotIn("--in-place", words)
        self.assertIn("--cargo-arg=--lib", words)
        self.assertIn(f"--output={mutants.WORK}", words)

    def test_crate_file_part_and_diff_are_passed_on(self):
        words = self.words(package="orders", shard="1/8", diff="changed.diff")
        self.assertEqual([word for word in words if word.startswith("--package=")], ["--package=orders"])
        self.assertEqual(words[-2:], ["--shard=1/8", "--in-diff=changed.diff"])
        words = self.words(package="orders", file="functions/orders/src/domain/order.rs")
        self.assertEqual([word for word in words if word.startswith("--file=")], ["--file=functions/orders/src/domain/order.rs"])

    def test_file_determines_its_crate(self):
        self.assertEqual(mutants.parse(["--file", "functions/users/src/domain/**/*.rs"]).package, "users")
        self.assertEqual(mutants.parse(["--file", "shared/src/money.rs"]).package, "shared")

    def test_invalid_arguments_are_rejected(self):
        for arguments in (["--shard", "8/8"], ["--shard", "1"], ["--shard", "0/0"], ["--package", "order"], ["--file", "tests/main.rs"]):
            with self.subTest(arguments), contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
                mutants.parse(arguments)

    def test_unknown_revision_is_an_error(self):
        with self.assertRaisesRegex(SystemExit, "There is no common commit with nowhere"):
            mutants.changes("nowhere")

    def test_diff_has_the_rust_files_only(self):
        changed = [line for line in mutants.changes("HEAD").splitlines() if line.startswith("+++ ")]
        self.assertTrue(all(line.endswith(".rs") or line == "+++ /dev/null" for line in changed), changed)

    def test_every_exclusion_has_a_reason(self):
        text = (mutants.ROOT / ".cargo/mutants.toml").read_text()
        excluded = tomllib.loads(text)
        self.assertEqual(set(excluded), {"exclude_re"})
        self.assertIn("    # ", text.split("exclude_re = [\n")[1].splitlines()[0])


class Install(unittest.TestCase):
    def test_failed_installation_says_what_to_do(self):
        failed = SimpleNamespace(returncode=101, stdout="")
        with mock.patch.object(mutants, "PROGRAM", Path("/missing")), mock.patch.object(mutants.subprocess, "run", return_value=failed), \
                contextlib.redirect_stderr(io.StringIO()), self.assertRaisesRegex(SystemExit, "check the connection to crates.io"):
            mutants.install()

    def test_pinned_version_is_not_installed_again(self):
        present = SimpleNamespace(returncode=0, stdout=f"cargo-mutants {mutants.VERSION}\n")
        with mock.patch.object(mutants, "PROGRAM", Path(__file__)), mock.patch.object(mutants.subprocess, "run", return_value=present) as run:
            mutants.install()
        self.assertEqual(run.call_count, 1)


if __name__ == "__main__":
    unittest.main()
