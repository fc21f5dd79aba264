#!/usr/bin/env python3
"""Restores one table of a deployment from point-in-time recovery, without using a version twice.

    restore.py orders --at 2026-11-28T10:00 --missing     restores the table as of then into a new table, and copies only items that
                                                          the current table lacks
    restore.py orders --at 2026-11-28T10:00               copies all items, if the current table has no other items
    restore.py orders --at 2026-11-28T10:00 --overwrite   copies all items, even if the current table has others
    restore.py orders --from shop-orders-copy --missing   copies from a table that is already restored
    restore.py orders --from NAME --dry-run               counts the items that would be copied, and writes nothing

DynamoDB restores only into a new table, but the functions use the current one. So the items are copied, with two changes:

- `version`, and the `attempt` of orders, grow by a multiple of 1,000,000 that is above every version in the current table. Consumers ignore
  versions that they have processed, and ids of messages and ledger entries are derived from versions. A reused version would be ignored.
- Each item is written with `restoring` first, then without it. Publishers publish neither write.

Items that only the current table has are kept. They were written after the restored time, and overwritten items do not include them: stock
is too high, and payment intents have older totals than their attempts. So without --missing the command lists such items and stops, unless
--overwrite is given. An interrupted run leaves items with `restoring`. Running the same command again copies them again.

Stop the writers first, and read "One table is restored" in localstack/README.md, which also has the steps that follow. The restored table
is kept; delete it after the restore is verified.
"""

import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from arguments import Parser
import deployment
from deployment import CommandError
from reconcile import moment

EPOCH = 1_000_000
RAISED = ("version", "attempt")
RESTORING = "restoring"
ABSENT = f"attribute_not_exists(pk) OR attribute_exists({RESTORING})"
AT_ONCE = 16
POLL_SECONDS = 10
PATIENCE_SECONDS = 24 * 3600

TABLES = ("users", "products", "pricing", "stock", "orders", "order-carts", "payments", "notifications", "ledger")
NOT_RESTORED = {
    "platform": "check-health replaces the health every minute. Deploy again to record the deployment.",
    "sessions": "sessions that have ended would be valid again. Leave it empty: all users log in again.",
    "order-products": "it has copies of the catalogue and of the pricing rules. Invoke resync-products and resync-pricing instead.",
}


def restore(shop, args):
    if args.missing and args.overwrite:
        raise CommandError("--missing and --overwrite exclude each other: --missing overwrites nothing.")
    if args.table in NOT_RESTORED:
        raise CommandError(f"{args.table} is not restored: {NOT_RESTORED[args.table]}")
    dynamodb = shop.client("dynamodb")
    present = f"{shop.name}-{args.table}"
    source = getattr(args, "from") or from_point_in_time(dynamodb, present, args.at)
    if source == present:
        raise CommandError(f"{source} is the table of the deployment itself: --from must name another table.")
    copy = Copy(dynamodb, source, present, args.missing, args.dry_run)
    show_later_items(copy, args)
    counts = copy.run()
    done = "would be copied" if args.dry_run else "copied"
    print(f"{counts['copied']} items {done} from {source} to {present}, {counts['kept']} left as they are.")
    for group, raised in sorted(counts["epochs"].items()):
        print(f"Versions of {group} {'would grow' if args.dry_run else 'have grown'} by {raised:,}.")


def show_later_items(copy, args):
    """Lists the items that only the current table has. Rejects overwriting the others without --overwrite."""
    if args.missing or not copy.only_present:
        return
    print(f"{sum(copy.only_present.values())} items are only in {copy.target} and stay:")
    deployment.table(("kind", "items"), sorted(copy.only_present.items()))
    if args.overwrite:
        return
    refusal = (f"Items that only {copy.target} has were written after the restored time, and overwritten items would not include them:"
               " use --missing, which is safe because it changes no existing item, or --overwrite after reading section 8 of"
               " localstack/README.md.")
    if not args.dry_run:
        raise CommandError(refusal)
    print(refusal)


