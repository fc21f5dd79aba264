#!/usr/bin/env python3
"""Prints what happened to an order, as one list of events across all services, and who is waited for now.

    trace.py ord_...             the events in time order: time, wait since the previous event, function, what happened
    trace.py ord_... --reads     also the requests that only read the order
    trace.py ord_... --since 2d  reads the logs of the last two days only; without it, all since the order was placed
    trace.py ord_... --json      the events as one JSON document

It combines the order's own record (GET /orders/{order_id}/timeline) with the log lines that name the order, and with those of the same
traces. Without --stack it reads the local stack; --stack NAME reads a stack on AWS with Logs Insights and the shell's credentials.
"""

import json
import os
import sys
import time
from collections import Counter
from datetime import datetime, timezone

from arguments import Parser, duration, order_id
from client import money
import deployment
from deployment import CommandError
import logs

FUNCTION = "get-order-timeline"
RECORD = "(order's record)"
# The caller in the logs of the function that reads the record. An operator invokes it with their own AWS credentials.
OPERATOR = "usr_00000000-0000-8000-8000-000000000000"
WINDOW = "1d"  # without the order's record, which says when it was placed
BEFORE_SECONDS = 5  # clocks of functions differ
QUERY_SECONDS, MOST_LINES, MOST_TRACES = 60, 10_000, 50
# Fields of a line that its sentence contains already, or that say nothing about the order.
NAMED = {"timestamp", "level", "logger", "service", "operation", "message", "type", "trace_id", "request_id", "lambda_request_id", "order_id",
         "order.id", "subject", "user_id", "duration_ms", "message_id", "next_check_at", "gateway_request_id", "gateway_extended_request_id",
         "xray_trace_id", "is_first", "retry_in_seconds"}


# --- the order's record ------------------------------------------------------------------------------------------------


def record_of(shop, order):
    """Returns the order's timeline from its record; None if this deployment has no such function."""
    client = shop.client("lambda")
    caller = {"sub": OPERATOR, "role": "admin", "name": "make trace", "email": "", "exp": str(int(time.time()) + 60)}
    event = {"httpMethod": "GET", "resource": "/orders/{order_id}/timeline", "path": f"/orders/{order}/timeline", "headers": {},
             "pathParameters": {"order_id": order}, "requestContext": {"requestId": "make-trace", "authorizer": caller}}
    try:
        answer = client.invoke(FunctionName=shop.function(FUNCTION), Qualifier=deployment.ALIAS, Payload=json.dumps(event).encode())
    except client.exceptions.ResourceNotFoundException:
        note(f"There is no function {shop.function(FUNCTION)}, so the order's record is missing below: deploy this version.")
        return None
    response = json.loads(answer["Payload"].read() or b"null") or {}
    status, body = response.get("statusCode"), response.get("body")
    if status == 404:
        raise CommandError(f"There is no order {order} in {shop.name}: check the id, or name the stack with --stack NAME.")
    if status != 200:
        raise CommandError(f"{shop.function(FUNCTION)} answered {status or 'nothing'}: make logs OP={FUNCTION} shows why.")
    return json.loads(body)


def events_of_record(record):
    return [Event(moment(each["at"]), RECORD, recorded(each), kind=each["event"], trace="") for each in record["entries"]]


def recorded(event):
    words = [event["event"].replace("_", " ")]
    if event.get("pending_command"):
        words.append(f"for an answer to {event['pending_command']}" + (f", answered at {at(event['answered_at'])}" if event.get("answered_at") else ""))
    words += [f"({event['detail']})"] if event.get("detail") else []
    words += [f"by the {event['by']}"] if event.get("by") else []
    if event.get("amount"):
        words.append(money(event["amount"]))
    return f"{' '.join(words)}: the order is {event['status']}"


# --- the log lines -----------------------------------------------------------------------------------------------------


