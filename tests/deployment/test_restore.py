"""`restore.py`: copies a restored table into the present one, and uses no version twice."""

import io
import re
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import fakes
import restore
from deployment import Trouble

ROOT = Path(__file__).parents[2]


class Refused(Exception):
    pass


class Tables:
    """DynamoDB, as far as a restore asks it."""

    exceptions = SimpleNamespace(ResourceNotFoundException=fakes.Missing, ConditionalCheckFailedException=Refused)

    def __init__(self, **tables):
        self.tables = {name.replace("_", "-"): {key(item): item for item in items} for name, items in tables.items()}
        self.writes, self.restored = [], []

    def __call__(self, _service):
        return self

    def describe_table(self, TableName):
        if TableName not in self.tables:
            raise fakes.Missing
        return {"Table": {"TableStatus": "ACTIVE", "KeySchema": [{"AttributeName": "pk"}, {"AttributeName": "sk"}]}}

    def restore_table_to_point_in_time(self, SourceTableName, TargetTableName, RestoreDateTime):
        self.restored.append((SourceTableName, TargetTableName, str(RestoreDateTime)))
        self.tables[TargetTableName] = {}

    def get_paginator(self, _scan):
        def pages(TableName, ConsistentRead):
            items = list(self.tables[TableName].values())
            return [{"Items": items[:1]}, {"Items": items[1:]}]

        return SimpleNamespace(paginate=pages)

    def get_item(self, TableName, Key, ConsistentRead):
        found = self.tables[TableName].get(key(Key))
        return {"Item": found} if found else {}

    def put_item(self, TableName, Item, ConditionExpression="", ExpressionAttributeNames=None, ExpressionAttributeValues=None):
        found = self.tables[TableName].get(key(Item))
        is_older = found and "#version <" in ConditionExpression and version(found) < int(ExpressionAttributeValues[":version"]["N"])
        if found and ConditionExpression and not is_older:
            raise Refused
        self.tables[TableName][key(Item)] = Item
        self.writes.append(Item)

    def update_item(self, TableName, Key, UpdateExpression, ConditionExpression):
        assert (UpdateExpression, ConditionExpression) == ("REMOVE restoring", "attribute_exists(restoring)")
        del self.tables[TableName][key(Key)]["restoring"]


def key(item):
    return item["pk"]["S"], item["sk"]["S"]


def version(item):
    return int(item.get("version", {"N": 0})["N"])


def record(pk, sk, **numbers):
    return {"pk": {"S": pk}, "sk": {"S": sk}} | {name: {"N": str(number)} for name, number in numbers.items()}


def run(tables, *words):
    said = io.StringIO()
    args = restore.arguments().parse_args([*words, "--stack", "shop"])
    with redirect_stdout(said):
        restore.restore(SimpleNamespace(name="shop", client=tables), args)
    return said.getvalue()


class Restore(unittest.TestCase):
    def tables(self):
        old = [record("ORDER#1", "HEAD", version=4), record("ORDER#2", "HEAD", version=9), record("KEY#1", "KEY")]
        new = [record("ORDER#1", "HEAD", version=7), record("ORDER#3", "HEAD", version=1_000_002)]
        return Tables(shop_payments=new, earlier=old)

    def test_every_version_grows_above_what_the_present_table_has(self):
        tables = self.tables()
        said = run(tables, "payments", "--from", "earlier")
        versions = {key(item)[0]: version(item) for item in tables.tables["shop-payments"].values()}
        self.assertEqual(versions, {"ORDER#1": 2_000_004, "ORDER#2": 2_000_009, "ORDER#3": 1_000_002, "KEY#1": 0})
        self.assertIn("3 items copied from earlier to shop-payments, 0 left", said)
        self.assertIn("Versions of HEAD have grown by 2,000,000.", said)

    def test_each_item_is_marked_while_it_is_copied_and_not_afterwards(self):
        tables = self.tables()
        run(tables, "payments", "--from", "earlier")
        self.assertEqual(len(tables.writes), 3)
        self.assertFalse(any("restoring" in item for item in tables.tables["shop-payments"].values()))

    def test_a_second_run_uses_versions_above_the_first(self):
        tables = self.tables()
        run(tables, "payments", "--from", "earlier")
        run(tables, "payments", "--from", "earlier")
        self.assertEqual(version(tables.tables["shop-payments"]["ORDER#1", "HEAD"]), 3_000_004)

    def test_missing_items_alone_are_copied_on_request(self):
        tables = self.tables()
        said = run(tables, "payments", "--from", "earlier", "--missing")
        self.assertEqual(version(tables.tables["shop-payments"]["ORDER#1", "HEAD"]), 7)
        self.assertEqual(version(tables.tables["shop-payments"]["ORDER#2", "HEAD"]), 2_000_009)
        self.assertIn("2 items copied", said)

    def test_commands_of_an_order_grow_with_its_version(self):
        tables = Tables(shop_orders=[record("ORDER#1", "", version=12, drive=5)], earlier=[record("ORDER#1", "", version=3, drive=2)])
        run(tables, "orders", "--from", "earlier")
        order = tables.tables["shop-orders"]["ORDER#1", ""]
        self.assertEqual((order["version"]["N"], order["drive"]["N"]), ("1000003", "1000002"))

    def test_a_dry_run_writes_nothing(self):
        tables = self.tables()
        self.assertIn("2 items would be copied", run(tables, "payments", "--from", "earlier", "--missing", "--dry-run"))
        self.assertEqual(tables.writes, [])

    def test_a_point_in_time_is_restored_beside_the_table(self):
        tables = self.tables()
        run(tables, "payments", "--at", "2026-11-28T10:00")
        run(tables, "payments", "--at", "2026-11-28T10:00")
        self.assertEqual(tables.restored, [("shop-payments", "shop-payments-at-20261128-100000", "2026-11-28 10:00:00+00:00")])

    def test_what_must_not_be_restored_is_refused_with_a_sentence(self):
        for words, said in [(["sessions", "--at", "2026-11-28"], "everybody logs in again"), (["order-products"], "republish-products"),
                            (["orders"], "Say which time"), (["payments", "--from", "shop-payments"], "the table of the deployment itself"),
                            (["payments", "--from", "other"], "There is no table other")]:
            with self.assertRaisesRegex(Trouble, said):
                run(self.tables(), *words)

    def test_every_table_of_the_template_is_restored_or_refused(self):
        template = (ROOT / "template.yaml").read_text()
        tables = set(re.findall(r"TableName: !Sub \$\{AWS::StackName\}-([a-z-]+)", template)) - {"payment-simulator"}
        self.assertEqual(tables, {*restore.TABLES, *restore.NOT_RESTORED})

    def test_the_ledger_counts_restores_as_this_command_makes_them(self):
        source = (ROOT / "functions/ledger/src/domain/repair/mod.rs").read_text()
        self.assertIn(f"pub const EPOCH: u64 = {restore.EPOCH:_};", source)


if __name__ == "__main__":
    unittest.main()
