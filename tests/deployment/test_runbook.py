"""The runbook: every command is valid, every name exists, every alarm has a section."""

import re
import unittest
from fnmatch import fnmatch

import runbook
import templates
from runbook import ROOT, RUNBOOK, Wrong


def sections():
    return re.split(r"(?m)^## (?=\d+\. )", RUNBOOK.read_text())[1:]


def names(kind):
    """Returns the names in the lines that begin with `Alarms:`, `Metrics:` or `Log:`."""
    lines = re.findall(rf"(?m)^{kind}: (.*)$", RUNBOOK.read_text())
    return {name for line in lines for name in re.findall(r"`([^`]+)`", line)}


def sources():
    return {path: path.read_text() for folder in ("functions", "shared") for path in (ROOT / folder).rglob("*.rs")}


class Runbook(unittest.TestCase):
    template = "\n".join(path.read_text() for path in templates.paths(ROOT))

    def test_every_command_is_valid(self):
        commands = runbook.commands(RUNBOOK.read_text())
        self.assertGreater(len(commands), 60)
        for command in commands:
            with self.subTest(command):
                runbook.check(command)

    def test_a_wrong_command_is_noticed(self):
        for command in ["make recoil", "make reconcile STACK=shop", 'make reconcile ARGS="--ordr x"', "python3 localstack/restore.py carts",
                        "python3 localstack/none.py", "aws lamda invoke", "aws lambda invok", "aws lambda invoke /dev/stdout",
                        "aws lambda invoke --function-nam x /dev/stdout", "aws events enable-rule --name", "git switch --detached x",
                        "aws lambda put-function-concurrency --function-name x --reserved-concurrent-executions many", "curl x", "make up PORT=1 && rm x",
                        'aws lambda invoke --function-name "$NOBODY" /dev/stdout', "aws cloudwatch describe-alarms --state-value LOUD"]:
            with self.subTest(command), self.assertRaises((Wrong, ValueError)):
                runbook.check(command)

    def test_every_alarm_has_a_section(self):
        patterns = names("Alarms")
        for alarm in re.findall(r"(?m)^  (\w+Alarm):$", self.template):
            self.assertTrue(any(fnmatch(alarm, pattern) for pattern in patterns), f"no section of the runbook covers {alarm}")

    def test_every_alarm_has_a_paragraph_that_links_to_a_section(self):
        paragraphs = dict(re.findall(r"(?ms)^### (\w+Alarm)\n\n(.*?)(?=^#|\Z)", RUNBOOK.read_text()))
        self.assertEqual(sorted(paragraphs), sorted(re.findall(r"(?m)^  (\w+Alarm):$", self.template)))
        for alarm, paragraph in paragraphs.items():
            self.assertRegex(paragraph, r"\[section\s\d+\]\(#", f"the paragraph of {alarm} names no section of the runbook")

    def test_every_named_alarm_metric_and_log_line_exists(self):
        alarms = re.findall(r"(?m)^  (\w+Alarm):$", self.template)
        for name in names("Alarms"):
            self.assertTrue(any(fnmatch(alarm, name) for alarm in alarms), f"there is no alarm {name}")
        code = "\n".join(sources().values()).replace("\\\n", "")
        for metric in names("Metrics"):
            self.assertTrue(f"MetricName: {metric}\n" in self.template or f'"{metric}"' in code, f"there is no metric {metric}")
        for line in names("Log"):
            self.assertTrue(line in code, f"no function logs this: {line}")

    def test_every_section_has_alarms_losses_and_an_end_condition(self):
        self.assertEqual(len(sections()), 11)
        for section in sections():
            title = section.splitlines()[0]
            for part in ("Alarms: ", "\nLost: ", "\nResolved when "):
                self.assertIn(part, section, f"{title} lacks {part.strip()}")

    def test_links_inside_the_runbook_resolve(self):
        text = RUNBOOK.read_text()
        anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^#+ (.*)$", text)}
        for anchor in re.findall(r"\]\(#([^)]+)\)", text):
            self.assertIn(anchor, anchors)


if __name__ == "__main__":
    unittest.main()
