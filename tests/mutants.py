#!/usr/bin/env python3
"""Tests the unit tests: cargo-mutants changes the rules, one change at a time, and a crate's unit tests must fail with each change.

It works on a copy of the source, and writes its logs to target/mutants/mutants.out. The status is 1 if the unit tests of a crate notice
fewer than 95 % of its changes. `.cargo/mutants.toml` has the changes that no unit test can notice.
"""

import argparse
import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
VERSION = "27.1.0"
TOOLS = ROOT / "target/tools"
PROGRAM = TOOLS / "bin/cargo-mutants"
WORK = ROOT / "target/mutants"
THRESHOLD = 95
# The modules of shared without I/O.
SHARED = ["money", "retry", "text", "throttle", "validation", "http/card_number", "sweep/longest_wait", "sweep/report", "sweep/stop"]
# Caught, missed and timed out changes. The other statuses are errors: a failing test without a change, or invalid arguments.
FINISHED = (0, 2, 3)
ERRORS = {4: "the unit tests fail without a change", 5: "the files were changed during the run", 6: "the diff is unreadable"}


class Counts:
    """The outcomes of one crate's mutants."""

    def __init__(self):
        self.caught = self.unviable = 0
        self.missed, self.timeouts = [], []

    @property
    def mutants(self):
        return self.caught + self.unviable + len(self.missed) + len(self.timeouts)

    @property
    def score(self):
        """Percentage of caught mutants; `None` if none was caught or missed."""
        decided = self.caught + len(self.missed)
        return 100 * self.caught / decided if decided else None

    @property
    def is_too_low(self):
        return self.score is not None and self.score < THRESHOLD


def main():
    options = parse(sys.argv[1:])
    diff = changes(options.changed) if options.changed else None
    if diff == "":
        print(f"No Rust file has changed since {options.changed}.")
        return 0
    install()
    counts = count(test(options, diff))
    if not counts:
        print("No mutants to test.")
        # A part of the mutants may be empty. A crate or a file without a mutant is a misspelt one.
        return int(not options.shard and not options.changed)
    print("\n".join(report(counts)))
    return int(any(each.is_too_low for each in counts.values()))


def packages():
    """Returns the files of each crate that are changed, as globs."""
    found = {"shared": [f"shared/src/{name}.rs" for name in SHARED]}
    for domain in ROOT.glob("functions/*/src/domain*"):
        path = domain.relative_to(ROOT).as_posix()
        found[domain.parts[-3]] = [f"{path}/**/*.rs" if domain.is_dir() else path]
    return dict(sorted(found.items()))


def parse(arguments):
    names = list(packages())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", choices=names, help="only this crate")
    parser.add_argument("--file", help="only this file, or the files of this glob")
    parser.add_argument("--shard", help="only a part of the mutants: 0/8 to 7/8")
    parser.add_argument("--changed", metavar="REVISION", help="only lines that changed since this branch left REVISION")
    options = parser.parse_args(arguments)
    shard = re.fullmatch(r"(\d+)/(\d+)", options.shard or "0/1")
    if not shard or int(shard[1]) >= int(shard[2]):
        parser.error(f"{options.shard} is not a part of the mutants: write SHARD=0/8 to SHARD=7/8")
    if options.file and not options.package:
        options.package = re.sub(r"^functions/([^/]+)/.*|^(shared)/.*", r"\1\2", options.file)
        if options.package not in names:
            parser.error(f"{options.file} is in no crate of {', '.join(names)}: write FILE=functions/orders/src/domain/order.rs")
    return options


def changes(revision):
    """Returns the diff of the Rust files since this branch left the revision, with changes that are not committed."""
    base = git("merge-base", revision, "HEAD")
    if base.returncode:
        sys.exit(f"error: There is no common commit with {revision}: fetch it with its history, or choose another one with CHANGED=.")
    return git("diff", "--no-color", "--no-ext-diff", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/", base.stdout.strip(), "--",
               "*.rs").stdout


def git(*words):
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)


