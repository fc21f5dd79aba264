"""In-memory CloudFormation, DynamoDB, Lambda, S3 and account for `make deploy`. Every change of the stack and its tables is recorded in `changes`."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).parents[2] / "localstack"))


PACKAGED = """Resources:
  Orders:
    Type: AWS::Serverless::Application
    Properties: {Location: "https://s3.eu-west-1.amazonaws.com/the-bucket/shop/0a1b.template"}
"""


def error(code, message=""):
    return ClientError({"Error": {"Code": code, "Message": message}}, "Call")


class Missing(Exception):
    pass


class Busy(Exception):
    pass


class Exceptions:
    ResourceNotFoundException = NotFoundException = Missing
    ResourceInUseException = Busy


class Aws:
    """Serves as the client of every service: no two services have an operation of the same name here."""

    exceptions = Exceptions

    def __init__(self, state=None, tables=(), identities=(), limit=1000):
        self.changes = []
        self.stack_state = state
        self.protection = dict(tables)  # by table: whether it is protected
        self.busy = 0  # number of table changes that are rejected
        self.identities, self.limit = identities, limit
        self.nested = []
        self.items = {}  # by table and key
        self.objects = {}  # by bucket and key
        self.invocations = []  # function and event, with the time of the deployment that is recorded
        self.fault = None  # what an invocation raises, or the error of the function

    def __call__(self, _service):
        return self

    # CloudFormation

    def describe_stacks(self, StackName):
        if not self.stack_state:
            raise error("ValidationError", f"Stack with id {StackName} does not exist")
        return {"Stacks": [{"StackId": "arn:stack", "StackStatus": self.stack_state, "Outputs": []}]}

    def events(self, StackName):
        rows = [(StackName, "ROLLBACK_COMPLETE", ""), ("Users", "DELETE_COMPLETE", ""), ("Api", "CREATE_FAILED", "Resource creation cancelled"),
                ("Queue", "CREATE_FAILED", "queue already exists"), (StackName, "CREATE_IN_PROGRESS", "User Initiated"),
                ("Old", "CREATE_FAILED", "an earlier deployment")]
        return [{"StackEvents": [{"LogicalResourceId": name, "ResourceStatus": status, "ResourceStatusReason": reason}]}
                for name, status, reason in rows]

    def delete_stack(self, StackName):
        self.changes.append(f"delete stack {StackName}")
        self.stack_state = "DELETE_COMPLETE"

    def get_paginator(self, operation):
        return SimpleNamespace(paginate={"list_stack_resources": self.resources, "describe_stack_events": self.events}[operation])

    def resources(self, StackName):
        tables = self.nested if StackName == "nested" else [table for table in self.protection if table not in self.nested]
        rows = [(table.title(), table, "AWS::DynamoDB::Table") for table in tables] + [("Queue", "queue", "AWS::SQS::Queue")]
        if self.nested and StackName != "nested":
            rows.append(("Nested", "nested", "AWS::CloudFormation::Stack"))
        return [{"StackResourceSummaries": [{"LogicalResourceId": logical, "PhysicalResourceId": physical, "ResourceType": kind,
                                             "ResourceStatus": "CREATE_COMPLETE"} for logical, physical, kind in rows]}]

    # DynamoDB

    def describe_table(self, TableName):
        if self.protection.get(TableName) is None:
            raise Missing
        return {"Table": {"DeletionProtectionEnabled": self.protection[TableName]}}

    def update_table(self, TableName, DeletionProtectionEnabled):
        self.refuse_while_busy()
        self.protection[TableName] = DeletionProtectionEnabled
        self.changes.append(f"{'protect' if DeletionProtectionEnabled else 'unprotect'} {TableName}")

    def delete_table(self, TableName):
        self.refuse_while_busy()
        if self.protection[TableName] is None:
            raise Missing
        assert not self.protection[TableName], f"{TableName} is protected"
        self.protection[TableName] = None
        self.changes.append(f"delete table {TableName}")

    def refuse_while_busy(self):
        if self.busy:
            self.busy -= 1
            raise Busy

    def get_item(self, TableName, Key, ConsistentRead):
        item = self.items.get((TableName, Key["pk"]["S"]))
        return {"Item": item} if item else {}

    def put_item(self, TableName, Item):
        self.items[TableName, Item["pk"]["S"]] = Item

    # Lambda

    def invoke(self, FunctionName, Payload):
        latest = self.items.get(("shop-platform", "deployment#latest"), {})
        self.invocations.append((FunctionName, json.loads(Payload), latest.get("deployed_at", {}).get("S")))
        if isinstance(self.fault, Exception):
            raise self.fault
        failed = {"FunctionError": "Unhandled"} if self.fault else {}
        return {"Payload": io.BytesIO((self.fault or "{}").encode())} | failed

    # S3

    def put_object(self, Bucket, Key, Body):
        self.objects[Bucket, Key] = Body

    def get_object(self, Bucket, Key):
        return {"Body": io.BytesIO(self.objects[Bucket, Key])}

    # the account

    def get_caller_identity(self):
        return {"Account": "111111111111"}

    def get_account_settings(self):
        return {"AccountLimit": {"ConcurrentExecutions": self.limit}}

    def get_email_identity(self, EmailIdentity):
        if EmailIdentity not in self.identities:
            raise Missing
        return {"VerifiedForSendingStatus": True}
