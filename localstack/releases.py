"""The record of deployments: items of platform's table, which GET /health and `make rollback` read.

`deployment#<time>` describes one deployment, and `deployment#latest` is a copy of the newest one. No function's configuration names a
deployment, so recording one publishes no version.
"""

import re
import subprocess
import tomllib
from datetime import datetime, timezone

import stack as local
import stored_states

LATEST = "deployment#latest"
SETS = ("known_states", "stored_states")


def table(stack):
    return f"{stack}-platform"


def version():
    return tomllib.loads((local.ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def commit():
    """Returns the commit of the source, with `-dirty` if files differ from it."""
    def git(*words):
        result = subprocess.run(["git", "-C", local.ROOT, *words], capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    if not head:
        return "unknown"
    return head + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def current(dynamodb, stack):
    """Returns the newest deployment; `None` if none is recorded."""
    return find(dynamodb, stack, LATEST)


def find(dynamodb, stack, key):
    item = dynamodb.get_item(TableName=table(stack), Key={"pk": {"S": key}}, ConsistentRead=True).get("Item")
    return item and {name: value["S"] if "S" in value else set(value["SS"]) for name, value in item.items()}


def record(dynamodb, stack, time, templates=None):
    """Records a deployment of this source. `templates` is where its packaged templates are stored."""
    before = current(dynamodb, stack)
    known = set(stored_states.known())
    described = {"version": version(), "commit": commit(), "known_states": known,
                 "stored_states": known | (before["stored_states"] if before else set())}
    if before:
        described["previous"] = key(before)
    if templates:
        described["templates"] = templates
    return put(dynamodb, stack, time, described)


def record_rollback(dynamodb, stack, time, replaced, target):
    """Records that `target` is deployed again instead of `replaced`. The next rollback goes to the deployment before `target`."""
    described = {name: target[name] for name in ("version", "commit", "known_states", "templates", "previous") if name in target}
    described |= {"stored_states": replaced["stored_states"], "rolled_back_from": key(replaced)}
    return put(dynamodb, stack, time, described)


def key(deployment):
    return f"deployment#{deployment['deployed_at']}"


def put(dynamodb, stack, time, described):
    described = described | {"deployed_at": time}
    values = {name: {"SS": sorted(value)} if name in SETS else {"S": value} for name, value in described.items()}
    # First the deployment, then the copy: an interruption leaves the earlier copy.
    for name in (key(described), LATEST):
        dynamodb.put_item(TableName=table(stack), Item={"pk": {"S": name}} | values)
    return described


def unknown_states(replaced, target):
    """Returns the states that may be stored and that the release `target` does not know."""
    return sorted(replaced["stored_states"] - target["known_states"])


def bucket_of(packaged):
    """Returns the bucket that `sam package` has uploaded to. Packaged templates name it in the address of each nested template."""
    found = re.search(r"Location: \"?https?://[^/\s]+/([^/\s]+)/\S+\.template", packaged)
    if not found:
        raise local.CommandError("The packaged template names no nested template: see the output of sam above.")
    return found[1]
