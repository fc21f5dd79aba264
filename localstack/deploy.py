#!/usr/bin/env python3
"""Deploys Ferrocart to AWS, or deletes a deployment.

    deploy.py deploy   checks credentials and account, asks five questions the first time, builds, deploys, protects the tables,
                       records the deployment
    deploy.py destroy  asks for the stack's name, then deletes the stack and its tables

The answers are stored in samconfig.toml; --config selects another file. AWS_ENDPOINT_URL replaces the address of AWS.
"""

import json
import os
import re
import subprocess
import time
from pathlib import Path

from arguments import Parser
import account
import answers as config
import deployment
import releases
import stack as local

CommandError, say = local.CommandError, local.say
KEPT = ("template.yaml", "parameters.json")  # what a rollback needs of a deployment
SENDER = "SenderEmailIdentity"  # the logical id of the identity that the stack may own
POLL_SECONDS = 5
PATIENCE_SECONDS = 1800


def deploy(clients, args):
    definitions = config.definitions()
    answers = config.read(args.config)
    region = answers.region if answers else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    number = account.check_credentials(clients(region or "us-east-1"))
    if not answers:
        answers = config.ask(definitions, region or deployment.region_of_profile(), args.config)
        if args.architecture:
            answers.parameters["Architecture"] = args.architecture
        config.write(answers, definitions, args.config)
    config.check(answers, definitions, args.config)
    parameters = dict(answers.parameters)
    remembered = parameters.setdefault("Architecture", definitions["Architecture"]["Default"])
    if args.architecture and args.architecture != remembered:
        raise CommandError(f"{args.config} says Architecture={remembered}: change it there.")

    client = clients(answers.region)
    say(f"deploying {answers.stack} to account {number}, {answers.region}")
    parameters["AccountConcurrency"] = account.concurrency(
        client, answers.region, definitions["AccountConcurrency"]["AllowedValues"], parameters.get("AccountConcurrency"), args.force)
    stacks = Stacks(client, answers)
    stacks.make_deployable()
    if "SenderIdentity" not in parameters:
        parameters["SenderIdentity"] = account.sender_identity(client, parameters["SenderAddress"], stacks.owns(SENDER))
        if parameters["SenderIdentity"] == "existing":
            say(f"using the existing SES identity of {parameters['SenderAddress']}")
    if parameters.get("ApiAccessLog") == "on":
        account.ensure_log_role(client, say)
    if not args.templates:
        build = subprocess.run(["make", "release", f"ARCHITECTURE={remembered}", f"LINK={args.link}"], cwd=local.ROOT)
        if build.returncode != 0:
            raise CommandError("The functions could not be built: see the output of cargo above.")
    import templates

    template = templates.write(args.templates or local.ROOT, local.ROOT / "target/deploy" / answers.stack, parameters)
    packaged, started = sam_package(answers, template), releases.now()
    kept = keep(client("s3"), answers, packaged, parameters, started)
    sam_deploy(answers, parameters, packaged, stacks)
    protected = stacks.protect(True)
    releases.record(client("dynamodb"), answers.stack, started, kept)
    say(f"deletion protection is on for {len(stacks.tables())} tables" + (f", {len(protected)} of them since now" if protected else ""))
    if parameters.get("ApiCache", "off") != "off":
        protect_cache(client("apigateway"), stacks.outputs()["ApiId"])
    check_health(client, answers.stack)
    greet(client, stacks, answers)


def sam(command, answers, template, *options):
    # localstack/samconfig.toml is empty: the command passes all settings to sam.
    words = [local.TOOLS / "bin/sam", command, "--template-file", template, "--config-file", local.HERE / "samconfig.toml",
             "--region", answers.region, "--resolve-s3", "--no-progressbar", *options]
    return subprocess.run(words, cwd=local.ROOT, stdin=subprocess.DEVNULL, env=os.environ | {"SAM_CLI_TELEMETRY": "0"})


def sam_package(answers, template):
    """Uploads the functions and the nested templates. Returns the path of the template that names them."""
    packaged = template.with_name("packaged.yaml")
    result = sam("package", answers, template, "--s3-prefix", answers.stack, "--output-template-file", packaged)
    if result.returncode != 0:
        raise CommandError("The functions could not be uploaded: see the output of sam above.")
    if os.environ.get("AWS_ENDPOINT_URL"):  # sam deploy accepts only addresses of S3 itself
        packaged.write_text(re.sub(r"(?m)Location: https?://[^/\s]+/", f"Location: https://s3.{answers.region}.amazonaws.com/", packaged.read_text()))
    return packaged


def keep(s3, answers, packaged, parameters, time):
    """Stores the packaged template and its parameters beside the functions, for a rollback. Returns their address."""
    text = packaged.read_text()
    bucket, folder = releases.bucket_of(text), f"{answers.stack}/deployments/{time}"
    for name, body in zip(KEPT, (text, json.dumps(parameters)), strict=True):
        s3.put_object(Bucket=bucket, Key=f"{folder}/{name}", Body=body.encode())
    return f"s3://{bucket}/{folder}"


