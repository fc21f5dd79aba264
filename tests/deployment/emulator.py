"""Runs `make deploy` and `make destroy` on a separate emulator, with empty functions. `make test` runs it.

It deploys one service alone. The first deployment of the whole shop fails at its last resource; the second one succeeds. It runs
the runbook's commands and restores a table. A release with a new table fails, then succeeds. A release of one service changes only
that stack, and a rollback restores the templates before it. Finally it destroys the shop.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import zipfile
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "localstack"))
import releases  # noqa: E402
import runbook  # noqa: E402
import stack as local  # noqa: E402
import templates  # noqa: E402

NAME, SHOP, TAKEN = "deployment", "trial-shop", "taken"
LATER = """
  LaterTable:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: RetainExceptOnCreate
    UpdateReplacePolicy: Retain
    Properties:
      TableName: !Sub ${AWS::StackName}-later
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
"""
# The name is taken, so this resource fails, after the creation of its dependencies.
FAILING = """
  LastResource:
    Type: AWS::Events::EventBus
    DependsOn: [{}]
    Properties: {{Name: {}}}
"""

SWITCHES = ("enable_rule", "disable_rule", "put_function_concurrency", "delete_function_concurrency", "update_event_source_mapping",
            "put_secret_value")


class Trial:
    def __init__(self, stack, folder):
        self.stack, self.folder, self.config = stack, Path(folder), Path(folder) / "samconfig.toml"
        for path in ROOT.glob("functions/*/src/bin/*.rs"):
            with zipfile.ZipFile(self.folder / f"{path.stem}.zip", "w") as file:
                file.writestr("bootstrap", "#!/bin/sh\n")
        self.templates = {path.relative_to(ROOT): re.sub(r"CodeUri: (\S+)/target/lambda/([a-z-]+)/", r"CodeUri: \1/\2.zip", path.read_text())
                          for path in templates.paths(ROOT)}
        self.tables = [table for text in self.templates.values() for table in re.findall(r"(?m)^  (\w+):\n    Type: AWS::DynamoDB::Table", text)]
        self.services = [path.parent.name for path in self.templates if path.parent.name]
        self.config.write_text(f'version = 0.1\n[default.deploy.parameters]\nstack_name = "{SHOP}"\nregion = "{local.REGION}"\n'
                               'parameter_overrides = ["Local=true", "SenderAddress=shop@ferrocart.example", "PaymentProvider=simulated",'
                               ' "Canary=AllAtOnce"]\n')
        stack.client("events").create_event_bus(Name=TAKEN)

    def write(self, more=""):
        """Writes the templates, with more resources in that of the shop."""
        for path, text in self.templates.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            if path.name == str(path):
                text = text.replace("\nOutputs:\n", f"{more}\nOutputs:\n", 1)
            (self.folder / path).write_text(text)

    def deploy(self, more, status, said):
        self.write(more)
        self.run("deploy", "", status, said, "--templates", self.folder)

    def stacks(self):
        """The template, the parameters and the number of events of each nested stack."""
        client = self.stack.client("cloudformation")
        nested = [each for each in local.stack_resources(client, SHOP) if each["ResourceType"] == "AWS::CloudFormation::Stack"]
        found = {}
        for each in nested:
            stack = client.describe_stacks(StackName=each["PhysicalResourceId"])["Stacks"][0]
            pages = client.get_paginator("describe_stack_events").paginate(StackName=each["PhysicalResourceId"])
            parameters = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
            template = client.get_template(StackName=each["PhysicalResourceId"])["TemplateBody"]
            found[each["LogicalResourceId"]] = (str(template), parameters, sum(len(page["StackEvents"]) for page in pages))
        return found

    def releases_one_service(self, service):
        """A release of one service changes only its nested stack."""
        before = self.stacks()
        with zipfile.ZipFile(self.folder / "list-products.zip", "w") as file:
            file.writestr("bootstrap", "#!/bin/sh\n# the next release\n")
        self.deploy(LATER, 0, "deletion protection is on")
        after = self.stacks()
        changed = sorted(name for name in after if after[name] != before[name])
        expect(changed == [service.title()], f"a release of {service} changes the stacks {changed}")
        local.say(f"a release of {service} changes one of {len(after)} nested stacks")
        return before

    def rolls_back(self, before):
        """A rollback deploys the templates before the release, and records itself."""
        self.run("rollback", "", 0, "is deployed again")
        restored = {name: template for name, (template, *_) in self.stacks().items()}
        different = [name for name, (template, *_) in before.items() if template != restored[name]]
        expect(not different, f"after the rollback these stacks have other templates: {different}")
        self.run("rollback", "", 0, "make rollback deploys", "--check")
        latest = releases.current(self.stack.client("dynamodb"), SHOP)
        expect("rolled_back_from" in latest, f"the rollback is not recorded: {latest}")
        local.say("a rollback restores the templates before the release")

    def deploys_alone(self, service):
        """The template of a service also deploys as the only service of another shop."""
        self.write()
        shop, client = f"only-{service}", self.stack.client
        template = templates.write(self.folder, self.folder / "alone", {"Local": "true"}).parent / f"functions/{service}/template.yaml"
        command = [local.TOOLS / "bin/sam", "deploy", "--template-file", template, "--config-file", local.HERE / "samconfig.toml",
                   "--stack-name", f"{shop}-stack", "--region", local.REGION, "--resolve-s3", "--no-confirm-changeset", "--no-progressbar",
                   "--capabilities", *local.CAPABILITIES, "--parameter-overrides", f"Shop={shop}", "ApiId=none", "Canary=AllAtOnce"]
        result = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                env=self.stack.environment() | {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "1"})
        expect(result.returncode == 0, f"{service} does not deploy alone:\n{result.stdout[-2000:]}")
        functions = [each["FunctionName"] for page in client("lambda").get_paginator("list_functions").paginate() for each in page["Functions"]]
        expect(any(name.startswith(f"{shop}-") for name in functions), f"{service} alone has no functions: {functions}")
        tables = [name for name in client("dynamodb").list_tables()["TableNames"] if name.startswith(f"{shop}-")]
        client("cloudformation").delete_stack(StackName=f"{shop}-stack")
        for name in tables:
            client("dynamodb").delete_table(TableName=name)
        local.say(f"{service} deploys alone, with {len(tables)} tables")

    def run(self, command, typed, status, said, *options):
        tool = ["rollback.py"] if command == "rollback" else ["deploy.py", command]
        result = subprocess.run(
            [local.EMULATOR / "bin/python", ROOT / "localstack" / tool[0], *tool[1:], "--config", self.config, *options], input=typed, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.stack.environment() | {"SAM_CLI_POLL_DELAY": "1"})
        last = "\n".join(result.stdout.splitlines()[-5:])
        expect(result.returncode == status and said in result.stdout, f"{command} should say {said!r} and end with {status}:\n{last}")

    def answers(self):
        """The runbook's AWS commands succeed: those that read, and pairs that switch something off and on again."""
        client = self.stack.client
        runbook.EXAMPLES |= {
            "STACK": SHOP, "SECRET_NAME": f"{SHOP}/users-key", "SENDER": "shop@ferrocart.example",
            "QUEUE_URL": client("sqs").get_queue_url(QueueName=f"{SHOP}-reserve-stock")["QueueUrl"],
            "RULE": client("events").list_rules(NamePrefix=SHOP)["Rules"][0]["Name"],
            "MAPPING": client("lambda").list_event_source_mappings(FunctionName=f"{SHOP}-reserve-stock")["EventSourceMappings"][0]["UUID"],
        }
        # This stack has no backup copy, no imported table and no Stripe keys.
        commands = [command for command in runbook.commands(runbook.RUNBOOK.read_text())
                    if command.startswith("aws ") and "backup" not in command and "stripe" not in command and "webhook" not in command
                    and "change-set" not in command]
        calls = [runbook.aws_call(shlex.split(runbook.filled_in(command))[1:]) for command in commands]
        calls = [call for call in calls if call[1].startswith(("describe_", "get_", "list_")) or call[1] in SWITCHES]
        for service, method, parameters in calls:
            getattr(client(service), method)(**parameters)
        local.say(f"{len(calls)} commands of the runbook are answered")

    def restores(self):
        """A restore recreates a deleted order with a new version, and changes nothing else."""
        dynamodb, table = self.stack.client("dynamodb"), f"{SHOP}-orders"
        for number in (1, 2):
            dynamodb.put_item(TableName=table, Item={"pk": {"S": f"ORDER#{number}"}, "version": {"N": "7"}, "attempt": {"N": "2"}})
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        command = [local.EMULATOR / "bin/python", ROOT / "localstack/restore.py", "orders", "--stack", SHOP, "--at", now, "--missing"]
        subprocess.run([*command, "--dry-run"], env=self.stack.environment(), check=True)
        dynamodb.delete_item(TableName=table, Key={"pk": {"S": "ORDER#1"}})
        subprocess.run(command, env=self.stack.environment(), check=True)
        found = {item["pk"]["S"]: (item["version"]["N"], item["attempt"]["N"]) for item in dynamodb.scan(TableName=table)["Items"]}
        expect(found == {"ORDER#1": ("1000007", "1000002"), "ORDER#2": ("7", "2")}, f"the restored orders are {found}")
        for name in dynamodb.list_tables()["TableNames"]:
            if name.startswith(f"{table}-at-"):
                dynamodb.delete_table(TableName=name)

    def finds(self, state, tables):
        """Expects this state of the stack and this number of tables, all of them protected."""
        with contextlib.suppress(Exception):
            found = None
            found = self.stack.client("cloudformation").describe_stacks(StackName=SHOP)["Stacks"][0]["StackStatus"]
        dynamodb = self.stack.client("dynamodb")
        protected = [dynamodb.describe_table(TableName=name)["Table"].get("DeletionProtectionEnabled", False)
                     for name in dynamodb.list_tables()["TableNames"]]
        expect((found, protected) == (state, [True] * tables), f"expected {state} with {tables} protected tables: {found}, {protected}")
        local.say(f"{state}, {tables} protected tables: as expected")


