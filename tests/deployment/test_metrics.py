"""`metrics.py`: the metrics of log lines, the text format of Prometheus, and the cost of a scrape."""

import contextlib
import io
import os
import re
import socket
import threading
import unittest
import urllib.error
import urllib.request
from types import SimpleNamespace
from unittest import mock

import fakes
import metrics
import telemetry
from metrics import Metrics, Page, prometheus

START = 1_795_953_000_000


def access(**fields):
    return {"type": "request", "service": "orders", "operation": "create-order", "method": "POST", "status": 201, "duration_ms": 30} | fields


def emf(name, value, unit="Count", dimensions=(), **labels):
    sets = dimensions or [["stack", *labels]]
    header = {"Timestamp": START, "CloudWatchMetrics": [{"Namespace": "Ferrocart", "Dimensions": sets, "Metrics": [{"Name": name, "Unit": unit}]}]}
    return {"_aws": header, "stack": "shop", name: value} | labels


def samples(*lines):
    """Returns the samples of these lines, by name with labels, and the warnings."""
    said = []
    found = Metrics(said.append)
    for fields in lines:
        found.record(fields)
    text = "\n".join(line for family in found.families.values() for line in family.lines())
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")), said


class Stack:
    """A stack with stored log lines and two queues. It records the number of log events of each answer."""

    name, exceptions = "shop", fakes.Exceptions

    def __init__(self, most=10_000):
        self.groups, self.most, self.answered, self.fails = {}, most, [], False

    def client(self, _service):
        return self

    def store(self, milliseconds, fields, group="/aws/lambda/shop-orders"):
        text = fields if isinstance(fields, str) else telemetry.json.dumps(fields)
        self.groups.setdefault(group, []).append({"timestamp": START + milliseconds, "message": text})

    def get_paginator(self, operation):
        return SimpleNamespace(paginate=getattr(self, operation))

    def filter_log_events(self, logGroupName, startTime, **_):
        if self.fails:
            raise fakes.error("InternalError", "the stack is stopped")
        if logGroupName not in self.groups:
            raise fakes.Missing
        stored = sorted(self.groups[logGroupName], key=lambda event: event["timestamp"])
        found = [event for event in stored if event["timestamp"] >= startTime][:self.most]
        self.answered.append(len(found))
        return [{"events": found}]

    def list_queues(self, **_):
        return [{"QueueUrls": ["http://sqs/1/shop-reserve-stock", "http://sqs/1/shop-reserve-stock-dead-letter"]}]

    def get_queue_attributes(self, QueueUrl, **_):
        waiting = 3 if QueueUrl.endswith("-dead-letter") else 0
        return {"Attributes": {"ApproximateNumberOfMessages": str(waiting), "ApproximateNumberOfMessagesNotVisible": "1"}}


class AccessLines(unittest.TestCase):
    def test_requests_are_counted_by_operation_method_and_status(self):
        found, _ = samples(access(), access(), access(status=422), access(method="HEAD"))
        labels = 'requests_total{service="orders",operation="create-order",method="%s",status="%s"}'
        self.assertEqual([found[labels % each] for each in (("POST", 201), ("POST", 422), ("HEAD", 201))], ["2", "1", "1"])

    def test_a_duration_on_the_bound_of_a_bucket_is_in_that_bucket(self):
        found, _ = samples(access(duration_ms=25), access(duration_ms=26), access(duration_ms=20_000))
        bucket = 'request_duration_seconds_bucket{service="orders",operation="create-order",le="%s"}'
        self.assertEqual([found[bucket % bound] for bound in ("0.01", "0.025", "0.05", "10", "+Inf")], ["0", "1", "2", "2", "3"])
        self.assertEqual(found['request_duration_seconds_sum{service="orders",operation="create-order"}'], "20.051")
        self.assertEqual(found['request_duration_seconds_count{service="orders",operation="create-order"}'], "3")

    def test_other_executions_are_counted_by_result(self):
        message = {"type": "message", "service": "payments", "operation": "charge-payment", "duration_ms": 5, "level": "INFO"}
        found, _ = samples(message, message | {"level": "WARN"}, message | {"level": "ERROR"}, message | {"level": "ERROR"})
        labels = 'executions_total{service="payments",operation="charge-payment",type="message",result="%s"}'
        self.assertEqual([found[labels % each] for each in ("succeeded", "retried", "failed")], ["1", "1", "2"])

    def test_lines_without_a_duration_are_ignored(self):
        found, _ = samples({"message": "circuit breaker opened"}, access(duration_ms=None), access(duration_ms="9"), access(operation=None))
        self.assertEqual(found, {})


