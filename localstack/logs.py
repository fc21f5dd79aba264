#!/usr/bin/env python3
"""Prints the log entries of the functions in time order, one readable line per entry.

    logs.py                          every function, the last ten minutes
    logs.py --since 12h              the last twelve hours; 30m are minutes, 2d are days
    logs.py create-order --follow    one function, until stopped
    logs.py --order ord_...          one order: its entries and those of the same traces
    logs.py --trace 0af76519         one trace (the first characters are enough)
    logs.py --level warn             warnings and errors only
    logs.py --json                   the entries as they are stored, for other programs

Without --stack it reads the local stack; --stack NAME reads a stack on AWS with the shell's credentials.
"""

import argparse
import difflib
import json
import os
import sys
import time
from datetime import datetime, timedelta, timezone

from arguments import Parser, duration, order_id, trace_id
import deployment
from deployment import CommandError
from stack import ROOT

PLATFORM = ("INIT_START ", "START RequestId", "END RequestId", "REPORT RequestId")  # lines written by Lambda itself
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
WINDOW = "10m"
MOST_DAYS = 7
# Fields with a fixed place in the readable line, and fields that repeat the function's name.
SHOWN = {"timestamp", "level", "logger", "service", "operation", "message", "type", "trace_id", "request_id", "method", "path", "status",
         "code", "duration_ms", "lambda_request_id", "gateway_request_id", "gateway_extended_request_id", "xray_trace_id"}
COLOURS = {"WARN": "\033[33m", "ERROR": "\033[31m"}


def operations():
    """Returns the service of each operation, by the operation's name."""
    return {path.stem: path.parts[-4] for path in sorted(ROOT.glob("functions/*/src/bin/*.rs"))}


def known_operation(name):
    """Returns `name` if it is an operation."""
    known = operations()
    if name is None or name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?" if near else f"OP is one of {', '.join(known)}."
    raise CommandError(f"There is no operation {name}. {hint}")


class Entry:
    """One log entry."""

    def __init__(self, shop, event):
        self.text, self.milliseconds = event["message"].rstrip(), event["timestamp"]
        self.stream, self.fields = event["logStreamName"], parsed(event["message"])
        # In a shared log group, Lambda names a stream <date>/<function>[<version>]<id>.
        self.function = self.stream.split("/")[-1].split("[")[0].removeprefix(f"{shop}-")

    @property
    def key(self):
        return self.milliseconds, self.function, self.stream, self.text

    @property
    def level(self):
        return str(self.fields.get("level") or "INFO").upper()

    @property
    def trace(self):
        return str(self.fields.get("trace_id") or "")

    def readable(self, coloured):
        at = time.strftime("%H:%M:%S", time.localtime(self.milliseconds / 1000)) + f".{self.milliseconds % 1000:03}"
        start, end = (COLOURS.get(self.level, ""), "\033[0m") if coloured and self.level in COLOURS else ("", "")
        return f"{at} {start}{self.level:5}{end} {self.function:24} {self.sentence()}".rstrip()

    def sentence(self):
        fields = self.fields
        if not fields:
            return self.text
        if "_aws" in fields:
            names = [metric["Name"] for directive in fields["_aws"].get("CloudWatchMetrics", []) for metric in directive.get("Metrics", [])]
            return "metric " + ", ".join(f"{name}={fields.get(name)}" for name in names)
        words = [str(fields[name]) for name in ("method", "path", "status", "code", "message") if fields.get(name) not in (None, "")]
        if "duration_ms" in fields:
            words.append(f"{fields['duration_ms']} ms")
        words += [f"{name}={value}" for name, value in fields.items() if name not in SHOWN and value not in (None, "")]
        words += [f"{name}={fields[field]}" for name, field in (("request", "request_id"),) if fields.get(field)]
        return " ".join(words + ([f"trace={self.trace[:8]}"] if self.trace else []))


