#!/usr/bin/env python3
"""Plots orders, outcomes, latencies and queues in the terminal, until Ctrl-C.

    watch.py                the local stack, every 2 s, from its logs and queues
    watch.py --stack NAME   a stack on AWS, every 60 s, from CloudWatch (about 0.10 USD an hour)

If the output is not a terminal, it prints one frame and exits. NO_COLOR turns the colours off.
"""

import contextlib
import math
import os
import shutil
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field

from arguments import Parser
import deployment
from deployment import CommandError
from logs import operations
import telemetry
from telemetry import DEAD

MINUTES = 30  # of each plot
LATENCY_MINUTES = 15
MOST_OPERATIONS = 12  # whose latencies are read from CloudWatch
NAME_WIDTH, NUMBER_WIDTH = 24, 8
BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-=+*#@"
OUTCOMES = ("placed", "confirmed", "failed", "cancelled")
METRICS = {"OrdersPlaced": "placed", "OrdersConfirmed": "confirmed", "OrdersFailed": "failed", "OrdersCancelled": "cancelled"}
CANCELLATIONS = ("cancelled", "not_paid_in_time", "refunded")  # reasons with which an order ends as cancelled instead of failed
COLOURS = {"title": "\033[1m", "head": "\033[36m", "warning": "\033[33m", "error": "\033[31m"}


@dataclass
class Operation:
    name: str
    calls: int
    p50: float | None
    p95: float | None
    plot: dict = field(default_factory=dict)  # p95 by minute


@dataclass
class Queue:
    name: str
    waiting: int
    dead: int
    plot: dict = field(default_factory=dict)  # waiting messages by minute


@dataclass
class View:
    """What one frame shows. Minutes are counted from the epoch."""

    minute: int
    orders: dict  # by outcome: the number by minute
    operations: list
    queues: list


def outcome(metric, labels):
    """Returns the outcome that a metric of the orders counts, or None."""
    found = METRICS.get(metric)
    return "cancelled" if found == "failed" and labels.get("reason") in CANCELLATIONS else found


def by_outcome():
    return {name: defaultdict(float) for name in OUTCOMES}


