"""Copies of template.yaml and of the services' templates for one deployment.

A release is published as new versions of the functions whose code has changed, and SAM sees no change where only the value of a
parameter is another one. So each copy of a service's template has a digest of the settings that the service gets in the environment of its
functions: a setting that changes publishes all functions of that service anew, and no others.
"""

import hashlib
import json
import re

import yaml

ROOT_TEMPLATE = "template.yaml"
SERVICES = "functions/*/template.yaml"
VARIABLES = "      Variables:\n"  # the first are those of the Globals


class Loader(yaml.SafeLoader):
    """Reads a template without what the short tags of CloudFormation mean."""


def plain(loader, _suffix, node):
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else loader.construct_mapping(node, deep=True)


Loader.add_multi_constructor("!", plain)


def read(path):
    return yaml.load(path.read_text(), Loader)


def paths(source):
    """The template of the shop, then those of the services."""
    return [source / ROOT_TEMPLATE, *sorted(source.glob(SERVICES))]


def write(source, place, parameters, code=None, variables=None):
    """Writes the templates of the folder `source` to the folder `place`, and returns the path of the shop's.

    `code` gives the place of a function's code by the function's name; without it that is where the template says. `variables` are declared for every
    function, besides the digest.
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