def parsed(text):
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class Filter:
    """Selects the entries to print."""

    def __init__(self, args):
        self.level, self.trace, self.order = LEVELS.index(args.level.upper()), args.trace, args.order
        self.traces_of_order = set()

    def chosen(self, entries):
        if self.order:
            self.traces_of_order |= {entry.trace for entry in entries if self.order in entry.text and entry.trace}
        return [entry for entry in entries if self.takes(entry)]

    def takes(self, entry):
        if entry.level in LEVELS and LEVELS.index(entry.level) < self.level:
            return False
        if self.trace and not entry.trace.startswith(self.trace):
            return False
        if not self.order or self.order in entry.text:
            return True
        # A sweep handles many orders in one trace: entries about other orders are omitted.
        return entry.trace in self.traces_of_order and "ord_" not in entry.text


def logs(shop, args):
    operation, chosen = known_operation(args.operation), Filter(args)
    client, seen = shop.client("logs"), set()
    since = 0 if args.all else int((time.time() - args.since.total_seconds()) * 1000)
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    started = False
    while True:
        found = entries(client, shop.name, operation, since, args.all)
        fresh = [entry for entry in sorted(found, key=lambda entry: entry.key) if entry.key not in seen]
        seen.update(entry.key for entry in fresh)
        printed = chosen.chosen(fresh)
        for entry in printed:
            print(entry.text if args.json else entry.readable(coloured), flush=True)
        if not printed and not started:
            print(nothing_found(args), file=sys.stderr, flush=True)
        started = True
        if not args.follow:
            return
        time.sleep(1)


def nothing_found(args):
    what = " that match" if args.order or args.trace or args.level.upper() != "TRACE" or args.operation else ""
    when = "at all" if args.all else f"in the last {in_words(args.since)}"
    return f"No log entries{what} {when}." + (" Waiting for new ones; Ctrl-C stops." if args.follow else "")


def in_words(span):
    """Formats a duration in the largest unit that divides it: `1 hour`, `36 hours`, `2 days`."""
    minutes = int(span.total_seconds()) // 60
    for unit, length in (("day", 1440), ("hour", 60), ("minute", 1)):
        if minutes % length == 0:
            count = minutes // length
            return f"{count} {unit}{'s' if count > 1 else ''}"


def entries(client, shop, operation, since, with_platform):
    """Returns the entries of the shop or of one operation. The functions of a service share a log group."""
    prefix = f"/aws/lambda/{shop}-"
    groups = [group["logGroupName"] for page in client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
              for group in page["logGroups"]]
    if operation:
        groups = [group for group in groups if group == prefix + operations()[operation]]
    found = []
    for group in groups:
        for streams in choices(shop, operation, since):
            for page in client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since, **streams):
                found += [entry for entry in (Entry(shop, event) for event in page["events"])
                          if (with_platform or not entry.text.startswith(PLATFORM)) and operation in (None, entry.function)]
    return found


def choices(shop, operation, since):
    """Returns the stream filters: the streams of one function day by day, or all streams if there are too many days."""
    first, last = datetime.fromtimestamp(since / 1000, timezone.utc).date(), datetime.now(timezone.utc).date()
    days = (last - first).days + 1
    if not operation or days > MOST_DAYS:
        return [{}]
    return [{"logStreamNamePrefix": f"{first + timedelta(days=day):%Y/%m/%d}/{shop}-{operation}["} for day in range(days)]


def level(text):
    if text.upper() not in LEVELS:
        raise argparse.ArgumentTypeError(f"{text} is not a level: write one of {', '.join(LEVELS).lower()}")
    return text


def arguments():
    parser = Parser(description=__doc__)
    parser.add_argument("operation", nargs="?", help="one function, for example create-order")
    parser.add_argument("--follow", "-f", action="store_true", help="print new entries as they arrive")
    parser.add_argument("--since", type=duration, default=WINDOW, help="how far back: 30m, 12h or 2d (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="all entries, with the lines that Lambda itself writes")
    parser.add_argument("--order", type=order_id, help="only entries about this order")
    parser.add_argument("--trace", type=trace_id, help="only this trace")
    parser.add_argument("--level", type=level, default="trace", help="only entries of this level or above")
    parser.add_argument("--json", action="store_true", help="print the stored entries, one JSON document per line")
    deployment.options(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(deployment.main(arguments(), logs))
