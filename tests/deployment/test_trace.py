"""`make trace`: the events of an order from its log lines and its record, locally and with Logs Insights on AWS."""

import io
import json
import os
import time
import unittest
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace
from unittest import mock

import fakes  # noqa: F401
import trace
from deployment import CommandError

ORDER = "ord_315b1418-2875-8e4b-bc91-23915cbfa82c"
OTHER = "ord_0199c2a8-0000-7000-8000-0000000000f2"
PAYMENT = "pay_315b1418-2875-8e4b-bc91-23915cbfa82c_0199c2a8-0000-7000-8000-0000000000a1"
TRACE = "1ebdb45dff4226ce69e76a305818ca72"
READ, RUN = "5755d1a279131d15e5d19fd04bb45347", "aaaad1a279131d15e5d19fd04bb45347"
NOW = trace.moment("2026-11-29T11:56:00.000Z")


def setUpModule():
    zone = mock.patch.dict(os.environ, {"TZ": "UTC"})
    zone.start()
    for name in ("FERROCART_STACK", "AWS_ENDPOINT_URL"):
        os.environ.pop(name, None)
    time.tzset()
    unittest.addModuleCleanup(time.tzset)
    unittest.addModuleCleanup(zone.stop)


def line(at, operation, message, trace_id=TRACE, level="INFO", **fields):
    return {"timestamp": f"2026-11-29T11:{at}Z", "level": level, "operation": operation, "message": message, "trace_id": trace_id,
            "request_id": "r", "logger": "l", "service": "s"} | fields


def consumed(at, operation, kind, **fields):
    return line(at, operation, fields.pop("message", "message processed"), type="message", message_type=kind, subject=ORDER, reception=fields.pop("reception", 1),
                queued_ms=fields.pop("queued_ms", 9), duration_ms=20, **fields)


def sent(at, operation, kind, queue):
    return line(at, operation, "message sent", type="sent", message_type=kind, queue=queue, order_id=ORDER, message_id="m")


# An order whose first charge timed out after the provider had charged. Its commit was retried once.
LINES = [
    line("55:21.593", "create-order", "request answered", type="request", method="POST", path="/orders", status=201, duration_ms=40,
         created=f"orders/{ORDER}", request_id="db07467c", gateway_request_id="gw-1", gateway_extended_request_id="Xa="),
    sent("55:21.600", "publish-order-events", "reserve_stock.v1", "reserve-stock"),
    consumed("55:21.631", "reserve-stock", "reserve_stock.v1"),
    line("55:21.644", "get-order", "request answered", READ, type="request", method="GET", path=f"/orders/{ORDER}", status=200, duration_ms=17),
    consumed("55:21.720", "advance-order", "stock_reserved.v1"),
    line("55:21.800", "charge-payment", "charge sent to the provider", order_id=ORDER, payment_id=PAYMENT, is_first=True, provider="simulated"),
    line("55:21.825", "charge-payment", "provider call failed or timed out, outcome unknown", level="WARN", cause="timed out"),
    line("55:21.830", "charge-payment", "provider result recorded", order_id=ORDER, payment_id=PAYMENT, state="unknown", checks=1,
         next_check_at="2026-11-29T11:55:28.000Z"),
    consumed("55:21.939", "advance-order", "payment_unknown.v1"),
    line("55:28.100", "reconcile-payments", "payment checked", type="sweep", order_id=ORDER, payment_id=PAYMENT, state="succeeded", checks=1),
    line("55:28.110", "reconcile-payments", "invocation completed", RUN, type="invocation", report="examined=1"),
    line("55:28.120", "reconcile-payments", "payment checked", RUN, type="sweep", order_id=OTHER, state="unknown"),
    consumed("55:28.225", "advance-order", "payment_succeeded.v1"),
    consumed("55:28.291", "commit-stock", "commit_stock.v1", message="message returned to the queue for a retry", level="WARN", error="throttled"),
    line("55:28.292", "commit-stock", "message is received again", retry_in_seconds=2),
    consumed("55:30.400", "commit-stock", "commit_stock.v1", reception=2, queued_ms=2150),
    line("55:30.500", "send-notification", "mail accepted by SES", order_id=ORDER, notification_id="ntf_1", template="order_confirmed"),
]


