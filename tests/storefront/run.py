#!/usr/bin/env python3
"""Generates a typed client from the API document of a running shop, checks the types of a storefront, and shops with it.

    run.py URL

The client is in target/storefront. Each type and each operation of the document must be generated, commerce.py and shopper.py must have no
type error, and the shopper must get what the pages of a storefront show. It needs the sample data: stack.py seed.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE.parents[1] / "target/storefront"
TOOLS = Path(sys.executable).parent
FILES = (HERE / "commerce.py", HERE / "shopper.py")


def document(url):
    """Returns the API document of the shop. The generator treats optional authentication as required, so it is removed."""
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=30) as response:
        found = json.load(response)
    for operation in (each for path in found["paths"].values() for each in path.values() if isinstance(each, dict)):
        if {} in operation.get("security", []):
            del operation["security"]
    return found


def generate(api):
    """Writes the client. A part of the document that the generator skips is an error."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    (PLACE / "openapi.json").write_text(json.dumps(api))
    run(TOOLS / "openapi-python-client", "generate", "--path", PLACE / "openapi.json", "--output-path", PLACE / "ferrocart", "--meta", "none",
        "--config", HERE / "client.yaml", "--fail-on-warning")
    operations = sum("operationId" in each for path in api["paths"].values() for each in path.values() if isinstance(each, dict))
    generated = len([file for file in (PLACE / "ferrocart/api").glob("*/*.py") if file.name != "__init__.py"])
    if generated != operations:
        sys.exit(f"The document has {operations} operations, but the client has {generated}.")
    print(f"storefront: client of {operations} operations ... ok", flush=True)


def check_types():
    """Checks the files of this folder against the client. The generated files themselves are not checked."""
    run(TOOLS / "mypy", "--strict", "--follow-imports", "silent", "--cache-dir", PLACE / "mypy", *FILES, environment={"MYPYPATH": str(PLACE)})
    print("storefront: types of commerce.py and shopper.py ... ok", flush=True)


def run(*command, environment=None):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | (environment or {}))
    if result.returncode:
        sys.exit(f"{command[0].name} failed:\n{result.stdout}")


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    url = arguments[0].rstrip("/")
    generate(document(url))
    check_types()
    sys.path[:0] = [str(PLACE), str(HERE)]
    import shopper

    return shopper.run(url)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
