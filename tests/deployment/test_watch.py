"""`watch.py`: the figures of both sources, and frames that fit the terminal."""

import contextlib
import io
import os
import unittest
from datetime import datetime, timezone
from types import SimpleNamespace
from unittest import mock

import fakes  # noqa: F401 - puts localstack/ on the path
import watch
from test_metrics import START, Stack, access, emf
from watch import CloudWatch, Frame, LocalStack, Operation, Queue, View

NOW = START / 1000
MINUTE = START // 60_000


def view(operations=(), queues=(), **orders):
    return View(MINUTE, watch.by_outcome() | orders, list(operations), list(queues))


def text(shown, width=80, height=24, **settings):
    return "\n".join(Frame(width, height, **settings).lines(shown, "local stack"))


class Local(unittest.TestCase):
    def setUp(self):
        self.stack = Stack()
        self.source = LocalStack(self.stack, NOW)

    def test_orders_are_counted_by_outcome_and_minute(self):
        self.stack.store(0, emf("OrdersPlaced", 2))
        self.stack.store(-60_000, emf("OrdersPlaced", 1))
        self.stack.store(0, emf("OrdersConfirmed", 1))
        for reason in ("out_of_stock", "payment_failed", "cancelled", "not_paid_in_time", "refunded"):
            self.stack.store(0, emf("OrdersFailed", 1, reason=reason))
        self.stack.store(0, emf("OrdersCancelled", 1))
        orders = self.source.view(NOW).orders
        self.assertEqual(dict(orders["placed"]), {MINUTE: 2, MINUTE - 1: 1})
        self.assertEqual([orders[name][MINUTE] for name in ("confirmed", "failed", "cancelled")], [1, 2, 4])

    def test_latencies_cover_a_quarter_of_an_hour_and_the_busiest_operation_is_first(self):
        for milliseconds in range(1, 101):
            self.stack.store(-milliseconds, access(duration_ms=milliseconds))
        self.stack.store(-16 * 60_000, access(duration_ms=9000))
        self.stack.store(0, access(operation="charge-payment", type="message", duration_ms=7))
        first, second = self.source.view(NOW).operations
        self.assertEqual((first.name, first.calls, first.p50, first.p95), ("create-order", 100, 50, 95))
        self.assertEqual(first.plot[MINUTE - 16], 9000)
        self.assertEqual((second.name, second.calls, second.p50), ("charge-payment", 1, 7))

    def test_what_is_older_than_the_plots_is_forgotten(self):
        self.stack.store(0, access())
        self.stack.store(0, emf("OrdersPlaced", 1))
        self.source.view(NOW)
        later = self.source.view(NOW + 31 * 60)
        self.assertEqual((sum(later.orders["placed"].values()), later.operations), (0, []))
        self.assertEqual(list(self.source.waiting["reserve-stock"]), [MINUTE + 31])

    def test_a_queue_and_its_dead_letter_queue_are_one_row(self):
        (row,) = self.source.view(NOW).queues
        self.assertEqual((row.name, row.waiting, row.dead, row.plot), ("reserve-stock", 0, 3, {MINUTE: 0}))

    def test_a_dead_letter_queue_without_a_queue_has_its_own_row(self):
        rows = watch.paired({"publish-stock-dead-letter": 1, "charge-payment": 4, "charge-payment-dead-letter": 0}, {"charge-payment": {MINUTE: 4}})
        self.assertEqual([(row.name, row.waiting, row.dead) for row in rows], [("publish-stock", 0, 1), ("charge-payment", 4, 0)])


class Cloud:
    """CloudWatch of a stack: 3 orders a minute, 20 calls of create-order, a queue. It records the queries."""

    name = "shop"

    def __init__(self):
        self.queries, self.queue = [], "http://sqs/1/shop-reserve-stock"

    def client(self, _service):
        return self

    def function(self, operation):
        return f"shop-{operation}"

    def get_paginator(self, operation):
        return SimpleNamespace(paginate=getattr(self, operation))

    def list_queues(self, **_):
        return [{"QueueUrls": [self.queue, f"{self.queue}-dead-letter"]} if self.queue else {}]

    def list_metrics(self, Namespace, MetricName, Dimensions):
        sets = {"OrdersPlaced": [[]], "OrdersFailed": [[], [("reason", "out_of_stock")], [("reason", "not_paid_in_time")]]}.get(MetricName, [])
        return [{"Metrics": [{"Dimensions": [*Dimensions, *({"Name": name, "Value": value} for name, value in each)]}]} for each in sets]

    def get_metric_data(self, MetricDataQueries, StartTime, EndTime, **_):
        assert len(MetricDataQueries) <= 500
        self.queries += MetricDataQueries
        for half in (MetricDataQueries[::2], MetricDataQueries[1::2]):
            yield {"MetricDataResults": [self.result(each, StartTime, EndTime) for each in half]}

    def result(self, query, start, end):
        metric, statistic = query["MetricStat"]["Metric"], query["MetricStat"]["Stat"]
        dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
        name = dimensions.get("FunctionName") or dimensions.get("QueueName") or dimensions["stack"]
        value = {("shop", "OrdersPlaced", "Sum"): 3, ("shop", "OrdersFailed", "Sum"): 1, ("shop-create-order", "Invocations", "Sum"): 20,
                 ("shop-create-order", "Duration", "p50"): 12.4, ("shop-create-order", "Duration", "p95"): 80.6,
                 ("shop-reserve-stock-dead-letter", "ApproximateNumberOfMessagesVisible", "Maximum"): 2}.get((name, metric["MetricName"], statistic))
        at = [datetime.fromtimestamp(each, timezone.utc) for each in range(start, end, query["MetricStat"]["Period"])] if value else []
        return {"Id": query["Id"], "Timestamps": at, "Values": [value] * len(at)}


