"""Writes the copies of template.yaml and the services' templates that one deployment uses.

SAM publishes a version of a function when its code has changed, and does not detect a change of a parameter's value. So each copy names, for
each function, a digest of its code and of its properties with all parameters inserted (AutoPublishCodeSha256). A changed parameter publishes
new versions of exactly the functions that use it, and changed code a version of one function.

A copy also lists in each function's environment what the check of a new version reads: see release_checks.py. The emulator has no CodeDeploy,
so its copies publish versions without it.
"""

import copy
import hashlib
import json
from pathlib import Path

import yaml

import release_checks

ROOT_TEMPLATE = "template.yaml"
SERVICES = "functions/*/template.yaml"
FUNCTION, NESTED = "AWS::Serverless::Function", "AWS::Serverless::Application"
NO_VALUE = {"Ref": "AWS::NoValue"}
# Properties that do not belong to a version: what is called under the function's role, and how a version is published.
NOT_OF_A_VERSION = {"Policies", "CodeUri", "AutoPublishAlias", "DeploymentPreference", "Events"}


SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where the wheel has it


class Loader(SafeLoader):
    """Reads a template, and ignores the short tags of CloudFormation."""


class LongLoader(SafeLoader):
    """Reads a template with the long form of CloudFormation's functions: `{"Ref": "Shop"}`."""


def plain(loader, _suffix, node):
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else loader.construct_mapping(node, deep=True)


def long(loader, name, node):
    value = plain(loader, name, node)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


Loader.add_multi_constructor("!", plain)
LongLoader.add_multi_constructor("!", long)
LongLoader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))  # JSON has no dates


def read(path):
    return yaml.load(path.read_text(), Loader)


def read_long(path):
    """Returns the template with functions in their long form, which `Settings` resolves."""
    return yaml.load(path.read_text(), LongLoader)


def paths(source):
    """Returns the path of the root template, then those of the services."""
    return [source / ROOT_TEMPLATE, *sorted(source.glob(SERVICES))]


def write(source, place, parameters, code=None, variables=None):
    """Writes the templates of the folder `source` to the folder `place`, and returns the path of the root template.

    `code` maps a function's name to the path of its code; the default is the path in the template. `variables` are declared for every
    function.
    """
    templates = {path: read_long(path) for path in paths(source)}
    root = templates[source / ROOT_TEMPLATE]
    settings = Settings(root, parameters)
    passed = {(source / each["Properties"]["Location"]).resolve(): settings.resolve(each["Properties"]["Parameters"])
              for each in root["Resources"].values() if each["Type"] == NESTED}
    tables = release_checks.tables(templates.values())
    for path, template in templates.items():
        is_root = template is root
        own = settings if is_root else Settings(template, passed.get(path.resolve(), parameters))
        if settings.values.get("Local") == "true":
            template.get("Globals", {}).get("Function", {}).pop("DeploymentPreference", None)
        for function in functions(template):
            prepare(function, template, own, path, tables, code, variables or {}, settings.values.get("Local") == "true")
        target = place / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(template, indent=1))
    return place / ROOT_TEMPLATE


def functions(template):
    return [each["Properties"] for each in template["Resources"].values() if each["Type"] == FUNCTION]


def prepare(function, template, settings, path, tables, code, variables, is_local):
    """Completes the properties of one function."""
    declared = Path(function["CodeUri"])
    place = Path(code(declared.stem)) if code else (path.parent / declared).resolve()
    function["CodeUri"] = str(place)
    if is_local:
        function.pop("DeploymentPreference", None)
    checks = release_checks.derive(settings.resolve(function.get("Policies", [])), template, tables)
    environment = function.setdefault("Environment", {}).setdefault("Variables", {})
    environment |= {"RELEASE_CHECKS": {"Fn::Sub": json.dumps(checks, separators=(",", ":"))}} | variables
    properties = merged(template.get("Globals", {}).get("Function", {}), function)
    properties = {name: value for name, value in settings.resolve(properties).items() if name not in NOT_OF_A_VERSION}
    function["AutoPublishCodeSha256"] = digest(code_digest(place), properties)


def merged(general, own):
    """Returns the globals with a function's own properties, as SAM merges them."""
    result = copy.deepcopy(general)
    for name, value in own.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result


def code_digest(place):
    """Digests a zip, or all files of a folder. Code that is not built has no digest: sam reports it."""
    files = [place] if place.is_file() else sorted(each for each in place.rglob("*") if each.is_file()) if place.is_dir() else []
    return [(str(each.relative_to(place)), hashlib.sha256(each.read_bytes()).hexdigest()) for each in files]


def digest(*parts):
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Settings:
    """The values of a template's parameters, inserted into its functions. References to resources remain."""

    def __init__(self, template, values):
        self.conditions, self.mappings = template.get("Conditions", {}), template.get("Mappings", {})
        declared = template.get("Parameters", {})
        values = {name: values.get(name, each.get("Default")) for name, each in declared.items()}
        # A number in a template equals the text that a command passes.
        self.values = {name: value if isinstance(value, dict) else str(value) for name, value in values.items() if value is not None}

    def resolve(self, value):
        if isinstance(value, list):
            return [each for each in map(self.resolve, value) if each != NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), = value.items()
            if name == "Ref":
                return self.values.get(argument, value)
            if name == "Fn::If":
                return self.resolve(argument[1 if self.holds({"Condition": argument[0]}) else 2])
            if name == "Fn::FindInMap":
                table, first, second = self.resolve(argument)
                return self.mappings[table][first][second]
            if name == "Fn::Sub":
                return self.substitute(argument)
        members = {name: self.resolve(each) for name, each in value.items()}
        return {name: each for name, each in members.items() if each != NO_VALUE}

    def substitute(self, argument):
        text, more = (argument, {}) if isinstance(argument, str) else (argument[0], self.resolve(argument[1]))
        for name, value in (self.values | more).items():
            if isinstance(value, str):
                text = text.replace(f"${{{name}}}", value)
        rest = {name: value for name, value in more.items() if f"${{{name}}}" in text}
        if "${" not in text:
            return text
        return {"Fn::Sub": [text, rest] if rest else text}

    def holds(self, condition):
        (name, argument), = condition.items()
        if name == "Condition":
            return self.holds(self.conditions[argument])
        if name == "Fn::Equals":
            one, other = self.resolve(argument)
            return one == other
        parts = map(self.holds, argument)
        return not next(parts) if name == "Fn::Not" else all(parts) if name == "Fn::And" else any(parts)
