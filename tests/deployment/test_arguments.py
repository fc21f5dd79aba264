"""Every tool rejects a wrong argument with one sentence."""

import re
import subprocess
import sys
import tomllib
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
    "deploy.py deploy --link half": "error: half is not a valid link: write one of dynamic, static.",
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

    def make(self, *words):
        return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True)

    def test_make_rejects_other_architectures(self):
        ran = self.make("release", "ARCHITECTURE=foo")
        self.assertEqual(ran.returncode, 2)
        self.assertIn("foo is not an architecture of Lambda: write ARCHITECTURE=arm64 or x86_64", ran.stderr)

    def test_make_rejects_unknown_functions(self):
        ran = self.make("release", "FUNCTION=get-jwk")
        self.assertEqual(ran.returncode, 2)
        self.assertIn("There is no function get-jwk: write FUNCTION=get-jwks, or another one of functions/README.md", ran.stderr)

    def test_a_release_of_one_function_builds_it_alone(self):
        ran = self.make("--dry-run", "release", "ARCHITECTURE=x86_64", "FUNCTION=get-jwks")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("cargo lambda build --release --workspace --exclude tests --bin get-jwks", ran.stdout)
        self.assertNotIn("RUSTFLAGS", ran.stdout)

    def test_make_rejects_other_ways_to_link(self):
        for target in ("release", "bench", "names"):
            ran = self.make(target, "LINK=half")
            self.assertEqual(ran.returncode, 2)
            self.assertIn("half is not a way to link: write LINK=dynamic or LINK=static", ran.stderr)

    def test_a_static_release_is_built_by_gcc_for_its_architecture(self):
        for architecture, machine in (("arm64", "aarch64"), ("x86_64", "x86_64")):
            ran = self.make("--dry-run", "release", f"ARCHITECTURE={architecture}", "LINK=static", "FUNCTION=get-jwks", "GCC=true")
            self.assertEqual(ran.returncode, 0, ran.stderr)
            command = " ".join(ran.stdout.replace("\\\n", " ").split())
            self.assertIn('RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static"', command)
            self.assertIn(f"CARGO_TARGET_{machine.upper()}_UNKNOWN_LINUX_GNU_LINKER=true CC_{machine}_unknown_linux_gnu=true", command)
            self.assertIn(f"--bin get-jwks --{architecture.replace('_', '-')} --compiler cargo", command)

    def test_a_static_release_without_its_gcc_is_rejected_with_the_command_that_installs_it(self):
        ran = self.make("--dry-run", "release", "LINK=static", "GCC=absent-gcc")
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertIn("LINK=static needs absent-gcc: run apt-get install ", ran.stderr)

    def test_the_benchmark_measures_the_functions_with_a_budget(self):
        budgets = tomllib.loads((ROOT / "tests/bench/budgets.toml").read_text())
        ran = self.make("--dry-run", "bench")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(re.findall(r"--bin (\S+)", ran.stdout), list(budgets["functions"]))
        chosen = self.make("--dry-run", "bench", "FUNCTIONS=get-order")
        self.assertEqual(re.findall(r"--bin (\S+)", chosen.stdout), ["get-order"])