def from_point_in_time(dynamodb, present, at):
    """Restores `present` as of `at` into a new table. Reuses the table of an earlier run."""
    if not at:
        raise CommandError("Say which time: --at 2026-11-28T10:00, in UTC. Use --from if the table is already restored.")
    at = datetime.fromisoformat(moment(at).replace("Z", "+00:00"))
    target = f"{present}-at-{at:%Y%m%d-%H%M%S}"
    if state_of(dynamodb, target) is None:
        dynamodb.restore_table_to_point_in_time(SourceTableName=present, TargetTableName=target, RestoreDateTime=at)
        print(f"{present} is restored as of {at:%Y-%m-%d %H:%M:%S} UTC to {target}; large tables take hours.")
    until = time.monotonic() + PATIENCE_SECONDS
    while state_of(dynamodb, target) != "ACTIVE":
        if time.monotonic() > until:
            raise CommandError(f"{target} is not ready after a day. Run the same command again, or check its state in the console.")
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
                raise CommandError(f"There is no table {table}.")
        keys = dynamodb.describe_table(TableName=target)["Table"]["KeySchema"]
        self.keys = [key["AttributeName"] for key in keys]
        self.epochs, self.only_present = self.compared()

    def run(self):
        copied = 0
        seen = 0
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for items in self.pages(self.source):
                seen += len(items)
                copied += sum(pool.map(self.copy, items))
        return {"copied": copied, "kept": seen - copied, "epochs": self.epochs}

    def compared(self):
        """Returns by how much the versions of each kind of record grow, so that they exceed every version in either table. Also returns the
        number of items of each kind that only the current table has."""
        newest, in_source, only_present = defaultdict(int), set(), Counter()
        for table in (self.source, self.target):
            for items in self.pages(table):
                for item in items:
                    newest[group_of(item)] = max([newest[group_of(item)], *(int(item[name]["N"]) for name in RAISED if name in item)])
                    key = tuple(item[name]["S"] for name in self.keys)
                    if table == self.source:
                        in_source.add(key)
                    elif key not in in_source:
                        only_present[group_of(item)] += 1
        return {group: (version // EPOCH + 1) * EPOCH for group, version in newest.items() if version}, only_present

    def pages(self, table):
        for page in self.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            yield page["Items"]

    def copy(self, item):
        """Copies one item, and returns whether it was copied. It is skipped if the current item must be kept or has changed during this run. A
        current item with `restoring` was left by an interrupted run, or by a put that was retried because its response was lost."""
        key = {name: item[name] for name in self.keys}
        if self.is_dry_run:
            return not self.only_missing or self.is_absent(key)
        restored = raised(item, self.epochs.get(group_of(item), 0)) | {RESTORING: {"BOOL": True}}
        condition = {"ConditionExpression": ABSENT}
        if "version" in item and not self.only_missing:
            condition = {
                "ConditionExpression": f"{ABSENT} OR attribute_not_exists(#version) OR #version < :version",
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

    def is_absent(self, key):
        found = self.dynamodb.get_item(TableName=self.target, Key=key, ConsistentRead=True).get("Item")
        return found is None or RESTORING in found


def group_of(item):
    """The kind of a record: `ORDER`, `STOCK`, `INTENT` … A sort key that begins with a time or an id does not contain the kind."""
    sort = item.get("sk", {}).get("S", "")
    return (sort if sort[:1].isupper() else item["pk"]["S"]).split("#")[0]


def raised(item, by):
    return item | {name: {"N": str(int(item[name]["N"]) + by)} for name in RAISED if name in item}


def arguments():
    parser = Parser(description=__doc__)
    parser.add_argument("table", choices=sorted([*TABLES, *NOT_RESTORED]), help="the table to restore")
    parser.add_argument("--at", help="the time to restore, in UTC: 2026-11-28T10:00")
    parser.add_argument("--from", help="copy from this table instead")
    parser.add_argument("--missing", action="store_true", help="copy only items that the current table lacks")
    parser.add_argument("--overwrite", action="store_true", help="overwrite items even if the current table has newer items that would become inconsistent")
    parser.add_argument("--dry-run", action="store_true", help="count the items, and write nothing")
    deployment.options(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(deployment.main(arguments(), restore))
