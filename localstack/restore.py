#!/usr/bin/env python3
"""Restores one table of a deployment from point-in-time recovery, without using a version twice.

    restore.py orders --at 2026-11-28T10:00         restores the table as it was then beside the present one, and copies its items into it
    restore.py orders --at 2026-11-28T10:00 --missing   copies only items that the present table lacks
    restore.py orders --from shop-orders-copy       copies from this table, which is there already
    restore.py orders --from NAME --dry-run         counts what would be copied, and writes nothing

DynamoDB restores into a new table only; the functions use the present one. So items are copied, and two things change on the way:

- `version`, and the `drive` of orders, grow by a multiple of 1,000,000 that is above every version in the present table. Consumers ignore
  versions that they have seen, and ids of messages and ledger entries follow from versions: a version that was used twice would be lost.
- Each item is written as `restoring` first, and then without it: publishers publish neither of the two writes.

Items that only the present table has are kept. Stop the writers first, and read "One table is restored" in localstack/README.md: it says
what to do afterwards. The restored table is kept too; delete it when all is well.
"""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from arguments import Parser
import deployment
from deployment import Trouble
from reconcile import moment

EPOCH = 1_000_000
RAISED = ("version", "drive")
RESTORING = "restoring"
AT_ONCE = 16
POLL_SECONDS = 10
PATIENCE_SECONDS = 24 * 3600

TABLES = ("users", "products", "stock", "orders", "payments", "notifications", "ledger")
NOT_RESTORED = {
    "sessions": "sessions that have ended would be valid again. Leave it empty: everybody logs in again.",
    "order-products": "it is a copy of the catalogue. Invoke republish-products instead.",
}


def restore(shop, args):
    if args.table in NOT_RESTORED:
        raise Trouble(f"{args.table} is not restored: {NOT_RESTORED[args.table]}")
    dynamodb = shop.client("dynamodb")
    present = f"{shop.name}-{args.table}"
    source = getattr(args, "from") or from_point_in_time(dynamodb, present, args.at)
    if source == present:
        raise Trouble(f"{source} is the table of the deployment itself: --from names another one.")
    counts = Copy(dynamodb, source, present, args.missing, args.dry_run).run()
    done = "would be copied" if args.dry_run else "copied"
    print(f"{counts['copied']} items {done} from {source} to {present}, {counts['kept']} left as they are.")
    for group, raised in sorted(counts["epochs"].items()):
        print(f"Versions of {group} {'would grow' if args.dry_run else 'have grown'} by {raised:,}.")


def from_point_in_time(dynamodb, present, at):
    """Restores `present` as it was at `at` into a table of its own; one that an earlier run has begun is used again."""
    if not at:
        raise Trouble("Say which time: --at 2026-11-28T10:00, in UTC. Or --from, if the restored table is there already.")
    at = datetime.fromisoformat(moment(at).replace("Z", "+00:00"))
    target = f"{present}-at-{at:%Y%m%d-%H%M%S}"
    if state_of(dynamodb, target) is None:
        dynamodb.restore_table_to_point_in_time(SourceTableName=present, TargetTableName=target, RestoreDateTime=at)
        print(f"{present} is restored as of {at:%Y-%m-%d %H:%M:%S} UTC to {target}; large tables take hours.")
    until = time.monotonic() + PATIENCE_SECONDS
    while state_of(dynamodb, target) != "ACTIVE":
        if time.monotonic() > until:
            raise Trouble(f"{target} is not ready after a day. Run the same command again, or look at it in the console.")
        time.sleep(POLL_SECONDS)
    return target


def state_of(dynamodb, table):
    try:
        return dynamodb.describe_table(TableName=table)["Table"]["TableStatus"]
    except dynamodb.exceptions.ResourceNotFoundException:
        return None


class Copy:
    def __init__(self, dynamodb, source, target, only_missing, is_dry_run):
        self.dynamodb, self.source, self.target = dynamodb, source, target
        self.only_missing, self.is_dry_run = only_missing, is_dry_run
        for table in (source, target):
            if state_of(dynamodb, table) is None:
                raise Trouble(f"There is no table {table}.")
        keys = dynamodb.describe_table(TableName=target)["Table"]["KeySchema"]
        self.keys = [key["AttributeName"] for key in keys]

    def run(self):
        epochs = self.epochs()
        copied = 0
        seen = 0
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for items in self.pages(self.source):
                seen += len(items)
                copied += sum(pool.map(lambda item: self.copy(item, epochs), items))
        return {"copied": copied, "kept": seen - copied, "epochs": epochs}

    def epochs(self):
        """By how much the versions of each kind of record grow: above every version that either table has."""
        newest = defaultdict(int)
        for table in (self.source, self.target):
            for items in self.pages(table):
                for item in items:
                    newest[group_of(item)] = max([newest[group_of(item)], *(int(item[name]["N"]) for name in RAISED if name in item)])
        return {group: (version // EPOCH + 1) * EPOCH for group, version in newest.items() if version}

    def pages(self, table):
        for page in self.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            yield page["Items"]

    def copy(self, item, epochs):
        """Whether it is copied: not where the present item is to be kept, or has changed while this ran."""
        key = {name: item[name] for name in self.keys}
        if self.is_dry_run:
            return not (self.only_missing and "Item" in self.dynamodb.get_item(TableName=self.target, Key=key, ConsistentRead=True))
        restored = raised(item, epochs.get(group_of(item), 0)) | {RESTORING: {"BOOL": True}}
        condition = {"ConditionExpression": "attribute_not_exists(pk)"}
        if "version" in item and not self.only_missing:
            condition = {
                "ConditionExpression": "attribute_not_exists(pk) OR attribute_not_exists(#version) OR #version < :version",
                "ExpressionAttributeNames": {"#version": "version"}, "ExpressionAttributeValues": {":version": restored["version"]}}
        elif not self.only_missing:
            condition = {}
        try:
            self.dynamodb.put_item(TableName=self.target, Item=restored, **condition)
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        self.dynamodb.update_item(
            TableName=self.target, Key=key, UpdateExpression=f"REMOVE {RESTORING}", ConditionExpression=f"attribute_exists({RESTORING})")
        return True


def group_of(item):
    """Records of one kind: `ORDER`, `STOCK`, `HEAD` …"""
    sort = item.get("sk", {}).get("S", "")
    return (item["pk"]["S"].split("#")[0] if not sort or sort[:1].isdigit() else sort.split("#")[0])


def raised(item, by):
    return item | {name: {"N": str(int(item[name]["N"]) + by)} for name in RAISED if name in item}


def arguments():
    parser = Parser(description=__doc__)
    parser.add_argument("table", choices=sorted([*TABLES, *NOT_RESTORED]), help="which table")
    parser.add_argument("--at", help="as it was then, in UTC: 2026-11-28T10:00")
    parser.add_argument("--from", help="copy from this table instead")
    parser.add_argument("--missing", action="store_true", help="copy only items that the present table lacks")
    parser.add_argument("--dry-run", action="store_true", help="count, and write nothing")
    deployment.options(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(deployment.main(arguments(), restore))