def record(**changed):
    def entry(at, event, status="pending", **more):
        return {"at": f"2026-11-29T11:{at}Z", "waited_ms": 0, "event": event, "status": status} | more

    return {"order_id": ORDER, "as_of": "2026-11-29T11:56:00.000Z", "status": "confirmed", "settled": True, "trace_id": TRACE,
            "entries": [entry("55:21.554", "placed"), entry("55:21.919", "payment_unknown", payment_id=PAYMENT),
                        entry("55:28.182", "payment_succeeded", "confirmed", amount={"amount": 2999, "currency": "USD"})],
            "entries_omitted": 0, "waiting_for": [], "commands_sent_again": 0, "checks_without_progress": 0, "next_check_at": None} | changed


class Missing(Exception):
    pass


class Aws:
    """Lambda and CloudWatch Logs of a shop. `answer` is the response of get-order-timeline; None if there is no such function."""

    exceptions = SimpleNamespace(ResourceNotFoundException=Missing)

    def __init__(self, lines=LINES, answer=(200, record()), status="Complete"):
        self.lines, self.answer, self.status = lines, answer, status
        self.events, self.queries, self.started = [], [], []

    def __call__(self, _service):
        return self

    def invoke(self, FunctionName, Qualifier, Payload):
        assert (FunctionName, Qualifier) == ("shop-get-order-timeline", "live")
        self.events.append(json.loads(Payload))
        if self.answer is None:
            raise Missing
        status, body = self.answer
        return {"Payload": io.BytesIO(json.dumps({"statusCode": status, "body": json.dumps(body)}).encode())}

    def stored(self):
        for each in self.lines:
            yield {"message": json.dumps(each) + "\n", "timestamp": trace.moment(each["timestamp"]),
                   "logStreamName": f"2026/11/29/shop-{each['operation']}[1]abc"}
        yield {"message": f"START RequestId: {ORDER}", "timestamp": NOW, "logStreamName": "2026/11/29/shop-get-order[1]abc"}

    def get_paginator(self, operation):
        def events(logGroupName, startTime, **_streams):
            self.started.append(startTime)
            return [{"events": [each for each in self.stored() if each["timestamp"] >= startTime]}]

        groups = [{"logGroups": [{"logGroupName": "/aws/lambda/shop-orders"}]}]
        return SimpleNamespace(paginate=events if operation == "filter_log_events" else lambda logGroupNamePrefix: groups)

    def start_query(self, logGroupNames, startTime, endTime, queryString):
        self.queries.append((logGroupNames, startTime, queryString))
        return {"queryId": queryString}

    def get_query_results(self, queryId):
        def is_found(each):
            return (ORDER if "like" in queryId else TRACE) in each["message"]

        rows = [[{"field": "@timestamp", "value": trace.iso(each["timestamp"])[:-1].replace("T", " ")},
                 {"field": "@logStream", "value": each["logStreamName"]}, {"field": "@message", "value": each["message"]}]
                for each in self.stored() if is_found(each)]
        return {"status": self.status, "results": rows}


def run(aws, *words):
    out, err = io.StringIO(), io.StringIO()
    args = trace.arguments().parse_args([ORDER, *words])
    shop = SimpleNamespace(name="shop", client=aws, function=lambda operation: f"shop-{operation}")
    with redirect_stdout(out), redirect_stderr(err):
        trace.trace(shop, args, NOW)
    return out.getvalue(), err.getvalue()


def events(aws, *words):
    return json.loads(run(aws, *words, "--json")[0])


