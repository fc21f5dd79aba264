"""Prints template.yaml and the services' templates as JSON after the SAM transform, with the resources that CloudFormation creates.

The result is one object with the transformed templates by path. Arguments such as XRay=Active set parameters. Needs the SAM tools of `make setup`; calls neither AWS nor the emulator.
"""

import json
import sys
from pathlib import Path

import boto3
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator


def transformed(path):
    template = yaml_parse(path.read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        # The transform accepts only uploaded code and templates: `sam deploy` uploads them first.
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/" + Path(resource["Properties"]["CodeUri"]).name
        elif resource["Type"] == "AWS::Serverless::Application":
            resource["Properties"]["Location"] = "https://bucket.s3.amazonaws.com/" + resource["Properties"]["Location"]
    parameters = {name: str(parameter["Default"]) for name, parameter in template["Parameters"].items() if "Default" in parameter}
    parameters |= {name: value for name, value in (argument.split("=", 1) for argument in sys.argv[1:]) if name in template["Parameters"]}
    session = boto3.Session(region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    return Translator({}, Parser(), boto_session=session).translate(template, parameter_values=parameters)


paths = [Path("template.yaml"), *sorted(Path("functions").glob("*/template.yaml"))]
print(json.dumps({str(path): transformed(path) for path in paths}))
