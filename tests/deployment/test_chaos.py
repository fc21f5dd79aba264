"""`make chaos`: each check fails when its rule is broken, and a seed repeats the plan."""

import contextlib
import dataclasses
import io
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import fakes  # noqa: F401 (it sets the path of the scripts)

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))
import buyers  # noqa: E402
import chaos  # noqa: E402
import checks  # noqa: E402
import disturbances  # noqa: E402
import overload  # noqa: E402
import reading  # noqa: E402
from checks import SUBJECTS, Order, Snapshot  # noqa: E402

PLACED = {"key-1": "ord_1", "key-2": "ord_2", "key-3": "ord_3"}


def snapshot():
    """One confirmed order, one that was paid, cancelled and refunded, and one that failed."""
    confirmed = Order("confirmed", "committed", "paid", 500, 500, 0, {"prd_1": 2}, {"placed", "payment_succeeded", "confirmed"})
    cancelled = Order("cancelled", "released", "refunded", 300, 300, 300, {"prd_1": 1}, {"placed", "confirmed", "payment_refunded", "cancelled"})
    failed = Order("failed", "rejected", "closed", 900, 0, 0, {"prd_1": 90}, {"placed", "stock_rejected", "failed"})
    return Snapshot(
        orders={"ord_1": confirmed, "ord_2": cancelled, "ord_3": failed}, stock={"prd_1": (8, 8)}, delivered={"prd_1": 10},
        charges={"ord_1": [500], "ord_2": [300]}, refunds={"ord_2": [300]}, messages={"reserve-stock": 0, "reserve-stock-dead-letter": 0},
        mails={"ord_1": {SUBJECTS["confirmed"]}, "ord_2": {SUBJECTS["confirmed"], SUBJECTS["cancelled"], SUBJECTS["refunded"]},
               "ord_3": {SUBJECTS["failed"]}})


class Checks(unittest.TestCase):
    def violated(self, snapshot, sentence, placed=PLACED):
        found = checks.violations(snapshot, placed)
        self.assertTrue(any(sentence in each for each in found), f"{sentence!r} is not in {found}")

    def with_order(self, id, sentence, **changes):
        broken = snapshot()
        broken.orders[id] = dataclasses.replace(broken.orders[id], **changes)
        self.violated(broken, sentence)

    def test_settled_shop_has_no_violation(self):
        self.assertEqual(checks.violations(snapshot(), PLACED), [])

    def test_lost_order(self):
        broken = snapshot()
        del broken.orders["ord_3"]
        self.violated(broken, "ord_3 was answered, and does not exist")

    def test_order_of_no_request(self):
        self.violated(snapshot(), "1 orders exist that no request was answered with", {"key-1": "ord_1", "key-2": "ord_2"})

    def test_request_without_an_answer_may_have_placed_an_order(self):
        self.assertEqual(checks.violations(snapshot(), PLACED | {"key-3": None}), [])

    def test_two_requests_with_one_order(self):
        self.violated(snapshot(), "ord_1 was answered to two different requests", PLACED | {"key-4": "ord_1"})

    def test_unsettled_orders(self):
        self.with_order("ord_1", "ord_1 is not settled", status="pending")
        self.with_order("ord_1", "ord_1 is not settled", stock="committing")
        self.with_order("ord_2", "ord_2 is not settled", payment="refunding")
        self.with_order("ord_3", "ord_3 needs a review: refund_refused", needs_review="refund_refused")

    def test_stock(self):
        for levels, sentence in (((7, 7), "has 7 on hand"), ((8, 6), "has 6 available of 8"), ((-1, -1), "has negative stock")):
            broken = snapshot()
            broken.stock["prd_1"] = levels
            self.violated(broken, sentence)

    def test_oversold_product(self):
        broken = snapshot()
        broken.delivered["prd_1"] = 1
        self.violated(broken, "prd_1 is oversold: 2 of 1")

    def test_sold_product_without_stock(self):
        broken = snapshot()
        broken.stock = {}
        self.violated(broken, "prd_1 was sold and has no stock")

    def test_charges(self):
        for id, charges, sentence in (("ord_1", [500, 500], "ord_1 was charged 2 times"), ("ord_1", [], "ord_1 has captured 500"),
                                      ("ord_3", [900], "ord_3 is failed with a total of 900, and the provider keeps 900"),
                                      ("ord_9", [100], "the provider has a charge for ord_9")):
            broken = snapshot()
            broken.charges[id] = charges
            self.violated(broken, sentence)

    def test_refunds(self):
        broken = snapshot()
        broken.refunds = {}
        self.violated(broken, "ord_2 has refunded 300, and the provider []")
        self.violated(broken, "ord_2 is cancelled with a total of 300, and the provider keeps 300")
        self.with_order("ord_2", "ord_2 has refunded 0", refunded=0)

    def test_mails(self):
        for id, subjects, sentence in (("ord_1", set(), "ord_1 is confirmed, and no mail reports it"),
                                   ("ord_1", {SUBJECTS["confirmed"], SUBJECTS["cancelled"]}, f"a mail reports: {SUBJECTS['cancelled']}"),
                                   ("ord_1", {SUBJECTS["confirmed"], SUBJECTS["declined"]}, f"a mail reports: {SUBJECTS['declined']}"),
                                   ("ord_2", {SUBJECTS["cancelled"]}, "ord_2 was refunded, and no mail reports it"),
                                   ("ord_3", {SUBJECTS["failed"], SUBJECTS["confirmed"]}, f"a mail reports: {SUBJECTS['confirmed']}"),
                                   ("ord_9", {SUBJECTS["failed"]}, "a mail is about ord_9")):
            broken = snapshot()
            broken.mails[id] = subjects
            self.violated(broken, sentence)

    def test_messages_and_ledger(self):
        broken = snapshot()
        broken.messages["reserve-stock-dead-letter"] = 1
        self.violated(broken, "reserve-stock-dead-letter has 1 messages")
        broken.mismatches = ["ord_1 captured_in_ledger: expected 500, found 0"]
        self.violated(broken, "reconcile-ledger reports: ord_1 captured_in_ledger")

    def test_subjects_are_those_of_the_mails(self):
        source = (chaos.ROOT / "functions/notifications/src/templates/order.rs").read_text()
        for subject in SUBJECTS.values():
            self.assertIn(f'"{subject}"', source)


