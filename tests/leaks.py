#!/usr/bin/env python3
"""Searches the logs, tables, messages and mails of a finished test run for secrets.

    leaks.py        run by `make test` after the tests, with the variables that `stack.py run` sets

It searches for secrets of the tests, of the shop and of Secrets Manager: passwords, access tokens, refresh tokens, device tokens,
one-time tokens, cart tokens, card numbers, and the keys of servers and webhooks. A one-time token is allowed only in the mail with its
link. The secret part of a cart token has no recognizable format: the tests append each token that they receive to the file CART_TOKENS.
"""

import json
import os
import re
import sys
import urllib.request
from pathlib import Path

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
ONE_TIME_TOKEN = re.compile(rf"usr_{UUID}\.[\w-]{{43}}")
SECRETS = {
    "a password": re.compile(r"passphrase|correct horse|a ship in port"),
    "an access token": re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    "a refresh token": re.compile(rf"ses_{UUID}\.\d+\.[\w-]{{43,}}"),
    "a device token": re.compile(rf"dev_{UUID}\.\d+\.[\w-]{{43}}"),
    "a one-time token": ONE_TIME_TOKEN,
    "a cart token": re.compile(rf"crt_{UUID}\.[\w-]{{43}}"),
    "a password's hash": re.compile(r"\$argon2id\$|\$2[aby]\$\d\d\$"),
    "a card number": re.compile(r"\b4242[ -]?4242[ -]?4242[ -]?4242\b"),
}


def kept():
    """Yields the secrets of this stack as they would appear in a text; key ids are not secret."""
    import boto3

    client = boto3.client("secretsmanager", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for page in client.get_paginator("list_secrets").paginate():
        for secret in page["SecretList"]:
            if secret["Name"].startswith(os.environ["FERROCART_STACK"] + "/"):
                text = client.get_secret_value(SecretId=secret["Name"])["SecretString"]
                for value in re.findall(r'"((?:[^"\\]|\\.)*)"', text) if text.startswith("{") else [json.dumps(text)[1:-1], text]:
                    if len(value) >= 40 and not re.fullmatch(f"key_{UUID}", value):
                        yield value


def of_carts():
    """Returns the secrets of all carts that the tests have created."""
    file = Path(os.environ["CART_TOKENS"])
    return {token.rpartition(".")[2] for token in file.read_text().split()} if file.exists() else set()


def any_of(secrets):
    return re.compile("|".join(map(re.escape, sorted(secrets))))


def places():
    """Yields every text of the stack with its location and the secrets that are allowed there."""
    import boto3

    client = lambda name: boto3.client(name, endpoint_url=os.environ["AWS_ENDPOINT_URL"])  # noqa: E731
    prefix = os.environ["FERROCART_STACK"] + "-"
    logs = client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            for events in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
                for event in events["events"]:
                    yield group["logGroupName"], event["message"], ()
    tables = client("dynamodb")
    for page in tables.get_paginator("list_tables").paginate():
        for table in page["TableNames"]:
            for items in tables.get_paginator("scan").paginate(TableName=table):
                for item in items["Items"]:
                    yield table, json.dumps(item), ("a password's hash",) if table == prefix + "users" else ()
    queues = client("sqs")
    for url in queues.list_queues(MaxResults=1000).get("QueueUrls", []):
        while messages := queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600).get("Messages"):
            for message in messages:
                yield url.rsplit("/", 1)[1], message["Body"], ()
    with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_ministack/ses/messages") as answer:
        for mails in json.load(answer)["messages"].values():
            for mail in mails:
                yield "mails", json.dumps(mail), ("a one-time token",)


def main():
    looked, found = {}, []
    keys, carts = set(kept()), of_carts()
    known = {"a key of the shop": keys, "the secret of a cart": carts}
    patterns = SECRETS | {name: any_of(secrets) for name, secrets in known.items() if secrets}
    for place, text, allowed in places():
        looked[place] = looked.get(place, 0) + 1
        found += [(place, name) for name, pattern in patterns.items() if name not in allowed and pattern.search(text)]
    groups = sum(place.startswith("/aws/") for place in looked)
    lines = sum(count for place, count in looked.items() if place.startswith("/aws/"))
    print(f"searched for {len(patterns)} kinds of secrets, among them those of {len(carts)} carts, in {lines} lines of {groups} logs, and "
          f"{sum(looked.values()) - lines} items, messages and mails: {len(found)} found")
    for place, name in sorted(set(found)):
        print(f"  {name} in {place}", file=sys.stderr)
    if not carts:
        sys.exit("There are no cart tokens to search for: did the tests run against this stack?")
    if not keys:
        sys.exit("There are no keys in Secrets Manager: is the stack deployed?")
    if not lines or not looked.get("mails"):
        sys.exit("There are no logs or no mails to search: did the tests run against this stack?")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