class Lines:
    """The log entries of a shop: the emulator's, or those of a stack on AWS, where only Logs Insights searches all groups at once."""

    def __init__(self, shop, since, on_aws, wait=time.sleep):
        self.shop, self.since, self.on_aws, self.wait = shop, since, on_aws, wait
        self.client, self.kept = shop.client("logs"), None

    def naming(self, order):
        if self.on_aws:
            return self.query(f'filter @message like "{order}"')
        return [entry for entry in self.all() if order in entry.text]

    def of_traces(self, traces):
        traces = sorted(traces)
        if not self.on_aws:
            return [entry for entry in self.all() if entry.trace in traces]
        found = []
        for start in range(0, len(traces), MOST_TRACES):
            found += self.query(f"filter trace_id in {json.dumps(traces[start:start + MOST_TRACES])}")
        return found

    def all(self):
        if self.kept is None:
            self.kept = logs.entries(self.client, self.shop.name, None, self.since, False)
        return self.kept

    def query(self, condition):
        prefix = f"/aws/lambda/{self.shop.name}-"
        services = sorted(set(logs.operations().values()))
        text = f"fields @timestamp, @logStream, @message | {condition} | sort @timestamp asc | limit {MOST_LINES}"
        started = self.client.start_query(logGroupNames=[prefix + service for service in services], startTime=self.since // 1000,
                                          endTime=int(time.time()) + 1, queryString=text)
        deadline = time.monotonic() + QUERY_SECONDS
        while True:
            answer = self.client.get_query_results(queryId=started["queryId"])
            if answer["status"] == "Complete":
                break
            if answer["status"] not in ("Scheduled", "Running") or time.monotonic() > deadline:
                raise CommandError(f"The query of Logs Insights ended as {answer['status'].lower()}: run it again, with a shorter --since.")
            self.wait(0.5)
        if len(answer["results"]) == MOST_LINES:
            note(f"Logs Insights returned its maximum of {MOST_LINES} lines, so the last ones are missing: choose a shorter --since.")
        return [logs.Entry(self.shop.name, log_event(row)) for row in answer["results"]]


def log_event(row):
    """Converts a row of Logs Insights into the form of FilterLogEvents."""
    fields = {each["field"]: each["value"] for each in row}
    timestamp = moment(fields["@timestamp"].replace(" ", "T") + "Z")
    return {"message": fields["@message"], "timestamp": timestamp, "logStreamName": fields["@logStream"]}


def is_read(entry):
    return entry.fields.get("type") == "request" and entry.fields.get("method") in ("GET", "HEAD")


def entries_of(lines, order):
    """Returns the entries about the order: those that name it, and those of the same traces that name no other order."""
    naming = lines.naming(order)
    # A request that only reads the order has a trace of its own, and a sweep's trace has lines of many orders.
    traces = {entry.trace for entry in naming if entry.trace and not is_read(entry)}
    others = [entry for entry in lines.of_traces(traces) if "ord_" not in entry.text and entry.fields.get("type") != "invocation"]
    unique = {(entry.key, entry.stream): entry for entry in naming + others if entry.fields and "_aws" not in entry.fields}
    return sorted(unique.values(), key=lambda entry: entry.key), traces


# --- events -------------------------------------------------------------------------------------------------------------


class Event:
    def __init__(self, milliseconds, function, what, kind="", trace="", level="INFO", fields=None):
        self.milliseconds, self.function, self.what, self.kind = milliseconds, function, what, kind
        self.trace, self.level, self.fields, self.waited_ms = trace, level, fields or {}, 0

    def document(self):
        return {"at": iso(self.milliseconds), "waited_ms": self.waited_ms, "function": self.function, "what": self.what, "kind": self.kind,
                "level": self.level, "trace_id": self.trace, "source": "record" if self.function == RECORD else "log", "fields": self.fields}


def event(entry):
    """Converts a log entry into an event. Its own timestamp is more precise than the one of CloudWatch."""
    fields = entry.fields
    milliseconds = moment(fields["timestamp"]) if fields.get("timestamp") else entry.milliseconds
    kind = fields.get("type") or fields.get("message", "")
    return Event(milliseconds, fields.get("operation") or entry.function, sentence(fields), kind, entry.trace, entry.level, fields)


def sentence(fields):
    describe = {"request": request, "sent": sent, "message": consumed}.get(fields.get("type"), other)
    return describe(fields)