class EmbeddedMetrics(unittest.TestCase):
    def test_names_units_and_types_follow_from_the_line(self):
        for name, unit, expected in [
            ("OrdersPlaced", "Count", ("orders_placed_total", "counter", 1)),
            ("Revenue", "None", ("revenue_total", "counter", 1)),
            ("SecondsToConfirm", "Seconds", ("seconds_to_confirm", "histogram", 1)),
            ("OldestUnsettledOrderSeconds", "Seconds", ("oldest_unsettled_order_seconds", "gauge", 1)),
            ("MillisecondsToAnswer", "Milliseconds", ("milliseconds_to_answer_seconds", "histogram", 1e-3)),
            ("TableSize", "Kilobytes", ("table_size_bytes", "gauge", 1024)),
            ("CacheHits", "Percent", ("cache_hits_ratio", "gauge", 0.01)),
            ("SQSMessages5XX", "Count/Second", ("sqs_messages5_xx_count_per_second", "gauge", 1)),
        ]:
            with self.subTest(name):
                self.assertEqual(prometheus(name, unit), expected)

    def test_dimensions_become_labels_without_the_stack(self):
        found, _ = samples(emf("OrdersFailed", 1, reason="out_of_stock"), emf("OrdersFailed", 2, reason="out_of_stock"), emf("OrdersPlaced", 1))
        self.assertEqual(found, {'orders_failed_total{reason="out_of_stock"}': "3", "orders_placed_total": "1"})

    def test_a_line_with_several_sets_of_dimensions_is_counted_once(self):
        found, _ = samples(emf("OrdersFailed", 1, dimensions=[["stack"], ["stack", "reason"]], reason="out_of_stock"))
        self.assertEqual(found, {'orders_failed_total{reason="out_of_stock"}': "1"})

    def test_every_value_of_a_list_is_counted(self):
        found, _ = samples(emf("OrdersPlaced", [1, 2]), emf("SecondsToConfirm", [0.5, 7], "Seconds"))
        self.assertEqual(found["orders_placed_total"], "3")
        self.assertEqual([found[name] for name in ("seconds_to_confirm_sum", "seconds_to_confirm_count")], ["7.5", "2"])
        self.assertEqual([found[f'seconds_to_confirm_bucket{{le="{bound}"}}'] for bound in ("0.1", "0.5", "10")], ["0", "1", "2"])

    def test_a_gauge_has_the_newest_value(self):
        found, _ = samples(emf("OldestUnsettledOrderSeconds", 90, "Seconds"), emf("OldestUnsettledOrderSeconds", 4, "Seconds"))
        self.assertEqual(found, {"oldest_unsettled_order_seconds": "4"})

    def test_a_counter_never_goes_down(self):
        found, said = samples(emf("OrdersPlaced", 2), emf("OrdersPlaced", -1), emf("OrdersPlaced", -1))
        self.assertEqual(found, {"orders_placed_total": "2"})
        self.assertEqual(len(said), 1)

    def test_a_metric_with_the_name_of_another_one_is_omitted_and_reported(self):
        found, said = samples(access(), emf("Requests", 5), emf("Requests", 5), emf("SecondsUp", 1, "Seconds"), emf("seconds_up", 2, "Bits/Seconds"))
        self.assertEqual([value for name, value in found.items() if name.startswith("requests_total")], ["1"])
        self.assertEqual(found["seconds_up_count"], "1")
        self.assertEqual(said[0], "warning: the metric Requests (Count) is omitted, because requests_total is another metric")
        self.assertEqual(len(said), 1)

    def test_malformed_lines_are_ignored(self):
        for fields in ({"_aws": 1}, {"_aws": {"CloudWatchMetrics": {}}}, {"_aws": {"CloudWatchMetrics": [7, {"Metrics": [8, {}]}]}},
                       emf("OrdersPlaced", None), emf("OrdersPlaced", True), emf("OrdersPlaced", float("nan")), emf("OrdersPlaced", "3")):
            with self.subTest(fields):
                self.assertEqual(samples(fields), ({}, []))


class Format(unittest.TestCase):
    def test_every_family_has_help_and_type_before_its_samples(self):
        stack = Stack()
        for fields in (access(), emf("OrdersPlaced", 1), emf("SecondsToConfirm", 2, "Seconds")):
            stack.store(0, fields)
        described = set()
        for line in page(stack).text().splitlines():
            if line.startswith("# HELP "):
                described.add(name := line.split()[2])
                self.assertRegex(name, r"^[a-z_][a-z0-9_]*$")
            elif line.startswith("# TYPE "):
                self.assertIn(line.split()[2], described)
            else:
                self.assertRegex(line, r'^[a-z_0-9]+(\{([a-z_]+="[^"]*",?)+\})? [0-9.e+-]+$')
                self.assertIn(re.sub(r"_(bucket|sum|count)$", "", line.split("{")[0].split(" ")[0]), described)

    def test_label_values_are_escaped(self):
        found, _ = samples(emf("OrdersFailed", 1, reason='a "b" \\ c\nd'))
        self.assertEqual(found, {'orders_failed_total{reason="a \\"b\\" \\\\ c\\nd"}': "1"})

    def test_numbers_have_no_rounding_errors(self):
        self.assertEqual([metrics.number(each) for each in (3, 3.0, 0.1 + 0.2, 0.005, 1e20, 2**60)],
                         ["3", "3", "0.3", "0.005", "1e+20", "1152921504606846976"])

    def test_queues_and_sources_are_gauges(self):
        text = page(Stack()).text()
        for line in ('queue_messages{queue="reserve-stock"} 0', 'queue_messages{queue="reserve-stock-dead-letter"} 3',
                     'queue_messages_in_flight{queue="reserve-stock"} 1', 'up{source="logs"} 1', 'up{source="queues"} 1'):
            self.assertIn(f"{line}\n", text)


