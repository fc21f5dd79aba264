"""Every tool rejects a wrong argument with one sentence."""

import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).parents[2]

WRONG = {
    "logs.py --level loud": "error: loud is not a level: write one of trace, debug, info, warn, error.",
    "logs.py --order bad": "error: bad is not the id of an order: it begins with ord_, and a UUID follows.",
    "logs.py --trace XX": "error: XX is not the id of a trace: it has 8 to 32 of the characters 0-9 and a-f.",
    "logs.py --since yesterday": "error: yesterday is not a duration: write 30m, 12h or 2d.",
    "logs.py --since 0h": "error: 0h is not a duration: write 30m, 12h or 2d.",
    "logs.py --since": "error: --since: expected one argument.",
    "trace.py ord_1": "error: ord_1 is not the id of an order: it begins with ord_, and a UUID follows.",
    "reconcile.py --order ord_1": "error: ord_1 is not the id of an order: it begins with ord_, and a UUID follows.",
    "samples.py create-order --via air": "error: air is not a valid via: write one of docker.",
    "deploy.py sell": "error: sell is not a valid command: write one of deploy, destroy.",
    "stack.py start --port": "error: --port: expected one argument.",
    "mails.py 1 2": "error: unrecognized arguments: 2.",
    "restore.py": "error: the following arguments are required: table.",
    "demo.py": "error: the following arguments are required: url.",
    "smoke.py --pay maybe": "error: maybe is not a valid pay: write one of yes, no.",
}


class Arguments(unittest.TestCase):
    def test_a_wrong_argument_is_rejected_with_one_sentence(self):
        for command, answer in WRONG.items():
            with self.subTest(command):
                script, *arguments = command.split()
                ran = subprocess.run([sys.executable, ROOT / "localstack" / script, *arguments], capture_output=True, text=True)
                self.assertEqual((ran.returncode, ran.stdout, ran.stderr), (2, "", answer + "\n"))

    def test_every_tool_uses_the_common_parser(self):
        tools = [path for path in (ROOT / "localstack").glob("*.py") if "argparse.ArgumentParser(" in path.read_text()]
        self.assertEqual(tools, [], "use arguments.Parser")

    def test_make_rejects_other_architectures(self):
        ran = subprocess.run(["make", "release", "ARCHITECTURE=foo"], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 2)
        self.assertIn("foo is not an architecture of Lambda: write ARCHITECTURE=arm64 or x86_64", ran.stderr)

    def test_make_rejects_unknown_functions(self):
        ran = subprocess.run(["make", "release", "FUNCTION=get-jwk"], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 2)
        self.assertIn("There is no function get-jwk: write FUNCTION=get-jwks, or another one of functions/README.md", ran.stderr)

    def test_a_release_of_one_function_builds_it_alone(self):
        ran = subprocess.run(["make", "--dry-run", "release", "ARCHITECTURE=x86_64", "FUNCTION=get-jwks"], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("cargo lambda build --release --workspace --exclude tests --bin get-jwks", ran.stdout)
