"""Checks every command of the runbook without running it."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from unittest import mock

import botocore.session
from botocore import xform_name
from botocore.validate import ParamValidator

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "localstack/README.md"
sys.path.insert(0, str(ROOT / "localstack"))
import deployment  # noqa: E402

# Example values of the variables that the reader of the runbook sets.
EXAMPLES = {
    "STACK": "shop", "AWS_REGION": "eu-central-1", "OTHER_REGION": "eu-west-1", "OPERATION": "create-order", "QUEUE": "reserve-stock",
    "TABLE": "orders", "ORDER": "ord_0199c2a8-0000-7000-8000-0000000000f1", "PRODUCT": "prd_0199c2a8-0000-7000-8000-00000000000a",
    "TIME": "2026-11-28T10:00", "UNTIL": "2026-11-28T11:00", "RULE": "shop-resume-orders", "TAG": "v0.2.0",
    "MAPPING": "0199c2a8-0000-7000-8000-000000000001", "SECRET": "sk_live_x", "OPERATOR": "ada", "ACCESS_KEY": "AKIAIOSFODNN7EXAMPLE",
    "QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/111111111111/shop-reserve-stock", "SENDER": "shop@example.com",
    "RESTORED_TABLE": "shop-orders-at-20261128-100000", "PLAN": "0199c2a8-0000-7000-8000-000000000002",
    "RECEIPT": "AQEBx", "ADDRESS": "buyer@example.com", "SECRET_NAME": "shop/users-key", "RETAINED_TABLE": "shop-later",
    "BACKUP": "arn:aws:dynamodb:eu-central-1:111111111111:table/shop-later/backup/01795255200000-1a2b3c4d",
    "RECOVERY_POINT": "arn:aws:backup:eu-west-1:111111111111:recovery-point:1", "ROLE": "arn:aws:iam::111111111111:role/restore",
}
AWS_GLOBAL = {"region", "output", "query", "profile", "endpoint-url"}
SCALARS = {"integer": int, "long": int, "float": float, "double": float, "blob": str.encode}


class Wrong(Exception):
    pass


def commands(text):
    """Returns every line of every command block."""
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```", text)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def check(command):
    """Raises `Wrong` if the command cannot work."""
    words = shlex.split(filled_in(command))
    checks = {"aws": aws, "make": make, "python3": python, "export": export, "git": git}
    if words[0] not in checks:
        raise Wrong(f"nothing checks {words[0]}")
    checks[words[0]](words[1:])


def filled_in(command):
    def value(match):
        if match[1] not in EXAMPLES:
            raise Wrong(f"${match[1]} has no example")
        return EXAMPLES[match[1]]

    return re.sub(r"\$([A-Z_]+)", value, command)


def export(words):
    name = words[0].split("=")[0]
    if len(words) != 1 or name not in EXAMPLES:
        raise Wrong("a variable that no command uses")


def git(words):
    known = subprocess.run(["git", words[0], "-h"], capture_output=True, text=True).stdout
    for word in words[1:]:
        if word.startswith("--") and word.removeprefix("--") not in known:
            raise Wrong(f"git {words[0]} has no {word}")


def make(words):
    target, variables = words[0], words[1:]
    recipe = re.search(rf"(?m)^{re.escape(target)}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text())
    if not recipe:
        raise Wrong(f"there is no target {target}")
    for variable in variables:
        if f"$({variable.split('=')[0]})" not in recipe[1]:
            raise Wrong(f"{target} does not use {variable}")
    planned = subprocess.run(["make", "--dry-run", target, *variables], cwd=ROOT, capture_output=True, text=True)
    if planned.returncode:
        raise Wrong(planned.stderr)
    for script in re.findall(r"(?m)^python3 (localstack/.*)", planned.stdout.replace("\\\n", " ")):
        if not script.startswith("localstack/stack.py"):
            python(shlex.split(script))


def python(words):
    """Runs the script until it has parsed its arguments."""
    read = []

    def stop(parser, *_):
        read.append(parser.parse_args())
        return 0

    path = ROOT / words[0]
    if not path.exists():
        raise Wrong(f"there is no {words[0]}")
    with mock.patch.object(sys, "argv", [str(path), *words[1:]]), mock.patch.object(deployment, "main", stop), \
            mock.patch.object(sys, "stderr", mock.Mock()):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise Wrong(f"{words[0]} does not take {' '.join(words[1:])}") from None
    if not read:
        raise Wrong(f"{words[0]} reads no arguments")


def aws(words):
    aws_call(words)


@lru_cache
def model(service):
    try:
        return botocore.session.get_session().get_service_model(service)
    except Exception:
        raise Wrong(f"AWS has no service {service}") from None


def aws_call(words):
    """Returns the service, the operation and its parameters, as the AWS CLI would send them."""
    service, name, words = words[0], words[1], list(words[2:])
    operation = next((each for each in model(service).operation_names if xform_name(each, "-") == name), None)
    if not operation:
        raise Wrong(f"{service} has no {name}")
    shape = model(service).operation_model(operation).input_shape
    options = {xform_name(member, "-"): (member, shape.members[member]) for member in shape.members} if shape else {}
    given = {}
    if (service, name) == ("lambda", "invoke") and words[-1].startswith("/"):
        words.pop()
    while words:
        option = words.pop(0)
        values = []
        while words and not words[0].startswith("--"):
            values.append(words.pop(0))
        if option.removeprefix("--") in AWS_GLOBAL and len(values) == 1:
            continue
        flag = option.removeprefix("--no-")
        if flag != option and flag in options and options[flag][1].type_name == "boolean":
            given[options[flag][0]] = False
            continue
        if option.removeprefix("--") not in options:
            raise Wrong(f"{service} {name} has no {option}")
        member, kind = options[option.removeprefix("--")]
        given[member] = value_of(kind, values, option)
    report = ParamValidator().validate(given, shape) if shape else None
    if report and report.has_errors():
        raise Wrong(report.generate_report())
    return service, xform_name(operation), given


def value_of(shape, values, option):
    if shape.type_name == "boolean":
        if values:
            raise Wrong(f"{option} takes no value")
        return True
    if not values:
        raise Wrong(f"{option} needs a value")
    if values[0][:1] in "[{" and shape.type_name in ("list", "structure", "map"):
        return json.loads(values[0])
    if shape.type_name == "list":
        return [value_of(shape.member, [value], option) for value in values]
    if shape.type_name in ("structure", "map"):
        return dict(pair.split("=", 1) for pair in values[0].split(","))
    if len(values) != 1:
        raise Wrong(f"{option} takes one value")
    if getattr(shape, "enum", None) and values[0] not in shape.enum:
        raise Wrong(f"{option} is one of {', '.join(shape.enum)}")
    return SCALARS.get(shape.type_name, str)(values[0])