def request(fields):
    words = f"{fields.get('method')} {fields.get('path')} answered {fields.get('status')}"
    words += f" {fields['code']}" if fields.get("code") else ""
    words += f" in {fields['duration_ms']} ms" if "duration_ms" in fields else ""
    words += f", cause: {fields['cause']}" if fields.get("cause") else ""
    ids = [f"{name} {fields[field]}" for name, field in (("request", "request_id"), ("gateway", "gateway_request_id"), ("X-Ray", "xray_trace_id"))
           if fields.get(field)]
    return words + (f" ({', '.join(ids)})" if ids else "")


def sent(fields):
    later = f", delivered {fields['delay_seconds']} s later" if fields.get("delay_seconds") else ""
    return f"sent {fields.get('message_type')} to the queue {fields.get('queue')}{later}"


def consumed(fields):
    name, how = fields.get("message_type") or "a message", ""
    if fields.get("reception", 1) > 1:
        how += f", received for the {ordinal(fields['reception'])} time"
    if fields.get("queued_ms", 0) >= 1000:
        how += f", {seconds(fields['queued_ms'])} after it was sent"
    if fields.get("message") == "message processed":
        return f"handled {name} in {fields.get('duration_ms')} ms{how}"
    if fields.get("level") == "WARN":
        return f"could not handle {name}{how}, it is retried: {fields.get('error')}"
    return f"rejected {name}{how}: {fields.get('error')}"


def other(fields):
    message = str(fields.get("message", ""))
    if "is_first" in fields:
        message += "" if fields["is_first"] else " again"
    if fields.get("retry_in_seconds"):
        message += f" in {fields['retry_in_seconds']} s"
    more = [f"{name.removesuffix('_id')} {short(value)}" for name, value in fields.items() if name not in NAMED and value not in (None, "")]
    words = f"{message}: {', '.join(more)}" if more else message
    return words + (f", next check at {at(fields['next_check_at'])}" if fields.get("next_check_at") else "")


def is_retry(each):
    """Whether an event repeats earlier work: a message received again, or a command sent again by a sweep."""
    return each.fields.get("reception", 1) > 1 or each.fields.get("message") == "commands sent again" or each.fields.get("is_first") is False


# --- what is printed ---------------------------------------------------------------------------------------------------


def waiting(record, events, now):
    """Returns who is waited for now and when they are asked again, one sentence each."""
    said = [waits_for(each, now) for each in record["waiting_for"]] if record else []
    checks = {}
    for each in events:  # the payments service checks the provider on its own schedule
        subject = each.fields.get("payment_id") or each.fields.get("refund_id")
        if subject and "state" in each.fields:
            checks[subject] = each.fields.get("next_check_at")
    said += [f"payments asks the provider about {short(subject)} at {at(check)}{remaining(moment(check), now)}."
             for subject, check in checks.items() if check]
    return said


def waits_for(each, now):
    again = f" {each['command']} is sent again at {at(each['next_check_at'])}{remaining(moment(each['next_check_at']), now)}." \
        if each.get("command") and each.get("next_check_at") else ""
    if each["party"] == "operator":
        return f"an operator has to review the order: {each['reason']}."
    if each["party"] == "buyer":
        return f"the buyer has to pay, until {at(each['until'])}{remaining(moment(each['until']), now)}.{again}"
    checks = f", {each['checks']} scheduled checks without an answer" if each["checks"] else ""
    return f"{each['party']} has to answer {each['command']}, pending since {at(each['since'])}{checks}.{again}"