def install():
    """Installs the pinned cargo-mutants, unless target/tools has it."""
    installed = PROGRAM.exists() and subprocess.run([PROGRAM, "mutants", "--version"], capture_output=True, text=True).stdout.split()
    if installed and installed[-1] == VERSION:
        return
    print(f"Installing cargo-mutants {VERSION}; this takes a few minutes.", file=sys.stderr)
    command = ["cargo", "install", "--quiet", "--locked", "--root", TOOLS, f"cargo-mutants@{VERSION}"]
    if subprocess.run(command, cwd=ROOT).returncode:
        sys.exit(f"error: cargo-mutants {VERSION} was not installed: check the connection to crates.io, then run make mutants again.")


def command(options, diff=None):
    """Returns the command line for the chosen crates and files."""
    chosen = {name: globs for name, globs in packages().items() if options.package in (None, name)}
    globs = [options.file] if options.file else [glob for globs in chosen.values() for glob in globs]
    # --lib also for the build: arguments after `--` are only those of the tests, and each mutant would link every binary.
    # Ignored files are not copied: the local tools are larger than the source.
    words = [str(PROGRAM), "mutants", "--cargo-arg=--lib", "--gitignore=true", "--jobs=1", "--minimum-test-timeout=60", f"--output={WORK}"]
    words += [f"--package={name}" for name in chosen]
    words += [f"--file={glob}" for glob in globs]
    words += [f"--shard={options.shard}"] if options.shard else []
    words += [f"--in-diff={diff}"] if diff else []
    return words


def test(options, diff):
    """Tests the mutants, and returns the parsed outcomes."""
    # Outcomes of an earlier run are never reported as those of this one.
    shutil.rmtree(WORK / "mutants.out", ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    file = WORK / "changed.diff" if diff else None
    if file:
        file.write_text(diff)
    status = subprocess.run(command(options, file), cwd=ROOT).returncode
    if status not in FINISHED:
        reason = ERRORS.get(status, f"it ended with status {status}")
        sys.exit(f"error: cargo-mutants tested nothing, or not everything: {reason}. See {WORK / 'mutants.out/debug.log'}.")
    outcomes = WORK / "mutants.out/outcomes.json"
    return json.loads(outcomes.read_text()) if outcomes.exists() else {"outcomes": []}


def count(outcomes):
    """Counts the outcomes of each crate. The scenario of the tests without a change is a text."""
    counts = collections.defaultdict(Counts)
    for outcome in outcomes["outcomes"]:
        if outcome["scenario"] == "Baseline":
            continue
        mutant = outcome["scenario"]["Mutant"]
        crate = counts[mutant["package"]]
        match outcome["summary"]:
            case "CaughtMutant":
                crate.caught += 1
            case "MissedMutant":
                crate.missed.append(mutant["name"])
            case "Unviable":
                crate.unviable += 1
            case "Timeout":
                crate.timeouts.append(mutant["name"])
            case other:
                sys.exit(f"error: {mutant['name']} has the unknown outcome {other}: compare count in tests/mutants.py with "
                         "the release of cargo-mutants.")
    return dict(sorted(counts.items()))


def report(counts):
    """Returns the lines of the report: the missed mutants, those that timed out, a table, and the crates below the threshold."""
    lines = [f"missed: {name}" for each in counts.values() for name in sorted(each.missed)]
    lines += [f"timed out: {name}" for each in counts.values() for name in sorted(each.timeouts)]
    lines.append(f"{'crate':<14}{'mutants':>9}{'caught':>8}{'missed':>8}{'unviable':>10}{'timeouts':>10}{'score':>9}")
    for name, each in counts.items():
        # Rounded down: 94.99 % fails, and is not shown as 95 %.
        score = "-" if each.score is None else f"{int(each.score * 10) / 10:.1f} %"
        lines.append(f"{name:<14}{each.mutants:>9}{each.caught:>8}{len(each.missed):>8}{each.unviable:>10}{len(each.timeouts):>10}{score:>9}")
    lines += [f"{name}: fewer than {THRESHOLD} % of the changes were noticed. Add a unit test for each missed one."
              for name, each in counts.items() if each.is_too_low]
    return lines


if __name__ == "__main__":
    sys.exit(main())
