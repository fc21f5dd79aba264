"""Prints template.yaml as JSON after the SAM transform: the resources that CloudFormation creates.

It runs with the SAM tools that `make setup` installs, and calls neither AWS nor the emulator.
"""

import json

import boto3
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

with open("template.yaml", encoding="utf-8") as file:
    template = yaml_parse(file.read())
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        # The transform takes only code that is uploaded, as `sam deploy` does before it.
        resource["Properties"]["CodeUri"] = "s3://bucket/" + resource["Properties"]["CodeUri"]
parameters = {name: str(parameter["Default"]) for name, parameter in template["Parameters"].items() if "Default" in parameter}
session = boto3.Session(region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
translator = Translator({}, Parser(), boto_session=session)
print(json.dumps(translator.translate(template, parameter_values=parameters)))