def show(order, shop, record, events, traces, reads, now):
    if events:
        print(f"{order} in {shop.name}, {time.strftime('%Y-%m-%d', time.localtime(events[0].milliseconds / 1000))}"
              f"{', ' + record['status'] if record else ''}. Trace{'s' if len(traces) > 1 else ''}: {', '.join(sorted(traces)) or 'none in the logs'}.\n")
    rows = [(clock(each.milliseconds), f"+{seconds(each.waited_ms)}" if each.waited_ms else "", each.function,
             ("" if each.level in ("INFO", "DEBUG") else f"{each.level} ") + each.what) for each in events]
    deployment.table(("TIME", "WAIT", "FUNCTION", "WHAT HAPPENED"), rows)
    functions = Counter(each.function for each in events if each.function != RECORD)
    retries = sum(map(is_retry, events))
    print(f"\n{counted(sum(functions.values()), 'log line', 'log lines')} of {counted(len(functions), 'function', 'functions')},"
          f" {counted(retries, 'retry', 'retries')}." + (f" Left out (--reads): {counted(reads, 'request', 'requests')} that only read the order."
                                                      if reads else ""))
    if record:
        print(f"Commands sent again: {record['commands_sent_again']}.")
    said = waiting(record, events, now)
    if said:
        print("Waiting for:\n" + "\n".join(f"  - {each}" for each in said))
    elif record:
        print("Nothing is pending: " + ("the order is settled." if record["settled"] else f"the order is {record['status']}."))


def is_on_aws(args):
    """Whether Logs Insights answers. Emulators have FilterLogEvents only."""
    return bool(args.stack) and not os.environ.get("AWS_ENDPOINT_URL")


def trace(shop, args, now=None):
    now = now or int(time.time() * 1000)
    record = record_of(shop, args.order)
    placed = moment(record["entries"][0]["at"]) - BEFORE_SECONDS * 1000 if record else 0
    window = args.since or (None if record else duration(WINDOW))
    since = max(placed, now - int(window.total_seconds() * 1000)) if window else placed
    entries, traces = entries_of(Lines(shop, since, is_on_aws(args)), args.order)
    if not record and not entries:
        raise CommandError(f"Nothing about {args.order} was logged in {shop.name} in the last {logs.in_words(window)}: check the id, or look"
                           " further back with --since 7d.")
    if not entries:
        note("The logs have no line about this order: LogLevel must be info, and lines are kept for LogRetentionDays.")
    shown = [entry for entry in entries if args.reads or not is_read(entry)]
    events = sorted(map(event, shown), key=lambda each: each.milliseconds) + (events_of_record(record) if record else [])
    events.sort(key=lambda each: each.milliseconds)  # stable: at the same time, the line comes before what it recorded
    for before, each in zip(events, events[1:]):
        each.waited_ms = each.milliseconds - before.milliseconds
    if args.json:
        print(json.dumps({"order_id": args.order, "stack": shop.name, "as_of": iso(now), "traces": sorted(traces),
                          "events": [each.document() for each in events], "retries": sum(map(is_retry, events)),
                          "reads": len(entries) - len(shown), "waiting_for": waiting(record, events, now), "record": record}))
        return
    show(args.order, shop, record, events, traces, len(entries) - len(shown), now)


# --- times and words ---------------------------------------------------------------------------------------------------


def moment(text):
    """Converts a timestamp in UTC into milliseconds."""
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def iso(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03}Z"


def clock(milliseconds):
    return time.strftime("%H:%M:%S", time.localtime(milliseconds / 1000)) + f".{milliseconds % 1000:03}"


def at(text):
    return clock(moment(text))[:8]


def remaining(milliseconds, now):
    left = milliseconds - now
    return f", in {seconds(left)}" if left > 0 else ", which is due"


def seconds(milliseconds):
    """`0.032 s`, `6.26 s`, `12 min`, `2.5 h`."""
    if milliseconds < 1000:
        return f"{milliseconds / 1000:.3f} s"
    if milliseconds < 120_000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds / 60_000:.0f} min" if milliseconds < 7_200_000 else f"{milliseconds / 3_600_000:.1f} h"


def ordinal(number):
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def short(value):
    """Shortens the id of a payment, which contains the id of its order. --json has the whole id."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"pay_…{text[-12:]}" if text.startswith("pay_") else text


def counted(number, one, many):
    return f"{number} {one if number == 1 else many}"


def note(text):
    print(f"note: {text}", file=sys.stderr)


def arguments():
    parser = Parser(description=__doc__)
    parser.add_argument("order", type=order_id, help="the id of the order: ord_...")
    parser.add_argument("--since", type=duration, help="how far back the logs are read: 30m, 12h or 2d (default: since the order was placed)")
    parser.add_argument("--reads", action="store_true", help="also show requests that only read the order")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    deployment.options(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(deployment.main(arguments(), trace))