def expect(holds, what):
    if not holds:
        raise local.CommandError(what)


def trial(stack, folder):
    trial = Trial(stack, folder)
    count = len(trial.tables)
    trial.deploys_alone("catalog")
    trial.deploy(FAILING.format(", ".join(service.title() for service in trial.services), TAKEN), 1, "Fix the cause: LastResource: ")
    trial.finds("ROLLBACK_COMPLETE", 0)
    trial.deploy("", 0, "deleting the stack")
    trial.finds("CREATE_COMPLETE", count)
    trial.answers()
    trial.restores()
    trial.deploy(LATER + FAILING.format("LaterTable", TAKEN), 1, "the stack is UPDATE_ROLLBACK_COMPLETE")
    trial.finds("UPDATE_ROLLBACK_COMPLETE", count)
    trial.deploy(LATER, 0, f"deletion protection is on for {count + 1} tables, 1 of them since now")
    trial.finds("UPDATE_COMPLETE", count + 1)
    trial.rolls_back(trial.releases_one_service("catalog"))
    trial.run("destroy", "another-shop\n", 1, "nothing is deleted")
    trial.finds("UPDATE_COMPLETE", count + 1)
    trial.run("destroy", f"{SHOP}\n", 0, "is deleted")
    trial.finds(None, 0)


def main():
    stack_py = [sys.executable, ROOT / "localstack/stack.py"]
    subprocess.run([*stack_py, "start", "--name", NAME, "--port", os.environ.get("PORT", "0")], check=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            trial(local.Stack(NAME), folder)
    except local.CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        subprocess.run([*stack_py, "stop", "--name", NAME], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