class FromCloudWatch(unittest.TestCase):
    def test_the_figures_come_from_metric_data(self):
        found = CloudWatch(Cloud()).view(NOW)
        self.assertEqual([found.orders[name][MINUTE] for name in ("placed", "confirmed", "failed", "cancelled")], [3, 0, 1, 1])
        self.assertEqual(len(found.orders["placed"]), 30)
        self.assertEqual([(each.name, each.calls, each.p50, each.p95, each.plot[MINUTE]) for each in found.operations],
                         [("create-order", 300, 12.4, 80.6, 80.6)])
        self.assertEqual([(row.name, row.waiting, row.dead) for row in found.queues], [("reserve-stock", 0, 2)])

    def test_calls_and_durations_are_those_of_the_alias(self):
        cloud = Cloud()
        CloudWatch(cloud).view(NOW)
        lambdas = [query["MetricStat"]["Metric"] for query in cloud.queries if query["MetricStat"]["Metric"]["Namespace"] == "AWS/Lambda"]
        for metric in lambdas:
            function, resource = metric["Dimensions"]
            self.assertEqual((function["Name"], resource), ("FunctionName", {"Name": "Resource", "Value": f"{function['Value']}:live"}))
        self.assertIn("shop-create-order", {metric["Dimensions"][0]["Value"] for metric in lambdas})

    def test_a_stack_that_does_not_exist_is_reported(self):
        cloud = Cloud()
        cloud.queue = None
        with self.assertRaisesRegex(watch.CommandError, "check --stack and AWS_REGION"):
            CloudWatch(cloud).view(NOW)


class Frames(unittest.TestCase):
    crowded = view([Operation(f"operation-{number:02}-with-a-long-name", 10**7, 1234.5, 99999, {MINUTE: 5}) for number in range(40)],
                   [Queue(f"queue-{number:02}", number, number == 3, {MINUTE: number}) for number in range(25)])

    def test_a_frame_fills_the_terminal_and_never_exceeds_it(self):
        for width, height in ((80, 24), (200, 60), (60, 16), (20, 5), (100, 13)):
            for shown in (view(), self.crowded):
                lines = Frame(width, height).lines(shown, "local stack")
                with self.subTest((width, height)):
                    self.assertLessEqual(max(map(len, lines)), width)
                    self.assertEqual(len(lines), height)

    def test_a_terminal_of_24_lines_shows_every_section(self):
        shown = text(self.crowded)
        self.assertEqual(shown.count("operation-"), 7)
        self.assertEqual(shown.count("queue-"), 5)
        self.assertIn("20 more", shown)

    def test_plots_have_a_character_per_minute(self):
        placed = {MINUTE: 8, MINUTE - 1: 4, MINUTE - 29: 1}
        line = text(view(placed=placed)).splitlines()[3]
        self.assertEqual(line, "placed                   " + "▂" + "▁" * 27 + "▅█" + "        8       4      13")
        self.assertEqual(len(line), 80)

    def test_minutes_without_calls_are_empty(self):
        shown = text(view([Operation("get-order", 3, 5, 9, {MINUTE: 9, MINUTE - 2: 1})]))
        self.assertIn("▂ █ ", shown)

    def test_a_terminal_without_unicode_has_plain_characters(self):
        self.assertTrue(text(self.crowded, blocks=watch.ASCII).isascii())

    def test_dead_letters_are_red_and_come_first_and_colours_can_be_off(self):
        queues = watch.paired({"a": 0, "b": 0, "b-dead-letter": 1}, {})
        shown = text(view(queues=queues), coloured=True)
        self.assertIn("\033[31mb ", shown)
        self.assertNotIn("\033", text(view(queues=queues)))

    def test_percentiles_are_values_that_occurred(self):
        self.assertEqual([watch.percentile(values, 95) for values in ([], [7], [1, 2], list(range(1, 101)))], [None, 7, 2, 95])


class Terminal(unittest.TestCase):
    def watched(self, terminal, **environment):
        printed = io.StringIO()
        printed.isatty = lambda: terminal
        args = watch.arguments().parse_args([])
        args.stack = None
        with contextlib.redirect_stdout(printed), mock.patch.dict(os.environ, {"TERM": "xterm", "NO_COLOR": "", **environment}), \
                mock.patch.object(watch.signal, "signal"), mock.patch.object(watch.time, "sleep", side_effect=KeyboardInterrupt):
            self.assertEqual(watch.watch(Stack(), args), 0)
        return printed.getvalue()

    def test_another_output_gets_one_frame_without_control_characters(self):
        for shown in (self.watched(False), self.watched(True, TERM="dumb")):
            self.assertNotIn("\033", shown)
            self.assertEqual(shown.count("LATENCY"), 1)

    def test_ctrl_c_restores_the_terminal(self):
        shown = self.watched(True)
        self.assertTrue(shown.startswith("\033[?1049h"))
        self.assertTrue(shown.endswith("\033[?25h\033[?1049l"))
        self.assertIn("\033[36m", shown)
        self.assertNotIn("\033[36m", self.watched(True, NO_COLOR="1"))

    def test_a_failed_refresh_keeps_the_last_view_and_names_the_reason(self):
        stack, args = Stack(), watch.arguments().parse_args([])
        source = LocalStack(stack, NOW)
        stack.fails = True
        last = view()
        with mock.patch.object(watch.deployment, "chosen", side_effect=watch.CommandError("The local stack is not running: run make up.")):
            found, note = watch.refreshed(source, args, last)
        self.assertIs(found, last)
        self.assertIn("the stack is stopped", note)
        self.assertIn("Not current: ", "\n".join(Frame(80, 24).lines(found, "local stack", note)))


if __name__ == "__main__":
    unittest.main()
