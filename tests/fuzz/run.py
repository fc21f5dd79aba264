#!/usr/bin/env python3
"""Fuzzes the targets of tests/fuzz with libFuzzer, as many at a time as there are cores.

Each target starts from its seeds, the kept inputs in tests/fuzz/corpus, and what earlier runs have found in target/fuzz. The first input
that violates a property ends its target: it is kept in the corpus, and printed with the command that repeats it.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CORPUS = ROOT / "tests/fuzz/corpus"
WORK = ROOT / "target/fuzz"
# A longer input finds nothing that a shorter one does not, but every run of the tests executes it.
LONGEST_KEPT = 4096
MOST_KEPT = 60
LIMITS = ["-max_len=8192", "-timeout=60", "-rss_limit_mb=4096"]


def main():
    names = sorted(folder.name for folder in CORPUS.iterdir())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=names, help="only this target")
    parser.add_argument("--minutes", type=float, default=1, help="minutes for each target")
    parser.add_argument("--input", type=pathlib.Path, help="repeats this input of the target")
    parser.add_argument("--keep", action="store_true", help="keeps inputs of earlier runs that reach other code than the corpus")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="targets at a time")
    options = parser.parse_args()
    if options.input and not options.target:
        parser.error("an input belongs to a target: add TARGET=")
    program = build()
    if options.input:
        sys.exit(subprocess.run([program, *LIMITS, options.input], env=environment(options.target)).returncode)
    chosen = [options.target] if options.target else names
    if options.keep:
        for name in chosen:
            keep(program, name)
        return
    print(f"{'target':<12}{'seconds':>8}{'inputs':>12}{'per second':>12}{'edges':>8}{'corpus':>8}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda name: fuzz(program, name, options.minutes), chosen))
    sys.exit(not all(results))


def build():
    """Builds the engine with coverage, and returns the path of the program."""
    print("Building the targets; the first time takes a few minutes.", file=sys.stderr)
    command = ["cargo", "test", "--workspace", "--features", "tests/libfuzzer", "--test", "libfuzzer", "--no-run",
               "--message-format=json-render-diagnostics", "--quiet"]
    wrapper = {**os.environ, "RUSTC_WORKSPACE_WRAPPER": str(ROOT / "tests/fuzz/instrument")}
    built = subprocess.run(command, cwd=ROOT, env=wrapper, stdout=subprocess.PIPE, text=True)
    if built.returncode:
        sys.exit(built.returncode)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    return next(message["executable"] for message in messages
                if message.get("target", {}).get("name") == "libfuzzer" and message.get("executable"))


def environment(name, **more):
    return {**os.environ, "FUZZ_TARGET": name, "RUST_BACKTRACE": "0", **more}


def folder(*parts):
    path = WORK.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def fuzz(program, name, minutes):
    """Fuzzes a target. Returns whether all properties hold."""
    seeds, found, log = folder(name, "seeds"), folder(name, "found"), folder(name) / "log"
    command = [program, found, seeds, CORPUS / name, *LIMITS, f"-max_total_time={max(1, round(minutes * 60))}",
               f"-artifact_prefix={folder(name)}/", "-print_final_stats=1", "-reload=0"]
    with log.open("w") as output:
        code = subprocess.run(command, cwd=ROOT, env=environment(name, FUZZ_SEEDS=str(seeds)), stdout=output,
                              stderr=subprocess.STDOUT).returncode
    text = log.read_text(errors="replace")
    progress = re.findall(r"cov: (\d+) .*?corp: (\d+)/", text)
    edges, corpus = progress[-1] if progress else ("-", "-")
    runs = re.search(r"Done (\d+) runs in (\d+)", text)
    executed = re.search(r"number_of_executed_units: (\d+)", text)
    inputs = int(runs.group(1)) if runs else int(executed.group(1)) if executed else 0
    seconds = int(runs.group(2)) if runs else 0
    rate = inputs // seconds if seconds else "-"
    print(f"{name:<12}{seconds or '-':>8}{inputs:>12}{rate:>12}{edges:>8}{corpus:>8}", flush=True)
    if code:
        report(name, text)
    return code == 0


def report(name, text):
    """Keeps the input that violates a property. Prints it with the reason and the command that repeats it."""
    start = max(text.find("panicked at"), 0)
    reason = re.split(r"\nnote: run with|\n==\d+==", text[start:])[0]
    print(f"\n{name}: {reason[:2000].strip()}\n")
    artifact = re.search(r"Test unit written to (\S+)", text)
    if not artifact:
        print(f"No input was written: see {WORK / name / 'log'}.", flush=True)
        return
    written = pathlib.Path(artifact.group(1))
    kept = CORPUS / name / written.name
    shutil.copy(written, kept)
    path = kept.relative_to(ROOT)
    print(f"The input is kept in {path}. Repeat it:\n  make fuzz TARGET={name} INPUT={path}", flush=True)


def keep(program, name):
    """Copies inputs of earlier runs into the corpus, as few as reach all the code that they reach."""
    seeds, found = folder(name, "seeds"), folder(name, "found")
    with tempfile.TemporaryDirectory() as merged:
        for file in [*seeds.iterdir(), *(CORPUS / name).iterdir()]:
            shutil.copy(file, merged)
        before = set(os.listdir(merged))
        command = [program, "-merge=1", "-use_counters=0", *LIMITS, merged, found]
        subprocess.run(command, cwd=ROOT, env=environment(name), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        new = [pathlib.Path(merged, file) for file in set(os.listdir(merged)) - before]
        new = sorted((file for file in new if file.stat().st_size <= LONGEST_KEPT), key=lambda file: file.stat().st_size)
        for file in new[:MOST_KEPT]:
            shutil.copy(file, CORPUS / name)
    print(f"{name}: {len(new[:MOST_KEPT])} inputs kept of {len(list(found.iterdir()))}", flush=True)


if __name__ == "__main__":
    main()