class Reading(unittest.TestCase):
    def test_order_is_read_from_its_item(self):
        line = {"M": {"sku": {"S": "POT"}, "price": {"N": "250"}, "quantity": {"N": "2"}}}
        item = {"status": {"S": "confirmed"}, "stock": {"S": "committed"}, "payment": {"S": "paid"}, "totals": {"M": {"total": {"N": "500"}}},
                "captured_total": {"N": "500"}, "lines": {"M": {"prd_1": line}}, "needs_review": {"NULL": True},
                "history": {"L": [{"M": {"event": {"S": "placed"}}}]}}
        read = reading.order({name: reading.plain(value) for name, value in item.items()})
        self.assertEqual(read, Order("confirmed", "committed", "paid", 500, 500, 0, {"prd_1": 2}, {"placed"}))

    def mismatches(self, *reports, status=0):
        printed = SimpleNamespace(stdout="\n".join(reports), stderr="no access", returncode=status)
        with mock.patch.object(reading, "tool", return_value=printed):
            return reading.mismatches(SimpleNamespace(name="chaos"))

    def test_reports_of_the_reconciliation(self):
        report = '{"unsettled": %s, "unbalanced": [], "products": %s, "not_checked": %s}'
        self.assertEqual(self.mismatches(report % ("[]", "[]", "[]")), [])
        in_flight = report % ('[{"order_id": "ord_1", "findings": [{"check": "charge_at_provider", "expected": 500, "found": 0}]}]', "[]", "[]")
        self.assertEqual(self.mismatches(in_flight), ["ord_1 charge_at_provider: expected 500, found 0"])
        self.assertEqual(len(self.mismatches(report % ("[]", '[{"product_id": "prd_1", "state": "unsettled"}]', '["entries"]'))), 2)
        self.assertEqual(self.mismatches(status=1), ["it failed: no access"])


class Plan(unittest.TestCase):
    def test_seed_repeats_the_plan(self):
        self.assertEqual(disturbances.plan(7, 100), disturbances.plan(7, 100))
        self.assertNotEqual(disturbances.plan(7, 100), disturbances.plan(8, 100))
        self.assertEqual(buyers.planned_orders(7, 50, 20), buyers.planned_orders(7, 50, 20))
        self.assertNotEqual(buyers.planned_orders(7, 50, 20), buyers.planned_orders(8, 50, 20))

    def test_plan_has_every_kind_of_disturbance_and_every_story(self):
        self.assertEqual({step.kind for step in disturbances.plan(1, 100)}, {"kill", "halt", "delete", "bury"})
        planned_orders = buyers.planned_orders(1, 300, 100)
        self.assertEqual({planned.story for planned in planned_orders}, set(buyers.STORIES))
        self.assertTrue(any(len(planned.lines) > 1 for planned in planned_orders))

    def test_scarce_products_are_ordered_more_often_than_they_are_in_stock(self):
        for product in ("rare pot", "last cups"):
            wanted = sum(quantity for planned in buyers.planned_orders(1, 300, 100) for name, quantity in planned.lines if name == product)
            self.assertGreater(wanted, buyers.PRODUCTS[product])

    def test_functions_and_queues_exist(self):
        functions = {path.stem for path in chaos.ROOT.glob("functions/*/src/bin/*.rs")}
        self.assertLessEqual({*disturbances.FUNCTIONS, *overload.FUNCTIONS, *reading.SWEEPS}, functions)
        templates = "".join(path.read_text() for path in chaos.ROOT.glob("functions/*/template.yaml"))
        for queue in disturbances.REDRIVEN_QUEUES:
            self.assertIn(f"QueueName: !Sub ${{Shop}}-{queue}\n", templates)