def percentile(values, percent):
    """Returns the smallest value that is not below `percent` of the values."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)] if values else None


def paired(waiting, plots):
    """Returns one row per queue, with the dead letters of its dead-letter queue. A dead-letter queue of a stream has its own row."""
    names = {name.removesuffix(DEAD) for name in waiting}
    rows = [Queue(name, waiting.get(name, 0), waiting.get(name + DEAD, 0), plots.get(name, {})) for name in names]
    return sorted(rows, key=lambda row: (-row.dead, -max(row.plot.values(), default=0), row.name))


# --- sources -----------------------------------------------------------------------------------------------------------


class LocalStack:
    """Reads the log lines of the last half an hour once, then the new ones."""

    seconds, title = 2, "local stack"

    def __init__(self, shop, now):
        self.shop = shop
        self.reader = telemetry.LogReader(None, shop.name, since=int((now // 60 - MINUTES + 1) * 60_000))
        self.orders = by_outcome()
        self.durations = defaultdict(lambda: defaultdict(list))  # by operation and minute
        self.waiting = defaultdict(dict)  # by queue and minute: the most messages seen

    def view(self, now):
        minute = int(now // 60)
        self.reader.client = self.shop.client("logs")
        for milliseconds, fields in self.reader.poll():
            self.record(milliseconds // 60_000, fields)
        waiting = {name: queue.waiting for name, queue in telemetry.queues(self.shop.client("sqs"), self.shop.name).items()}
        for name, messages in waiting.items():
            self.waiting[name][minute] = max(messages, self.waiting[name].get(minute, 0))
        self.forget(minute - MINUTES)
        return View(minute, self.orders, self.latencies(minute), paired(waiting, self.waiting))

    def record(self, minute, fields):
        if telemetry.is_access(fields):
            self.durations[str(fields["operation"])][minute].append(fields["duration_ms"])
        for measurement in telemetry.measurements(fields):
            counted = outcome(measurement.name, measurement.labels)
            if counted:
                self.orders[counted][minute] += sum(measurement.values)

    def latencies(self, minute):
        found = []
        for name, by_minute in self.durations.items():
            recent = [value for at, values in by_minute.items() if at > minute - LATENCY_MINUTES for value in values]
            plot = {at: percentile(values, 95) for at, values in by_minute.items()}
            if recent:
                found.append(Operation(name, len(recent), percentile(recent, 50), percentile(recent, 95), plot))
        return sorted(found, key=lambda each: (-each.calls, each.name))

    def forget(self, last):
        """Forgets what is older than the plots."""
        for by_minute in (*self.orders.values(), *self.durations.values(), *self.waiting.values()):
            for minute in [minute for minute in by_minute if minute <= last]:
                del by_minute[minute]


class CloudWatch:
    """Reads the metrics of a stack on AWS. They have a resolution of one minute, and each one that is read has a price."""

    seconds = 60

    def __init__(self, shop):
        self.shop, self.title = shop, f"stack {shop.name}"

    def view(self, now):
        minute = int(now // 60)
        queues, known = self.queue_names(), sorted(operations())
        wanted = {("order", *series): query(dimensions, name, "Ferrocart", "Sum") for series, name, dimensions in self.order_metrics()}
        wanted |= {("calls", name): self.of_function(name, "Invocations", "Sum") for name in known}
        wanted |= {("queue", name): query({"QueueName": f"{self.shop.name}-{name}"}, "ApproximateNumberOfMessagesVisible", "AWS/SQS", "Maximum")
                   for name in queues}
        found = self.read(wanted, minute + 1 - MINUTES, minute)
        plots = {name: found["queue", name] for name in queues}
        waiting = {name: int(plot[max(plot)]) if plot else 0 for name, plot in plots.items()}
        return View(minute, self.orders(found), self.latencies(minute, {name: found["calls", name] for name in known}), paired(waiting, plots))

    def queue_names(self):
        pages = self.shop.client("sqs").get_paginator("list_queues").paginate(
            QueueNamePrefix=f"{self.shop.name}-", PaginationConfig={"PageSize": 1000})
        names = [telemetry.name_of(url, self.shop.name) for page in pages for url in page.get("QueueUrls", [])]
        if not names:
            raise CommandError(f"The stack {self.shop.name} has no queues in this region: check --stack and AWS_REGION.")
        return names

    def order_metrics(self):
        """Yields the outcome and series number, the name and the dimensions of each metric of the orders."""
        paginator = self.shop.client("cloudwatch").get_paginator("list_metrics")
        for name in METRICS:
            pages = paginator.paginate(Namespace="Ferrocart", MetricName=name, Dimensions=[{"Name": "stack", "Value": self.shop.name}])
            found = [{each["Name"]: each["Value"] for each in metric["Dimensions"]} for page in pages for metric in page["Metrics"]]
            # Each set of dimensions counts the same orders: the most detailed set is read.
            most = max(map(len, found), default=0)
            for number, dimensions in enumerate(each for each in found if len(each) == most):
                yield (outcome(name, dimensions), name, number), name, dimensions

    def orders(self, found):
        orders = by_outcome()
        for key, by_minute in found.items():
            for minute, value in by_minute.items() if key[0] == "order" else ():
                orders[key[1]][minute] += value
        return orders

    def latencies(self, minute, calls):
        recent = {name: sum(value for at, value in plot.items() if at > minute - LATENCY_MINUTES) for name, plot in calls.items()}
        busiest = sorted((name for name in recent if recent[name]), key=lambda name: (-recent[name], name))[:MOST_OPERATIONS]
        plots = self.read({name: self.of_function(name, "Duration", "p95") for name in busiest}, minute + 1 - MINUTES, minute)
        # Percentiles of minutes cannot be added, so those of a whole period are read. A period that began just now has few calls.
        period = (minute - 5) // LATENCY_MINUTES * LATENCY_MINUTES
        periods = self.read({(name, each): self.of_function(name, "Duration", each, LATENCY_MINUTES) for name in busiest for each in ("p50", "p95")},
                            period - LATENCY_MINUTES, minute)
        chosen = {key: values.get(period, next(reversed(values.values()), None)) for key, values in periods.items()}
        return [Operation(name, int(recent[name]), chosen[name, "p50"], chosen[name, "p95"], plots[name]) for name in busiest]

    def of_function(self, operation, metric, statistic, minutes=1):
        function = self.shop.function(operation)
        return query({"FunctionName": function, "Resource": f"{function}:{deployment.ALIAS}"}, metric, "AWS/Lambda", statistic, minutes)

    def read(self, wanted, first, last):
        """Returns the values of each query from the first to the last minute, by minute."""
        keys, found = list(wanted), {key: {} for key in wanted}
        paginator = self.shop.client("cloudwatch").get_paginator("get_metric_data")
        for start in range(0, len(keys), 500):
            queries = [wanted[key] | {"Id": f"m{start + number}"} for number, key in enumerate(keys[start:start + 500])]
            for page in paginator.paginate(MetricDataQueries=queries, StartTime=first * 60, EndTime=(last + 1) * 60,
                                           ScanBy="TimestampAscending"):
                for result in page["MetricDataResults"]:
                    at = [int(each.timestamp() // 60) for each in result["Timestamps"]]
                    found[keys[int(result["Id"][1:])]].update(zip(at, result["Values"]))
        return found


def query(dimensions, name, namespace, statistic, minutes=1):
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()]}
    return {"MetricStat": {"Metric": metric, "Period": minutes * 60, "Stat": statistic}}


# --- frames ------------------------------------------------------------------------------------------------------------


class Frame:
    """Formats a view for a terminal of this size."""

    def __init__(self, width, height, coloured=False, blocks=BLOCKS):
        self.width, self.height, self.coloured, self.blocks = width, height, coloured, blocks
        self.plot_width = max(0, min(MINUTES, width - NAME_WIDTH - 2 - 3 * NUMBER_WIDTH))

    def lines(self, view, title, note=""):
        lines = [self.styled("title", f"Ferrocart, {title}"), self.styled("error", note), *self.orders(view), self.styled("", "")]
        rest = max(2, self.height - len(lines) - 3)
        queues = min(len(view.queues), rest // 2)
        lines += self.operations(view, rest - queues)
        # The queues stay at the bottom, so that the frame does not move while operations appear.
        lines += [self.styled("", "")] * (self.height - len(lines) - queues - 1)
        return [*lines, *self.queues(view, queues)][:self.height]

    def orders(self, view):
        yield self.row("head", "ORDERS", f"a minute, {MINUTES} minutes", "current", "last", f"{MINUTES} min")
        for name in OUTCOMES:
            counted = view.orders[name]
            recent = [counted.get(minute, 0) for minute in self.minutes(view)]
            numbers = (recent[-1], recent[-2], sum(recent))
            yield self.row("warning" if name == "failed" and recent[-1] else "", name, self.plot(recent), *map(rounded, numbers))

    def operations(self, view, most):
        yield self.row("head", "LATENCY", "p95 a minute", "calls", "p50 ms", "p95 ms")
        for each in view.operations[:most]:
            plot = self.plot([each.plot.get(minute) for minute in self.minutes(view)])
            yield self.row("", each.name, plot, rounded(each.calls), rounded(each.p50), rounded(each.p95))
        if not view.operations:
            yield self.styled("", f"No calls in the last {LATENCY_MINUTES} minutes.")

    def queues(self, view, most):
        yield self.row("head", "QUEUES", "messages", "waiting", "most", "dead")
        shown = most if len(view.queues) <= most else most - 1
        for each in view.queues[:shown]:
            plot = self.plot([each.plot.get(minute) for minute in self.minutes(view)])
            numbers = (each.waiting, max(each.plot.values(), default=0), each.dead)
            yield self.row("error" if each.dead else "", each.name, plot, *map(rounded, numbers))
        hidden = view.queues[shown:]
        if hidden:
            waiting, dead = (sum(getattr(each, name) for each in hidden) for name in ("waiting", "dead"))
            yield self.row("error" if dead else "", f"{len(hidden)} more", "", rounded(waiting), "", rounded(dead))

    @staticmethod
    def minutes(view):
        return range(view.minute - MINUTES + 1, view.minute + 1)

    def plot(self, values):
        """Draws one character per minute: a space where there is no value, the lowest block for zero."""
        most = max((value for value in values if value), default=1)
        top = len(self.blocks) - 1
        cells = [" " if value is None else self.blocks[0 if value <= 0 else max(1, round(value / most * top))] for value in values]
        return "".join(cells[len(cells) - self.plot_width:])

    def row(self, style, name, plot, *numbers):
        numbers = "".join(text.rjust(NUMBER_WIDTH) for text in numbers)
        return self.styled(style, f"{name[:NAME_WIDTH]:{NAME_WIDTH}} {plot[:self.plot_width]:{self.plot_width}} {numbers}")

    def styled(self, style, text):
        text = text[:self.width].rstrip()
        return f"{COLOURS[style]}{text}\033[0m" if self.coloured and style and text else text


def rounded(value):
    return "-" if value is None else f"{value:.0f}"


# --- the terminal ------------------------------------------------------------------------------------------------------


def watch(shop, args):
    source = CloudWatch(shop) if args.stack else LocalStack(shop, time.time())
    live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    view = source.view(time.time())
    if not live:
        print("\n".join(frame(live).lines(view, title(source, live))))
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), screen():
        note = ""
        while True:
            show(frame(live).lines(view, title(source, live), note))
            time.sleep(source.seconds)
            view, note = refreshed(source, args, view)
    return 0


def refreshed(source, args, view):
    """Returns the next view, or the previous one with the reason why there is no other."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return source.view(time.time()), ""
    except (BotoCoreError, ClientError, CommandError) as error:
        with contextlib.suppress(CommandError):  # a stack that was started again may have another address
            source.shop = deployment.chosen(args)
        return view, f"Not current: {' '.join(str(error).split())}"


def title(source, live):
    every = f", every {source.seconds} s, Ctrl-C ends" if live else ""
    return f"{source.title}, {time.strftime('%H:%M:%S')}{every}"


def frame(live):
    width, height = shutil.get_terminal_size((80, 24))
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return Frame(width, height, live and not os.environ.get("NO_COLOR"), BLOCKS if unicode else ASCII)


@contextlib.contextmanager
def screen():
    """Uses the terminal's second screen without a cursor, and restores the first one."""
    try:
        write("\033[?1049h\033[?25l")
        yield
    finally:
        write("\033[?25h\033[?1049l")


def show(lines):
    # Each line is cleared before it is written: after its last column, a terminal would clear that column.
    write("\033[H" + "\n".join(f"\033[K{line}" for line in lines))


def write(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def arguments():
    parser = Parser(description=__doc__)
    deployment.options(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(deployment.main(arguments(), watch))