def page(stack, said=None):
    found = Page(stack, lambda: stack)
    found.metrics.say = (said if said is not None else []).append
    return found


def placed(text):
    return int(re.search(r"^orders_placed_total (\d+)$", text, re.MULTILINE)[1])


class Reading(unittest.TestCase):
    def test_a_scrape_reads_new_lines_and_the_overlap_only(self):
        stack = Stack()
        for second in range(5000):
            stack.store(second * 1000, emf("OrdersPlaced", 1))
        scraped = page(stack)
        self.assertEqual(placed(scraped.text()), 5000)
        stack.answered.clear()
        stack.store(5_000_000, emf("OrdersPlaced", 1))
        self.assertEqual(placed(scraped.text()), 5001)
        self.assertLess(stack.answered[0], 15)

    def test_equal_lines_of_one_millisecond_are_counted_separately_and_once(self):
        stack = Stack()
        scraped = page(stack)
        for expected in (1, 2, 2, 3):
            if expected > len(stack.groups.get("/aws/lambda/shop-orders", [])):
                stack.store(0, emf("OrdersPlaced", 1))
            self.assertEqual(placed(scraped.text()), expected)

    def test_a_line_that_is_stored_late_is_counted(self):
        stack = Stack()
        scraped = page(stack)
        stack.store(60_000, emf("OrdersPlaced", 1))
        scraped.text()
        stack.store(55_000, emf("OrdersPlaced", 1))
        self.assertEqual(placed(scraped.text()), 2)

    def test_more_lines_than_one_answer_holds_are_read(self):
        stack = Stack(most=10)
        for number in range(95):
            stack.store(number // 4, emf("OrdersPlaced", 1))
        with mock.patch.object(telemetry, "MOST_EVENTS", 10):
            self.assertEqual(placed(page(stack).text()), 95)

    def test_a_full_answer_of_one_millisecond_does_not_loop(self):
        stack = Stack(most=10)
        for _ in range(10):
            stack.store(0, emf("OrdersPlaced", 1))
        with mock.patch.object(telemetry, "MOST_EVENTS", 10):
            self.assertEqual(placed(page(stack).text()), 10)

    def test_lines_of_other_text_are_ignored(self):
        stack = Stack()
        for text in ("START RequestId: 1", "{not json", "[" * 100_000, "{" * 5, "[]", '{"a": ' * 50_000, emf("OrdersPlaced", 1)):
            stack.store(0, text)
        self.assertEqual(placed(page(stack).text()), 1)

    def test_counters_survive_a_restart_of_the_stack(self):
        stack, said = Stack(), []
        scraped = page(stack, said)
        stack.store(0, emf("OrdersPlaced", 1))
        scraped.text()
        stack.fails = True
        text = scraped.text()
        self.assertIn('up{source="logs"} 0\n', text)
        self.assertEqual(placed(text), 1)
        stack.fails, stack.groups = False, {}
        stack.store(60_000, emf("OrdersPlaced", 1))
        text = scraped.text()
        self.assertIn('up{source="logs"} 1\n', text)
        self.assertEqual(placed(text), 2)
        self.assertIn("the stack is stopped", said[0])


class Served(unittest.TestCase):
    def setUp(self):
        self.server = metrics.Server(("127.0.0.1", 0), metrics.handler(page(Stack())))
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def test_the_page_has_the_content_type_of_the_text_format(self):
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=5) as answer:
            self.assertEqual(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
            self.assertIn(b"queue_messages", answer.read())

    def test_another_path_is_not_found(self):
        with self.assertRaises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(f"{self.address}/metricz", timeout=5)
        self.assertEqual((raised.exception.code, raised.exception.read()), (404, b"The metrics are at /metrics.\n"))
        raised.exception.close()


class Port(unittest.TestCase):
    def test_a_port_in_use_is_reported_in_one_sentence(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            with self.assertRaises(metrics.CommandError) as raised:
                metrics.serve(page(Stack()), taken.getsockname())
        self.assertRegex(str(raised.exception), r"^Port \d+ of 127\.0\.0\.1 cannot be used .* choose another port with METRICS_PORT=9465\.$")

    def test_an_invalid_port_is_rejected(self):
        for text in ("abc", "0", "65536", "-1", "9464 "):
            with self.subTest(text), self.assertRaises(metrics.CommandError):
                metrics.port(text)

    def test_once_prints_one_page(self):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), mock.patch.dict(os.environ, METRICS_PORT="not used"):
            self.assertEqual(metrics.metrics(Stack(), metrics.arguments().parse_args(["--once"])), 0)
        self.assertIn('up{source="queues"} 1\n', printed.getvalue())


if __name__ == "__main__":
    unittest.main()
