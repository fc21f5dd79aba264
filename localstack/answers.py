"""The settings that `make deploy` asks for once and stores: the stack, its region, and the parameters of template.yaml.

They are stored in samconfig.toml, which `sam` also reads. Any parameter with a default can be added to it by hand.
"""

import difflib
import functools
import json
import re
import shlex
import textwrap
import tomllib
from dataclasses import dataclass, field

import stack as local

CommandError = local.CommandError
CONFIG = local.ROOT / "samconfig.toml"
SECTION = "[default.deploy.parameters]"
# Roles are named <stack>-<region>-<operation>, and IAM allows 64 characters.
STACK_NAME = {"AllowedPattern": r"^[a-z][a-z0-9-]{0,23}$",
              "ConstraintDescription": "must begin with a letter and have at most 24 lower-case letters, digits and hyphens."}
REGION = {"AllowedPattern": r"^[a-z]{2}(-[a-z]+)+-\d$", "ConstraintDescription": "must be a region, such as eu-central-1."}


@dataclass
class Answers:
    stack: str
    region: str
    parameters: dict = field(default_factory=dict)


@dataclass
class Question:
    name: str
    text: str
    default: str = ""


def questions(region):
    return [
        Question("stack", "Name of the stack, which prefixes the names of its functions, tables and queues.", "ferrocart"),
        Question("region", "AWS region to deploy to, such as eu-central-1.", region or ""),
        Question("Stage", "Stage of the deployment: dev, staging or prod. prod accepts only real payments and https addresses, and has a"
                          " web ACL, which costs about 7 USD a month.", "dev"),
        Question("SenderAddress", "Sender address of mails. SES sends it a mail with a confirmation link."),
        Question("PaymentProvider", "Payment provider: stripe, or simulated, which moves no money."),
    ]


def ask(definitions, region, path, read=input, show=print):
    """Asks each question until its answer is valid."""
    show(f"Five questions; the answers are stored in {path}. Enter accepts the value in brackets.")
    rules = {"stack": STACK_NAME, "region": REGION} | definitions
    answers = {}
    for number, question in enumerate(questions(region), 1):
        show("")
        show(textwrap.fill(f"{number}. {question.text}", 100, subsequent_indent="   "))
        while True:
            try:
                given = read(f"   {question.name}{f' [{question.default}]' if question.default else ''}: ").strip() or question.default
            except EOFError:
                raise CommandError(f"There is no terminal for the questions: write {path} first, as localstack/README.md shows.") from None
            wrong = complaint(given, rules[question.name])
            if not wrong:
                break
            show(f"   {wrong}")
        answers[question.name] = given
    return Answers(answers.pop("stack"), answers.pop("region"), answers)


def complaint(value, rule):
    """Returns why a parameter rejects this value; None if it accepts it."""
    allowed = [str(each) for each in rule.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"It must be one of {', '.join(allowed)}."
    if "AllowedPattern" in rule and not re.search(rule["AllowedPattern"], value):
        return f"It {rule.get('ConstraintDescription', 'does not match the pattern of the template.')}"
    if rule.get("Type") == "Number":
        if not re.fullmatch(r"\d+", value):
            return "It must be a whole number."
        if int(value) < rule.get("MinValue", 0):
            return f"It must be at least {rule['MinValue']}."
    return None


def write(answers, definitions, path):
    """Writes the file, with all other parameters as comments."""
    lines = ["# Settings of `make deploy`. To change them, edit this file and run make deploy; to be asked again, delete it.",
             "version = 0.1", "", SECTION, f"stack_name = {json.dumps(answers.stack)}", f"region = {json.dumps(answers.region)}",
             "parameter_overrides = ["]
    lines += [f"    {json.dumps(f'{name}={value}')}," for name, value in answers.parameters.items()]
    lines += ["    # The other parameters, with their defaults. Remove the # to set one."]
    for name, rule in definitions.items():
        if name not in answers.parameters and name != "Local":
            lines += textwrap.wrap(rule["Description"], 120, initial_indent="    # ", subsequent_indent="    # ")
            lines += [f"    # {json.dumps(name + '=' + str(rule.get('Default', '')))},"]
    path.write_text("\n".join([*lines, "]", ""]))


def read(path):
    """Reads the answers from the file; None if it does not exist."""
    if not path.exists():
        return None
    try:
        section = tomllib.loads(path.read_text())["default"]["deploy"]["parameters"]
        overrides = section.get("parameter_overrides", [])
        pairs = shlex.split(overrides) if isinstance(overrides, str) else overrides
        return Answers(section["stack_name"], section["region"], dict(pair.split("=", 1) for pair in pairs))
    except (tomllib.TOMLDecodeError, KeyError, ValueError, TypeError) as error:
        raise CommandError(f"{path} cannot be read ({error}): it needs {SECTION} with stack_name, region and parameter_overrides.") from None


def check(answers, definitions, path):
    """Rejects values that CloudFormation would reject, before the build starts."""
    for name, value, rule in [("stack_name", answers.stack, STACK_NAME), ("region", answers.region, REGION)]:
        if complaint(value, rule):
            raise CommandError(f"{name} in {path} is {value!r}. {complaint(value, rule)}")
    for name, value in answers.parameters.items():
        if name not in definitions:
            near = difflib.get_close_matches(name, definitions, 1)
            raise CommandError(f"{path} sets {name}, which is not a parameter of template.yaml." + (f" Did you mean {near[0]}?" if near else ""))
        wrong = complaint(value, definitions[name])
        if wrong:
            raise CommandError(f"{name} in {path} is {value!r}. {wrong}")
    values = {name: str(rule["Default"]) for name, rule in definitions.items() if "Default" in rule} | answers.parameters
    missing = [name for name in definitions if name not in values]
    if missing:
        raise CommandError(f"{path} does not set {', '.join(missing)}.")
    if values["Stage"] == "prod":
        if values["PaymentProvider"] == "simulated":
            raise CommandError(f"Stage is prod, and the simulated provider moves no money: set PaymentProvider=stripe in {path}.")
        insecure = [name for name in ("StoreUrl", "CorsOrigin") if not values[name].startswith("https://")]
        if insecure:
            raise CommandError(f"Stage is prod, so {' and '.join(insecure)} must be https addresses: set them in {path}.")


@functools.cache
def definitions():
    """The parameters of the template."""
    import templates

    return templates.read(local.ROOT / templates.ROOT_TEMPLATE)["Parameters"]
