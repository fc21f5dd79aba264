#!/usr/bin/env python3
"""Lists the states that this source can read from the tables, by enum. `make deploy` records the list with each deployment.

    stored_states.py --write   writes localstack/stored-states.json; a test fails while the file is stale

A rollback compares the lists: a release must know every state that may be stored. A state is a variant of an enum that preserves the values
of later releases, or of one that is tagged with `state`.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = HERE / "stored-states.json"
MACRO = re.compile(r"stored_enum!\s*\(\s*(?:///[^\n]*\s+)*(\w+)\s*\{(.*?)\n    \}", re.DOTALL)
SERDE = re.compile(r'#\[serde\(([^\n]*rename_all = "(\w+)")\)\]\s+(?:pub )?enum (\w+) \{(.*?)\n\}', re.DOTALL)
FROM_TEXT = re.compile(r"impl From<String> for (\w+) \{(.*?)\n\}", re.DOTALL)
NEWER = re.compile(r"#\[serde\(untagged\)\]\s+\w+\(String\)")


def declared(root):
    """Returns the states by `<crate>.<enum>`, as the Rust code declares them."""
    found = {}
    for path in sorted([*root.glob("functions/*/src/**/*.rs"), *root.glob("provider/src/**/*.rs")]):
        crate = path.relative_to(root).as_posix().removeprefix("functions/").split("/")[0]
        found |= {f"{crate}.{name}": states for name, states in declared_in(path.read_text()).items()}
    return dict(sorted(found.items()))


def declared_in(code):
    found = {name: re.findall(r'^\s*\w+ = "([^"]+)",', body, re.MULTILINE) for name, body in MACRO.findall(code)}
    for tag, case, name, body in SERDE.findall(code):
        if NEWER.search(body) or 'tag = "state"' in tag:
            states = [re.sub(r"(?<!^)([A-Z])", r"_\1", variant) for variant in re.findall(r"^    ([A-Z]\w*)(?:,| \{)", body, re.MULTILINE)]
            found[name] = [state.upper() if case.startswith("SCREAMING") else state.lower() for state in states]
    for name, body in FROM_TEXT.findall(code):
        if states := re.findall(r'^\s*"(\w+)" => Self::\w+,', body, re.MULTILINE):
            found[name] = states
    return found


def known():
    """Returns the recorded list as texts such as `orders.Status=pending`."""
    return sorted(f"{enum}={state}" for enum, states in json.loads(FILE.read_text()).items() for state in states)


def main():
    states = declared(HERE.parent)
    text = json.dumps(states, indent=2) + "\n"
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(text)
    elif sys.argv[1:]:
        print("error: The only option is --write.", file=sys.stderr)
        return 2
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