def sam_deploy(answers, parameters, template, stacks):
    result = sam("deploy", answers, template, "--stack-name", answers.stack, "--no-confirm-changeset", "--no-fail-on-empty-changeset",
                 "--capabilities", *local.CAPABILITIES,
                 "--parameter-overrides", *[f"{name}={value}" for name, value in parameters.items()])
    if result.returncode == 0:
        return
    state = stacks.state()
    why = stacks.why_it_failed() if state else "The output of sam above has the reason."
    if state == "UPDATE_ROLLBACK_FAILED":
        say(why)
        stacks.make_deployable()
    if state == "ROLLBACK_COMPLETE":
        raise CommandError(f"The first deployment failed and is rolled back. {why} Then run make deploy again, which deletes the empty stack.")
    raise CommandError(f"sam deploy failed, and the stack is {state or 'missing'}. {why}")


def protect_cache(gateway, api):
    """Lets no client bypass or clear the cache: Cache-Control of a request is ignored. CloudFormation has no property for it."""
    wanted = {"requireAuthorizationForCacheControl": True, "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER"}
    methods = gateway.get_stage(restApiId=api, stageName="v1")["methodSettings"]
    operations = [{"op": "replace", "path": f"/{method.lstrip('/')}/caching/{name}", "value": "true" if value is True else value}
                  for method, settings in sorted(methods.items()) if settings.get("cachingEnabled")
                  for name, value in wanted.items() if settings.get(name) != value]
    if operations:
        gateway.update_stage(restApiId=api, stageName="v1", patchOperations=operations)
    say("the gateway's cache is on for " + ", ".join(method.replace("~1", "/") for method in sorted(methods) if methods[method].get("cachingEnabled")))


def check_health(client, stack):
    """Runs the health check once. The schedule runs it every minute; until then GET /health would answer health_unknown."""
    shop = deployment.Deployment(stack, client)
    try:
        local.call(shop, shop.function("check-health"), {})
    except CommandError as error:
        say(f"warning: {' '.join(str(error).split())}; GET /health shows this deployment after the next check, within a minute")


def greet(client, stacks, answers):
    outputs = stacks.outputs()
    address = answers.parameters["SenderAddress"]
    ses = client("sesv2")
    try:
        confirmed = ses.get_email_identity(EmailIdentity=address).get("VerifiedForSendingStatus", False)
    except ses.exceptions.NotFoundException:  # the identity is that of the domain
        confirmed = True
    print(f"\n{outputs['ApiUrl']}")
    if "DomainUrl" in outputs:
        print(outputs["DomainUrl"])
        if not answers.parameters.get("HostedZoneId"):
            print(f"Create a CNAME record for {answers.parameters['DomainName']}: {outputs['DomainTarget']}")
    if not confirmed:
        print(f"SES has sent a mail to {address}. Follow its link: until then no mail is sent.")
    if answers.parameters["PaymentProvider"] == "stripe":
        print("Store the key and webhook secret of Stripe: see Stripe in localstack/README.md.")


