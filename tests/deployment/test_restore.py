"""`restore.py` copies a restored table into the current one, and never reuses a version."""

import io
import re
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import fakes
import restore
import templates
from deployment import CommandError

ROOT = Path(__file__).parents[2]


class Refused(Exception):
    pass


class Tables:
    """The DynamoDB operations that a restore uses, in memory."""

    exceptions = SimpleNamespace(ResourceNotFoundException=fakes.Missing, ConditionalCheckFailedException=Refused)

    def __init__(self, **tables):
        self.tables = {name.replace("_", "-"): {key(item): item for item in items} for name, items in tables.items()}
        self.writes, self.restored = [], []
        self.interrupted_after = None  # number of writes before the run stops with a mark left

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
        is_marked = found and "attribute_exists(restoring)" in ConditionExpression and "restoring" in found
        if found and ConditionExpression and not is_older and not is_marked:
            raise Refused
        self.tables[TableName][key(Item)] = Item
        self.writes.append(Item)

    def update_item(self, TableName, Key, UpdateExpression, ConditionExpression):
        assert (UpdateExpression, ConditionExpression) == ("REMOVE restoring", "attribute_exists(restoring)")
        if self.interrupted_after is not None and len(self.writes) >= self.interrupted_after:
            raise KeyboardInterrupt
        del self.tables[TableName][key(Key)]["restoring"]


    def marked(self, table):
        return [key(item)[0] for item in self.tables[table].values() if "restoring" in item]


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
        old = [record("ORDER#1", "INTENT", version=4), record("ORDER#2", "INTENT", version=9), record("KEY#1", "KEY")]
        new = [record("ORDER#1", "INTENT", version=7), record("ORDER#3", "INTENT", version=1_000_002)]
        return Tables(shop_payments=new, earlier=old)

    def test_every_version_grows_above_the_current_table(self):
        tables = self.tables()
        said = run(tables, "payments", "--from", "earlier", "--overwrite")
        versions = {key(item)[0]: version(item) for item in tables.tables["shop-payments"].values()}
        self.assertEqual(versions, {"ORDER#1": 2_000_004, "ORDER#2": 2_000_009, "ORDER#3": 1_000_002, "KEY#1": 0})
        self.assertIn("3 items copied from earlier to shop-payments, 0 left", said)
        self.assertIn("Versions of INTENT have grown by 2,000,000.", said)

    def test_each_item_is_marked_while_it_is_copied_and_not_afterwards(self):
        tables = self.tables()
        run(tables, "payments", "--from", "earlier", "--overwrite")
        self.assertEqual(len(tables.writes), 3)
        self.assertFalse(any("restoring" in item for item in tables.tables["shop-payments"].values()))

    def test_a_second_run_uses_versions_above_the_first(self):
        tables = self.tables()
        run(tables, "payments", "--from", "earlier", "--overwrite")
        run(tables, "payments", "--from", "earlier", "--overwrite")
        self.assertEqual(version(tables.tables["shop-payments"]["ORDER#1", "INTENT"]), 3_000_004)

    def test_missing_items_alone_are_copied_on_request(self):
        tables = self.tables()
        said = run(tables, "payments", "--from", "earlier", "--missing")
        self.assertEqual(version(tables.tables["shop-payments"]["ORDER#1", "INTENT"]), 7)
        self.assertEqual(version(tables.tables["shop-payments"]["ORDER#2", "INTENT"]), 2_000_009)
        self.assertIn("2 items copied", said)

    def test_an_interrupted_run_is_completed_by_a_second_one(self):
        for word in ("--missing", "--overwrite"):
            with self.subTest(word):
                tables = self.tables()
                tables.interrupted_after = 1
                with self.assertRaises(KeyboardInterrupt):
                    run(tables, "payments", "--from", "earlier", word)
                left = tables.marked("shop-payments")
                self.assertTrue(left)
                tables.interrupted_after = None
                if word == "--missing":
                    self.assertIn("2 items would be copied", run(tables, "payments", "--from", "earlier", word, "--dry-run"))
                run(tables, "payments", "--from", "earlier", word)
                self.assertEqual(tables.marked("shop-payments"), [])
                found = {key(item)[0]: version(item) for item in tables.tables["shop-payments"].values()}
                self.assertEqual(set(found), {"ORDER#1", "ORDER#2", "ORDER#3", "KEY#1"})
                self.assertEqual(found["ORDER#1"] == 7, word == "--missing")
                for name in set(left) & {"ORDER#1", "ORDER#2"}:
                    self.assertGreaterEqual(found[name], 3_000_000)

    def test_a_put_with_a_lost_response_is_repeated(self):
        for word in ("--missing", "--overwrite"):
            tables = Tables(shop_orders=[record("ORDER#1", "", version=1_000_003) | {"restoring": {"BOOL": True}}],
                            earlier=[record("ORDER#1", "", version=3)])
            copy = restore.Copy(tables, "earlier", "shop-orders", word == "--missing", False)
            copy.epochs = {"ORDER": 1_000_000}
            self.assertTrue(copy.copy(record("ORDER#1", "", version=3)), word)
            self.assertEqual(tables.marked("shop-orders"), [])

    def test_items_written_after_the_restored_time_are_listed_and_rejected(self):
        later = [record("RESERVATION#1", "", version=2), record("RESERVATION#2", "", version=1), record("MOVE#1", "")]
        tables = Tables(shop_stock=[record("STOCK#1", "", version=7), *later], earlier=[record("STOCK#1", "", version=4)])
        with self.assertRaisesRegex(CommandError, "use --missing, which is safe .* or --overwrite"):
            run(tables, "stock", "--from", "earlier")
        self.assertEqual(tables.writes, [])
        said = run(tables, "stock", "--from", "earlier", "--overwrite")
        self.assertIn("3 items are only in shop-stock and stay:", said)
        self.assertRegex(said, r"MOVE +1\nRESERVATION +2\n")
        self.assertIn("1 items copied", said)

    def test_a_dry_run_lists_later_items_and_does_not_fail(self):
        said = run(self.tables(), "payments", "--from", "earlier", "--dry-run")
        self.assertRegex(said, r"INTENT +1\n")
        self.assertIn("--overwrite", said)

    def test_a_table_without_later_items_needs_no_option(self):
        tables = Tables(shop_products=[record("PRODUCT#1", "", version=5)], earlier=[record("PRODUCT#1", "", version=3)])
        self.assertIn("1 items copied", run(tables, "products", "--from", "earlier"))

    def test_ledger_items_are_counted_by_kind_and_not_by_product(self):
        later = [record("BALANCES#0#3", f"prd_{number}") for number in (1, 2)] + [record("ORDER#1", "ent_1")]
        said = run(Tables(shop_ledger=later, earlier=[]), "ledger", "--from", "earlier", "--dry-run")
        self.assertRegex(said, r"BALANCES +2\nORDER +1\n")

    def test_commands_of_an_order_grow_with_its_version(self):
        tables = Tables(shop_orders=[record("ORDER#1", "", version=12, attempt=5)], earlier=[record("ORDER#1", "", version=3, attempt=2)])
        run(tables, "orders", "--from", "earlier")
        order = tables.tables["shop-orders"]["ORDER#1", ""]
        self.assertEqual((order["version"]["N"], order["attempt"]["N"]), ("1000003", "1000002"))

    def test_a_dry_run_writes_nothing(self):
        tables = self.tables()
        self.assertIn("2 items would be copied", run(tables, "payments", "--from", "earlier", "--missing", "--dry-run"))
        self.assertEqual(tables.writes, [])

    def test_a_point_in_time_is_restored_beside_the_table(self):
        tables = self.tables()
        run(tables, "payments", "--at", "2026-11-28T10:00", "--missing")
        run(tables, "payments", "--at", "2026-11-28T10:00", "--missing")
        self.assertEqual(tables.restored, [("shop-payments", "shop-payments-at-20261128-100000", "2026-11-28 10:00:00+00:00")])

    def test_invalid_restores_are_rejected_with_one_sentence(self):
        for words, said in [(["sessions", "--at", "2026-11-28"], "all users log in again"), (["order-products"], "resync-products"),
                            (["orders"], "Say which time"), (["payments", "--from", "shop-payments"], "the table of the deployment itself"),
                            (["payments", "--from", "other"], "There is no table other"),
                            (["payments", "--missing", "--overwrite"], "exclude each other")]:
            with self.assertRaisesRegex(CommandError, said):
                run(self.tables(), *words)

    def test_every_table_of_the_template_is_restored_or_rejected(self):
        text = "\n".join(path.read_text() for path in templates.paths(ROOT))
        tables = set(re.findall(r"TableName: !Sub \$\{Shop\}-([a-z-]+)", text)) - {"payment-simulator"}
        self.assertEqual(tables, {*restore.TABLES, *restore.NOT_RESTORED})

    def test_the_ledger_uses_the_same_epoch(self):
        source = (ROOT / "functions/ledger/src/domain/repair/mod.rs").read_text()
        self.assertIn(f"pub const EPOCH: u64 = {restore.EPOCH:_};", source)


if __name__ == "__main__":
    unittest.main()
