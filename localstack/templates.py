"""Copies template.yaml and the services' templates for one deployment.

A release publishes new versions of the functions whose code has changed. SAM does not detect a change of a parameter's value alone. So each
copy of a service's template adds a digest of the service's settings to the environment of its functions. A changed setting then publishes
new versions of all functions of that service, and of no others.
"""

import hashlib
import json
import re

import yaml

ROOT_TEMPLATE = "template.yaml"
SERVICES = "functions/*/template.yaml"
VARIABLES = "      Variables:\n"  # the first ones are in Globals


class Loader(yaml.SafeLoader):
    """Reads a template, and ignores the short tags of CloudFormation."""


def plain(loader, _suffix, node):
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else loader.construct_mapping(node, deep=True)


Loader.add_multi_constructor("!", plain)


def read(path):
    return yaml.load(path.read_text(), Loader)


def paths(source):
    """Returns the path of the root template, then those of the services."""
    return [source / ROOT_TEMPLATE, *sorted(source.glob(SERVICES))]


def write(source, place, parameters, code=None, variables=None):
    """Copies the templates of the folder `source` to the folder `place`, and returns the path of the root template.

    `code` maps a function's name to the path of its code; the default is the path in the template. `variables` are declared for every
    function, in addition to the digest.
    """
    defaults = {name: each.get("Default") for name, each in read(source / ROOT_TEMPLATE)["Parameters"].items()}
    for path in paths(source):
        text = path.read_text()
        text = re.sub(r"CodeUri: (\S+/([a-z-]+)(?:/|\.zip))$", lambda match: f"CodeUri: {code(match[2]) if code else absolute(path, match[1])}", text,
                      flags=re.MULTILINE)
        settings = {name: parameters.get(name, defaults.get(name)) for name in read(path)["Parameters"]}
        declared = {"SETTINGS_DIGEST": digest(settings)} | (variables or {})
        lines = "".join(f"        {name}: {json.dumps(value)}\n" for name, value in declared.items())
        copy = place / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text.replace(VARIABLES, VARIABLES + lines, 1))
    return place / ROOT_TEMPLATE


def absolute(path, relative):
    return (path.parent / relative).resolve()


def digest(settings):
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]
