#!/usr/bin/env python3
"""Writes the source of another release to target/upgrade, and prints its folder.

    tree.py          the next release: this source with tests/upgrade/next.patch
    tree.py v0.2.0   an earlier release: the source of its tag

Unchanged files keep their time, so a second build compiles little. Its crates have a version of their own: cargo would take those of the same
version and relative path for the same crates.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATCH = ROOT / "tests/upgrade/next.patch"
SERVER = "tests/examples/serve_release.rs"


def git(*words, folder=ROOT, **options):
    # The copy is inside this repository. `git apply` would skip files that it takes for files of the repository.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)} if folder != ROOT else None
    return subprocess.run(["git", *words], cwd=folder, env=environment, check=False, capture_output=True, **options)


def present():
    """Returns the files of this source: those that are tracked, and new ones that are not ignored."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    return {name: (ROOT / name).read_bytes() for name in names}


def tagged(tag):
    """Returns the files of a tag."""
    listed = git("ls-tree", "-r", "-z", "--name-only", tag)
    if listed.returncode:
        raise SystemExit(f"error: There is no tag {tag}: fetch the tags, or choose one of git tag.")
    names = [name for name in listed.stdout.decode().split("\0") if name]
    if SERVER not in names:
        raise SystemExit(f"error: {tag} has no {SERVER}: only releases since 0.2.0 can be mixed with another one.")
    return {name: git("show", f"{tag}:{name}").stdout for name in names}


def patched(files):
    """Applies the patch to the files that it names, in a folder of their own."""
    folder = ROOT / "target/upgrade/patching"
    text = PATCH.read_text()
    names = [line.removeprefix("+++ b/") for line in text.splitlines() if line.startswith("+++ b/")]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
    applied = git("apply", str(PATCH), folder=folder)
    if applied.returncode:
        raise SystemExit(
            f"error: tests/upgrade/next.patch does not apply, because the code that it changes has moved:\n\n{applied.stderr.decode()}\n"
            "Make its changes by hand (git apply --3way tests/upgrade/next.patch), write them with\n"
            "git diff -U2 HEAD -- functions > tests/upgrade/next.patch, and undo them (git checkout HEAD -- functions).")
    return {**files, **{name: (folder / name).read_bytes() for name in names}}


def with_version(files):
    """Gives the crates of the workspace a version that no release has."""
    manifest, count = re.subn(r'^version = "([^"]+)"$', r'version = "\1-other"', files["Cargo.toml"].decode(), count=1, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit("error: Cargo.toml has no line version = \"…\": correct with_version in tests/upgrade/tree.py.")
    return {**files, "Cargo.toml": manifest.encode()}


def write(folder, files):
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, content in with_version(files).items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def main():
    tags = sys.argv[1:]
    files = tagged(tags[0]) if tags else patched(present())
    folder = ROOT / "target/upgrade" / (tags[0] if tags else "next")
    write(folder, files)
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