def answers(function, status, count, problem=None):
    return [overload.Sample(0.0, function, status, 0.1, problem)] * count


class Overload(unittest.TestCase):
    usual = dict.fromkeys(overload.FUNCTIONS, 10.0)
    capacity = dict.fromkeys(overload.FUNCTIONS, 20.0)

    def setUp(self):
        self.offered, self.normal = [], []
        for function in overload.FUNCTIONS:
            self.offered += answers(function, 200, 20 * overload.OVERLOAD_SECONDS) + answers(function, 503, 40 * overload.OVERLOAD_SECONDS)
            self.normal += answers(function, 200, 10 * overload.NORMAL_SECONDS)

    def found(self, recovery=()):
        return overload.violations(self.usual, self.capacity, self.offered, list(recovery), self.normal)

    def test_honest_overload_has_no_violation(self):
        self.assertEqual(self.found(recovery=answers("create-order", 503, 5)), [])

    def test_other_answers(self):
        self.offered += answers("create-order", 500, 3, "status 500: {}")
        self.assertEqual(self.found(), ["create-order answered 3 times: status 500: {}"])

    def test_overload_without_refusals(self):
        self.offered = [each._replace(status=200) for each in self.offered]
        self.assertIn("create-order refused nothing, so it was not overloaded", self.found())

    def test_nothing_is_served(self):
        self.offered = [each._replace(status=503) for each in self.offered]
        self.assertIn("create-order served 0 requests per second under overload, and can serve 20", self.found())

    def test_machine_is_too_slow(self):
        self.offered = self.offered[::2]
        self.assertTrue(any("the machine is too slow" in each for each in self.found()))

    def test_late_recovery(self):
        self.normal += answers("list-products", 503, 1)
        self.assertEqual(self.found(), ["list-products answered 503 to 1 requests later than 10 s after the overload"])

    def test_slow_recovery(self):
        self.normal = self.normal[::3]
        self.assertTrue(any("requests per second after the overload, and 10 before it" in each for each in self.found()))

    def test_refusals_are_problems_that_say_when_to_return(self):
        headers, body = {"Content-Type": "application/problem+json", "Retry-After": "1"}, b'{"code": "temporarily_unavailable"}'
        self.assertIsNone(overload.complaint(503, headers, body))
        self.assertIsNone(overload.complaint(201, {}, b""))
        for status, without, text, sentence in ((503, "Retry-After", body, "without Retry-After"), (503, "Content-Type", body, "without a problem"),
                                                (429, "", b"busy", "unreadable problem"), (502, "", body, "status 502"), (None, "", b"", "no answer")):
            given = {name: value for name, value in headers.items() if name != without}
            self.assertIn(sentence, overload.complaint(status, given, text))


class Run(unittest.TestCase):
    def run_with(self, found):
        shop = SimpleNamespace(answers={}, placed=PLACED, products={})
        args = SimpleNamespace(seed=3, part="overload", orders=300, seconds=1)
        stack = SimpleNamespace(api=mock.MagicMock())
        output = io.StringIO()
        with mock.patch.object(buyers, "Buyers", return_value=shop), mock.patch.object(overload, "run", return_value=([], [])), \
                mock.patch.object(chaos, "settle", return_value=(snapshot(), 2, found)), contextlib.redirect_stdout(output), \
                contextlib.redirect_stderr(io.StringIO()):
            return chaos.run(stack, args), output.getvalue()

    def test_violation_is_printed_with_the_command_that_repeats_the_run(self):
        status, printed = self.run_with(["ord_1 was charged 2 times: [500, 500]"])
        self.assertEqual(status, 1)
        self.assertIn("violated: ord_1 was charged 2 times", printed)
        self.assertIn("make chaos SEED=3 ORDERS=300 PART=overload", printed)

    def settled(self, violated, ledger=(), seconds=60):
        """Settles a shop in which each sweep ends one violation."""
        def sweep(_):
            del violated[:1]

        with mock.patch.multiple(reading, sweep=sweep, redrive=lambda _: 2, snapshot=lambda *_: Snapshot(), mismatches=lambda _: list(ledger)), \
                mock.patch.object(checks, "violations", lambda read, _: violated + read.mismatches), \
                mock.patch.object(chaos.time, "sleep"), mock.patch.object(chaos, "say"):
            return chaos.settle(None, SimpleNamespace(products={}, placed={}), seconds)[1:]

    def test_settling_ends_when_every_rule_holds(self):
        self.assertEqual(self.settled(["first", "second", "third"]), (6, []))

    def test_settling_ends_at_the_limit_with_what_the_ledger_reports(self):
        self.assertEqual(self.settled(["first", "second"], ["an order"], seconds=-1), (2, ["second", "an order"]))

    def test_table_has_the_outcomes(self):
        status, printed = self.run_with([])
        self.assertEqual(status, 0)
        self.assertIn("orders confirmed", printed)
        self.assertIn("dead letters redriven", printed)


if __name__ == "__main__":
    unittest.main()
