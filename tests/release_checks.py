#!/usr/bin/env python3
"""Invokes the check of a new version in every function of a running stack: each is ready, and nothing changes.

    release_checks.py   run by `make test` after the tests, with the variables that `stack.py run` sets

IAM is enforced, so the checks use only permissions of the functions. Tables (among them that of the simulated provider), queues and mails
are compared before and after. Sweeps run every minute and may write meanwhile, so the comparison is repeated until nothing differs: what a
check writes would differ each time.
"""

import json
import os
import sys
import time
import urllib.request

EVENT = json.dumps({"check": "release"}).encode()
ROUNDS, PAUSE_SECONDS = 6, 10
COUNTS = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]


def client(service):
    import boto3

    return boto3.client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def functions(prefix):
    pages = client("lambda").get_paginator("list_functions").paginate()
    return sorted(each["FunctionName"] for page in pages for each in page["Functions"] if each["FunctionName"].startswith(prefix))


def state(prefix):
    """Returns every item by table, the number of messages by queue, and the number of mails."""
    found, tables, queues = {}, client("dynamodb"), client("sqs")
    for table in (name for page in tables.get_paginator("list_tables").paginate() for name in page["TableNames"] if name.startswith(prefix)):
        pages = tables.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        found[table] = sorted(json.dumps(item, sort_keys=True) for page in pages for item in page["Items"])
    for url in queues.list_queues(QueueNamePrefix=prefix, MaxResults=1000).get("QueueUrls", []):
        found[url] = queues.get_queue_attributes(QueueUrl=url, AttributeNames=COUNTS)["Attributes"]
    with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_ministack/ses/messages", timeout=30) as answer:
        found["mails"] = sum(map(len, json.load(answer)["messages"].values()))
    return found


def check(names):
    """Invokes every check. Returns what is wrong, and the number of secrets and tables that were read."""
    wrong, read = [], 0
    for name in names:
        answer = client("lambda").invoke(FunctionName=name, Qualifier="live", Payload=EVENT)
        report = json.loads(answer["Payload"].read() or b"null")
        if answer.get("FunctionError") or not isinstance(report, dict) or report.get("ready") is not True:
            wrong.append(f"{name} is not ready: {report}")
        else:
            read += len(report["checked"])
    return wrong, read


def main():
    prefix = os.environ["FERROCART_STACK"] + "-"
    names = functions(prefix)
    for number in range(ROUNDS):
        before = state(prefix)
        wrong, read = check(names)
        after = state(prefix)
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        if wrong or not changed:
            break
        time.sleep(PAUSE_SECONDS)
    print(f"{len(names)} functions have read {read} secrets, tables and indexes; {len(before)} tables, queues and mails are compared")
    if wrong or changed:
        sys.exit("\n".join(wrong + [f"{name} changes during each of {number + 1} rounds of checks" for name in changed]))
    if len(names) < 60 or read < len(names):
        sys.exit("Too few functions or reads: is the whole shop deployed by stack.py?")


if __name__ == "__main__":
    main()
