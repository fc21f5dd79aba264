"""The workflows: actions pinned by hash, no stored secrets, minimal permissions, a timeout for each job, and commands that exist."""

import re
import subprocess
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = re.compile(r"[a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
READ, OIDC = {"contents": "read"}, {"contents": "read", "id-token": "write"}
ENVIRONMENTS = ["staging", "production"]


class Loader(yaml.SafeLoader):
    """Keeps `on` a string, which YAML 1.1 reads as true."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def workflow(name):
    return yaml.load((ROOT / f".github/workflows/{name}.yml").read_text(), Loader)


def jobs():
    """Returns (workflow, name, job) of every job."""
    return [(path.stem, name, job) for path in WORKFLOWS for name, job in workflow(path.stem)["jobs"].items()]


def steps():
    return [(f"{file}.{name}", step) for file, name, job in jobs() for step in job.get("steps", [])]


def commands():
    return [line.strip() for _, step in steps() for line in step.get("run", "").splitlines()]


class Workflows(unittest.TestCase):
    def test_every_action_is_pinned_by_hash_and_names_its_version(self):
        for path in WORKFLOWS:
            for line in re.findall(r"uses: (.*)", path.read_text()):
                if not line.startswith("./.github/workflows/"):
                    self.assertRegex(line, rf"^{PINNED.pattern}$", path.name)

    def test_an_action_has_the_same_hash_everywhere(self):
        lines = {line for path in WORKFLOWS for line in re.findall(r"uses: ([a-z-]+/.*)", path.read_text())}
        self.assertEqual(len(lines), len({line.split("@")[0] for line in lines}), lines)

    def test_called_workflows_exist(self):
        for file, name, job in jobs():
            if "uses" in job:
                self.assertTrue((ROOT / job["uses"]).exists(), f"{file}.{name}")

    def test_no_workflow_has_a_secret(self):
        for path in WORKFLOWS:
            text = path.read_text()
            for word in ("secrets.", "secrets:", "aws-access-key-id", "aws-secret-access-key", "AWS_SECRET_ACCESS_KEY"):
                self.assertNotIn(word, text, f"{path.name}: credentials come from the role of the environment")

    def test_only_a_release_may_exchange_a_token(self):
        for path in WORKFLOWS:
            self.assertEqual(workflow(path.stem)["permissions"], READ, path.name)
        wider = {(file, name): job["permissions"] for file, name, job in jobs() if "permissions" in job}
        self.assertEqual(wider, {("release", "release"): OIDC, ("deploy", "staging"): OIDC, ("deploy", "production"): OIDC})

    def test_every_job_has_a_timeout(self):
        for file, name, job in jobs():
            if "uses" not in job:
                self.assertLessEqual(job["timeout-minutes"], 240, f"{file}.{name}")

    def test_no_checkout_keeps_the_token(self):
        found = [step["with"]["persist-credentials"] for _, step in steps() if "actions/checkout@" in step.get("uses", "")]
        self.assertEqual(set(found), {"false"})

    def test_no_command_contains_text_of_an_event(self):
        for place, step in steps():
            for expression in re.findall(r"\$\{\{\s*(.*?)\s*\}\}", step.get("run", "")):
                self.assertRegex(expression, r"^matrix\.", f"{place}: pass it through env")

    def test_untrusted_events_start_nothing(self):
        for path in WORKFLOWS:
            events = workflow(path.stem)["on"].keys()
            self.assertEqual(events - {"push", "pull_request", "workflow_call", "workflow_dispatch", "schedule"}, set(), path.name)

    def test_every_command_exists(self):
        found = [line for line in commands() if line.startswith("make ")]
        self.assertGreater(len(found), 6)
        for line in set(found):
            with self.subTest(line):
                command = re.sub(r"\$\{\{ matrix\.\w+ \}\}", "arm64", line)
                ran = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True)
                self.assertEqual(ran.returncode, 0, ran.stderr)
        for line in commands():
            if line.startswith("."):
                self.assertTrue((ROOT / line).exists(), line)

    def test_production_follows_a_tested_staging_and_has_its_build(self):
        deploy = workflow("deploy")
        self.assertEqual(deploy["on"], {"push": {"branches": ["main"]}})
        after = {name: job.get("needs") for name, job in deploy["jobs"].items()}
        self.assertEqual(after, {"test": None, "build": "test", "staging": "build", "production": "staging"})
        self.assertEqual([deploy["jobs"][name]["with"]["environment"] for name in ENVIRONMENTS], ENVIRONMENTS)

    def test_a_release_builds_nothing_and_ends_with_the_smoke_test(self):
        job = workflow("release")["jobs"]["release"]
        self.assertEqual(job["environment"], "${{ inputs.environment }}")
        runs = [step.get("run", "") for step in job["steps"]]
        self.assertIn("BUILD=no", runs[-2])
        self.assertTrue(runs[-2].startswith("make deploy ") and runs[-1].startswith("make smoke "), runs)
        self.assertEqual(job["concurrency"]["cancel-in-progress"], "false")

    def test_ci_builds_a_function_for_each_architecture(self):
        matrix = workflow("ci")["jobs"]["release"]["strategy"]["matrix"]["include"]
        self.assertEqual([each["architecture"] for each in matrix], ["arm64", "x86_64"])

    def test_every_skipped_check_of_checkov_has_a_reason(self):
        text = (ROOT / ".checkov.yaml").read_text()
        lines = text.split("skip-check:\n")[1].splitlines()
        reasons, checks = lines[0::2], lines[1::2]
        self.assertTrue(all(line.startswith("  # ") and line.endswith(".") for line in reasons), reasons)
        self.assertTrue(all(re.fullmatch(r"  - CKV2?_[A-Z]+_\d+", line) for line in checks), checks)
        self.assertEqual(len(checks), len(set(checks)))


if __name__ == "__main__":
    unittest.main()