class Timeline(unittest.TestCase):
    def test_events_of_all_services_are_in_time_order_with_their_waits(self):
        document = events(Aws())
        times = [event["at"] for event in document["events"]]
        self.assertEqual(times, sorted(times))
        self.assertEqual(sum(event["waited_ms"] for event in document["events"]), trace.moment(times[-1]) - trace.moment(times[0]))
        said = [f"{event['function']}: {event['what']}" for event in document["events"]]
        self.assertEqual(said[:4], [
            "(order's record): placed: the order is pending", "create-order: POST /orders answered 201 in 40 ms (request db07467c, gateway gw-1)",
            "publish-order-events: sent reserve_stock.v1 to the queue reserve-stock", "reserve-stock: handled reserve_stock.v1 in 20 ms"])
        self.assertIn("(order's record): payment succeeded $29.99: the order is confirmed", said)
        self.assertIn("charge-payment: provider call failed or timed out, outcome unknown: cause timed out", said)
        self.assertIn("reconcile-payments: payment checked: payment pay_…0000000000a1, state succeeded, checks 1", said)
        self.assertIn("commit-stock: message is received again in 2 s", said)
        self.assertIn("commit-stock: handled commit_stock.v1 in 20 ms, received for the 2nd time, 2.15 s after it was sent", said)
        self.assertEqual((document["traces"], document["retries"], document["reads"]), ([TRACE], 1, 1))
        self.assertEqual(document["waiting_for"], [])

    def test_a_wait_names_the_command_and_when_it_was_answered(self):
        wait = {"at": "2026-11-29T11:55:25.000Z", "waited_ms": 0, "event": "waiting", "status": "pending", "pending_command": "open_payment"}
        for answered, ending in [({}, ""), ({"answered_at": "2026-11-29T11:55:26.000Z"}, ", answered at 11:55:26")]:
            said = [event["what"] for event in events(Aws(LINES, (200, record(entries=[wait | answered]))))["events"]]
            self.assertIn(f"waiting for an answer to open_payment{ending}: the order is pending", said)

    def test_other_orders_and_runs_and_reads_are_left_out(self):
        text = json.dumps(events(Aws())["events"])
        for absent in (OTHER, "examined=1", "get-order\"", "START"):
            self.assertNotIn(absent, text)
        self.assertIn(f"GET /orders/{ORDER} answered 200", run(Aws(), "--reads")[0])

    def test_the_table_is_readable(self):
        out, err = run(Aws())
        self.assertEqual(err, "")
        head, _, titles, first = out.splitlines()[:4]
        self.assertRegex(head, rf"^{ORDER} in shop, 2026-11-29, confirmed. Trace: {TRACE}.$")
        self.assertEqual(titles.split(), ["TIME", "WAIT", "FUNCTION", "WHAT", "HAPPENED"])
        self.assertIn("placed: the order is pending", first)
        self.assertIn("+6.16 s", out)
        self.assertIn("14 log lines of 8 functions, 1 retry. Left out (--reads): 1 request that only read the order.", out)
        self.assertIn("Nothing is pending: the order is settled.", out)

    def test_the_reader_is_an_admin_for_one_minute_and_the_logs_start_when_the_order_was_placed(self):
        aws = Aws()
        run(aws)
        [event] = aws.events
        self.assertEqual(event["pathParameters"], {"order_id": ORDER})
        self.assertEqual(event["requestContext"]["authorizer"]["role"], "admin")
        self.assertEqual(aws.started, [trace.moment("2026-11-29T11:55:21.554Z") - 5000])
        aws = Aws()
        run(aws, "--since", "1m")
        self.assertEqual(aws.started, [NOW - 60_000 if NOW - 60_000 > trace.moment("2026-11-29T11:55:16.554Z")
                                       else trace.moment("2026-11-29T11:55:16.554Z")])