class Stacks:
    """One CloudFormation stack and its nested stacks."""

    def __init__(self, client, answers, sleep=time.sleep):
        self.cloudformation, self.dynamodb = client("cloudformation"), client("dynamodb")
        self.name, self.region, self.sleep = answers.stack, answers.region, sleep

    def find(self, name=None):
        from botocore.exceptions import ClientError

        try:
            return self.cloudformation.describe_stacks(StackName=name or self.name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise

    def outputs(self):
        return {each["OutputKey"]: each["OutputValue"] for each in self.find().get("Outputs", [])}

    def state(self):
        stack = self.find()
        return stack and stack["StackStatus"]

    def why_it_failed(self):
        """Returns the first failure of the last deployment."""
        failed = None
        pages = self.cloudformation.get_paginator("describe_stack_events").paginate(StackName=self.name)
        for event in (event for page in pages for event in page["StackEvents"]):  # newest first
            status, reason = event["ResourceStatus"], event.get("ResourceStatusReason", "")
            if event["LogicalResourceId"] == self.name:
                if status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
                    break
            elif status.endswith("_FAILED") and "cancelled" not in reason:
                failed = f"{event['LogicalResourceId']}: {reason}"
        return f"Fix the cause: {failed.rstrip('.')}." if failed else "The output of sam above has the reason."

    def make_deployable(self):
        """Makes the stack deployable, or raises an error with the command to run."""
        stack = self.find()
        state = stack["StackStatus"] if stack else ""
        where = f"--stack-name {self.name} --region {self.region}"
        if state == "ROLLBACK_COMPLETE":
            say(f"the first deployment of {self.name} failed and left an empty stack: deleting the stack")
            self.delete(stack["StackId"])
        elif state == "UPDATE_ROLLBACK_FAILED":
            raise CommandError(f"An earlier deployment of {self.name} could not be rolled back. Fix the cause shown in its events, then run:"
                          f" aws cloudformation continue-update-rollback {where}")
        elif state in ("ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
            raise CommandError(f"The stack {self.name} is {state}. Fix the cause shown in its events, then run:"
                          f" aws cloudformation delete-stack {where}")
        elif state.endswith("_IN_PROGRESS") and state != "REVIEW_IN_PROGRESS":
            raise CommandError(f"The stack {self.name} is {state}: wait until that has ended, then try again.")

    def delete(self, stack_id):
        self.cloudformation.delete_stack(StackName=stack_id)
        for _ in range(PATIENCE_SECONDS // POLL_SECONDS):
            stack = self.find(stack_id)
            if not stack or stack["StackStatus"] == "DELETE_COMPLETE":
                return
            if stack["StackStatus"] == "DELETE_FAILED":
                raise CommandError(f"The stack {self.name} could not be deleted: {stack.get('StackStatusReason', 'see its events')}")
            self.sleep(POLL_SECONDS)
        raise CommandError(f"The stack {self.name} is still being deleted: see its events.")

    def resources(self):
        """Returns the resources of the stack and its nested stacks."""
        found = local.stack_resources(self.cloudformation, self.name) if self.find() else []
        return [each for each in found if each["ResourceStatus"] != "DELETE_COMPLETE" and each.get("PhysicalResourceId")]

    def owns(self, logical_id):
        return any(each["LogicalResourceId"] == logical_id for each in self.resources())

    def tables(self):
        return sorted(each["PhysicalResourceId"] for each in self.resources() if each["ResourceType"] == "AWS::DynamoDB::Table")

    def protect(self, on):
        """Turns the deletion protection of all tables on or off. Returns the changed tables."""
        changed = []
        for table in self.tables():
            try:
                present = self.dynamodb.describe_table(TableName=table)["Table"]
            except self.dynamodb.exceptions.ResourceNotFoundException:
                continue  # an interrupted destroy deleted it
            if present.get("DeletionProtectionEnabled", False) != on:
                self.when_free(lambda: self.dynamodb.update_table(TableName=table, DeletionProtectionEnabled=on))
                changed.append(table)
        return changed

    def delete_tables(self):
        for table in self.tables():
            try:
                self.when_free(lambda: self.dynamodb.delete_table(TableName=table))
            except self.dynamodb.exceptions.ResourceNotFoundException:
                pass

    def when_free(self, call):
        """Retries a call while another change of the table is in progress."""
        for _ in range(PATIENCE_SECONDS // POLL_SECONDS):
            try:
                return call()
            except self.dynamodb.exceptions.ResourceInUseException:
                self.sleep(POLL_SECONDS)
        return call()


def destroy(clients, args):
    answers = config.read(args.config)
    if not answers:
        raise CommandError(f"{args.config} does not exist, so the deployment is unknown.")
    client = clients(answers.region)
    number = account.check_credentials(client)
    stacks = Stacks(client, answers)
    stack = stacks.find()
    if not stack:
        raise CommandError(f"There is no stack {answers.stack} in account {number}, {answers.region}.")
    if stack["StackStatus"].endswith("_IN_PROGRESS"):
        stacks.make_deployable()
    print(f"This deletes the stack {answers.stack} in account {number}, {answers.region}, and every item of {len(stacks.tables())} tables."
          " DynamoDB keeps a backup of each table for 35 days.")
    try:
        typed = input("Type the name of the stack to delete it: ").strip()
    except EOFError:
        typed = ""
    if typed != answers.stack:
        raise CommandError("The typed name is not that of the stack: nothing is deleted.")
    say("turning off deletion protection")
    stacks.protect(False)
    say("deleting the tables")
    stacks.delete_tables()
    say("deleting the stack")
    stacks.delete(stack["StackId"])
    say(f"{answers.stack} is deleted; {args.config} still has its settings")


def main():
    parser = Parser(description=__doc__)
    parser.add_argument("command", choices=["deploy", "destroy"])
    parser.add_argument("--config", type=Path, default=config.CONFIG, help="the file of the settings (default: samconfig.toml)")
    parser.add_argument("--architecture", choices=["arm64", "x86_64"], help="the architecture, at the first deployment")
    parser.add_argument("--link", choices=["dynamic", "static"], default="dynamic", help="how functions are linked (default: %(default)s)")
    parser.add_argument("--templates", type=Path, help="deploy the templates of this folder without a build")
    parser.add_argument("--force", action="store_true", help="deploy even if the account allows too little concurrency")
    return deployment.main(parser, lambda clients, args: {"deploy": deploy, "destroy": destroy}[args.command](clients, args),
                           lambda _args: deployment.clients)


if __name__ == "__main__":
    raise SystemExit(main())