class WaitingFor(unittest.TestCase):
    def said(self, *waits, lines=LINES, **changed):
        return events(Aws(lines, (200, record(settled=False, waiting_for=list(waits), **changed))))["waiting_for"]

    def wait(self, party, **changed):
        return {"party": party, "command": "reserve_stock", "reason": None, "since": "2026-11-29T11:55:21.554Z", "checks": 0,
                "next_check_at": "2026-11-29T11:56:30.000Z", "until": None} | changed

    def test_a_service_is_named_with_its_next_check(self):
        [said] = self.said(self.wait("inventory", checks=2))
        self.assertRegex(said, r"^inventory has to answer reserve_stock, pending since 11:55:21, 2 scheduled checks without an answer\. "
                               r"reserve_stock is sent again at 11:56:30, in 30\.00 s\.$")
        [said] = self.said(self.wait("payments", command="refund_payment", next_check_at="2026-11-29T11:55:59.000Z"))
        self.assertIn("refund_payment is sent again at", said)
        self.assertTrue(said.endswith(", which is due."), said)

    def test_the_buyer_has_a_deadline_and_an_operator_a_reason(self):
        buyer, operator = self.said(
            self.wait("buyer", command="open_payment", since=None, until="2026-11-29T12:25:21.000Z"),
            self.wait("operator", command=None, since=None, next_check_at=None, reason="refund_failed"))
        self.assertRegex(buyer, r"^the buyer has to pay, until 12:25:21, in 29 min\. open_payment is sent again at ")
        self.assertEqual(operator, "an operator has to review the order: refund_failed.")

    def test_the_providers_next_check_follows_from_the_last_line_about_the_payment(self):
        unknown = line("55:28.100", "reconcile-payments", "payment checked", type="sweep", order_id=ORDER, payment_id=PAYMENT, state="unknown",
                       checks=2, next_check_at="2026-11-29T11:58:00.000Z")
        [said] = self.said(lines=[*LINES[:9], unknown])
        self.assertRegex(said, r"^payments asks the provider about pay_…0000000000a1 at 11:58:00, in 2 min\.$")
        self.assertEqual(self.said(), [])  # it has succeeded since


class LogsInsights(unittest.TestCase):
    @mock.patch.dict(os.environ, {"AWS_ENDPOINT_URL": "http://localhost:4566"})
    def test_an_emulator_is_not_asked(self):
        aws = Aws()
        self.assertEqual(events(aws, "--stack", "shop")["events"], events(Aws())["events"])
        self.assertEqual(aws.queries, [])

    def test_on_aws_two_queries_search_every_service(self):
        aws = Aws()
        on_aws, local = events(aws, "--stack", "shop"), events(Aws())
        self.assertEqual(on_aws["events"], local["events"])
        (groups, since, by_order), (_, _, by_trace) = aws.queries
        self.assertIn("/aws/lambda/shop-orders", groups)
        self.assertIn("/aws/lambda/shop-notifications", groups)
        self.assertEqual(since, (trace.moment("2026-11-29T11:55:21.554Z") - 5000) // 1000)
        self.assertIn(f'filter @message like "{ORDER}"', by_order)
        self.assertIn(f'filter trace_id in ["{TRACE}"]', by_trace)

    def test_a_failed_query_is_reported(self):
        with self.assertRaisesRegex(CommandError, "ended as failed: run it again"):
            run(Aws(status="Failed"), "--stack", "shop")


class Rejected(unittest.TestCase):
    def test_a_malformed_id_is_rejected_in_one_sentence(self):
        for words, said in [(["ord_1"], "ord_1 is not the id of an order"), ([ORDER.upper()], "is not the id of an order"),
                            ([ORDER, "--since", "soon"], "soon is not a duration: write 30m, 12h or 2d."), ([], "required: order")]:
            err = io.StringIO()
            with self.subTest(words), redirect_stderr(err), self.assertRaises(SystemExit):
                trace.arguments().parse_args(words)
            self.assertIn(said, err.getvalue())

    def test_an_unknown_order_is_rejected(self):
        with self.assertRaisesRegex(CommandError, f"There is no order {ORDER} in shop: check the id"):
            run(Aws(answer=(404, {"code": "order_not_found"})))

    def test_a_failing_function_is_named(self):
        with self.assertRaisesRegex(CommandError, "shop-get-order-timeline answered 500: make logs OP=get-order-timeline shows why"):
            run(Aws(answer=(500, {})))

    def test_an_older_deployment_shows_the_log_lines_alone(self):
        out, err = run(Aws(answer=None))
        self.assertIn("There is no function shop-get-order-timeline", err)
        self.assertIn("handled reserve_stock.v1", out)

    def test_nothing_found_says_what_to_do(self):
        with self.assertRaisesRegex(CommandError, "was logged in shop in the last 1 day: .* --since 7d"):
            run(Aws([], None))
        out, err = run(Aws([]))
        self.assertIn("The logs have no line about this order", err)
        self.assertIn("placed: the order is pending", out)


if __name__ == "__main__":
    unittest.main()
