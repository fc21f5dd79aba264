#!/usr/bin/env python3
"""Serves the metrics of the local stack to Prometheus, in its text format.

    metrics.py           serves http://127.0.0.1:9464/metrics until stopped
    metrics.py --once    prints the page once

METRICS_PORT selects another port, BIND_HOST another address, for a Prometheus in a container. On AWS the same metrics are in CloudWatch.

Each scrape reads the log lines since the previous one, and the lengths of the queues. Counters begin with the oldest stored line and only
grow while this command runs, also across a restart of the stack.
"""

import os
import re
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from arguments import Parser
import deployment
import stack as local
import telemetry
from deployment import CommandError

DEFAULT_PORT = 9464
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
DURATION_BUCKETS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 86400)
# Units of CloudWatch: the suffix and the factor of Prometheus' base unit.
UNITS = {
    "Seconds": ("seconds", 1), "Milliseconds": ("seconds", 1e-3), "Microseconds": ("seconds", 1e-6),
    "Bytes": ("bytes", 1), "Kilobytes": ("bytes", 1024), "Megabytes": ("bytes", 1024**2), "Gigabytes": ("bytes", 1024**3),
    "Terabytes": ("bytes", 1024**4), "Percent": ("ratio", 0.01),
}
RESULTS = {"WARN": "retried", "ERROR": "failed"}


class Family:
    """One metric with its samples, by label values."""

    def __init__(self, name, kind, text, buckets=()):
        self.name, self.kind, self.text, self.buckets, self.samples = name, kind, text, buckets, {}

    def add(self, labels, amount=1):
        key = tuple(labels.items())
        self.samples[key] = self.samples.get(key, 0) + amount

    def set(self, labels, value):
        self.samples[tuple(labels.items())] = value

    def observe(self, labels, value):
        """Counts a value in each bucket that is not below it. The last two numbers are the sum and the count."""
        numbers = self.samples.setdefault(tuple(labels.items()), [0] * (len(self.buckets) + 2))
        for position, bound in enumerate(self.buckets):
            numbers[position] += value <= bound
        numbers[-2] += value
        numbers[-1] += 1

    def lines(self):
        yield f"# HELP {self.name} {self.text.replace(chr(92), chr(92) * 2).replace(chr(10), chr(92) + 'n')}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in sorted(self.samples.items()):
            if self.kind != "histogram":
                yield f"{self.name}{block(labels)} {number(value)}"
                continue
            for bound, counted in zip((*map(number, self.buckets), "+Inf"), (*value[:-2], value[-1])):
                yield f"{self.name}_bucket{block((*labels, ('le', bound)))} {counted}"
            yield f"{self.name}_sum{block(labels)} {number(value[-2])}"
            yield f"{self.name}_count{block(labels)} {value[-1]}"


def block(labels):
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}" if labels else ""


def escaped(value):
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(value):
    """Formats a value: 3, 0.25, and no rounding errors of sums such as 0.30000000000000004."""
    return str(value) if isinstance(value, int) else str(int(value)) if value == int(value) and abs(value) < 2**53 else f"{value:.12g}"


class Metrics:
    """The counters and histograms that follow from the log lines."""

    def __init__(self, say=lambda text: print(text, file=sys.stderr, flush=True)):
        self.say, self.said = say, set()
        self.families = {}
        self.requests = self.family("requests_total", "counter", "HTTP requests that a function answered.")
        self.durations = self.family("request_duration_seconds", "histogram", "Time in which a function answered an HTTP request.",
                                     REQUEST_BUCKETS)
        self.executions = self.family("executions_total", "counter",
                                      "Messages, stream batches, and scheduled or direct invocations that a function processed.")
        self.execution_durations = self.family("execution_duration_seconds", "histogram",
                                               "Time in which a function processed a message, a stream batch or an invocation.", REQUEST_BUCKETS)
        self.own = {*self.families, "queue_messages", "queue_messages_in_flight", "up"}

    def family(self, *description):
        return self.families.setdefault(description[0], Family(*description))

    def record(self, fields):
        """Records one log line."""
        if telemetry.is_access(fields):
            self.access(fields)
        for measurement in telemetry.measurements(fields):
            self.measured(measurement)

    def access(self, fields):
        where = {"service": str(fields.get("service", "")), "operation": str(fields["operation"])}
        seconds = fields["duration_ms"] / 1000
        if fields["type"] == "request":
            self.requests.add(where | {"method": str(fields.get("method", "")), "status": str(fields.get("status", ""))})
            self.durations.observe(where, seconds)
        else:
            result = RESULTS.get(fields.get("level"), "succeeded")
            self.executions.add(where | {"type": fields["type"], "result": result})
            self.execution_durations.observe(where, seconds)

    def measured(self, measurement):
        name, kind, factor = prometheus(measurement.name, measurement.unit)
        family = None if name in self.own else self.family(
            name, kind, f"Metric {measurement.name} of CloudWatch, unit {measurement.unit}.", DURATION_BUCKETS)
        if family is None or family.kind != kind:
            return self.warn(f"the metric {measurement.name} ({measurement.unit}) is omitted, because {name} is another metric")
        labels = {label(dimension, kind): value for dimension, value in sorted(measurement.labels.items())}
        for value in measurement.values:
            if kind == "counter" and value < 0:
                self.warn(f"a negative value of {measurement.name} is omitted, because {name} is a counter")
            else:
                {"counter": family.add, "gauge": family.set, "histogram": family.observe}[kind](labels, value * factor)

    def warn(self, text):
        if text not in self.said:
            self.said.add(text)
            self.say(f"warning: {text}")


def prometheus(name, unit):
    """Returns the name, the type and the factor of a CloudWatch metric.

    A number without a unit of measure is counted. A duration whose name begins with its unit (`SecondsToConfirm`) is measured for each event,
    so it is a histogram. Every other quantity is a gauge: its newest value counts.
    """
    words = telemetry.snake(name)
    if unit in ("Count", "None"):
        return words.removesuffix("_total") + "_total", "counter", 1
    suffix, factor = UNITS.get(unit, (telemetry.snake(unit.replace("/", "Per")), 1))
    kind = "histogram" if suffix == "seconds" and re.match(r"(milli|micro)?seconds_", words) else "gauge"
    return words if suffix in words.split("_") else f"{words}_{suffix}", kind, factor


def label(dimension, kind):
    name = telemetry.snake(dimension)
    return "le_of_metric" if kind == "histogram" and name == "le" else name


class Page:
    """The page that Prometheus reads. After a failure `connect` returns the stack again, which may have another address then."""

    def __init__(self, shop, connect):
        self.shop, self.connect = shop, connect
        self.metrics, self.lock, self.reader = Metrics(), threading.Lock(), None

    def text(self):
        with self.lock:
            gauges = self.read()
            families = [*gauges, *self.metrics.families.values()]
            lines = [line for family in sorted(families, key=lambda family: family.name) if family.samples for line in family.lines()]
        return "\n".join(lines) + "\n"

    def read(self):
        """Reads the stack, and returns the gauges of this moment."""
        up = Family("up", "gauge", "Whether this source of the metrics could be read: 1 or 0.")
        depths = Family("queue_messages", "gauge", "Messages that wait in a queue or dead-letter queue.")
        in_flight = Family("queue_messages_in_flight", "gauge", "Messages that a consumer has received and not deleted yet.")
        for source, read in (("logs", self.read_logs), ("queues", lambda: self.read_queues(depths, in_flight))):
            # Prometheus writes its own `up` without this label.
            up.set({"source": source}, int(self.attempt(read)))
        return up, depths, in_flight

    def attempt(self, read):
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if self.shop is None:
                self.shop = self.connect()
                self.metrics.say("The local stack is available again.")
            read()
            return True
        except (BotoCoreError, ClientError, CommandError) as error:
            if self.shop is not None:
                self.metrics.say(f"The local stack cannot be read: {' '.join(str(error).split())}")
            self.shop = None
            return False

    def read_logs(self):
        client = self.shop.client("logs")
        self.reader = self.reader or telemetry.LogReader(client, self.shop.name)
        self.reader.client = client
        for _, fields in self.reader.poll():
            self.metrics.record(fields)

    def read_queues(self, depths, in_flight):
        for name, queue in telemetry.queues(self.shop.client("sqs"), self.shop.name).items():
            depths.set({"queue": name}, queue.waiting)
            in_flight.set({"queue": name}, queue.in_flight)


def handler(page):
    class Handler(BaseHTTPRequestHandler):
        timeout = 30  # of a client that sends no request

        def do_GET(self):
            path = self.path.split("?")[0]
            if path not in ("/", "/metrics"):
                return self.answer(404, "text/plain; charset=utf-8", "The metrics are at /metrics.\n")
            if path == "/":
                return self.answer(200, "text/plain; charset=utf-8", "Metrics of the local stack for Prometheus: /metrics\n")
            self.answer(200, CONTENT_TYPE, page.text())

        do_HEAD = do_GET

        def answer(self, status, kind, text):
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


class Server(ThreadingHTTPServer):
    def handle_error(self, _request, _client):
        """Ignores clients that end the connection, and reports every other error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(_request, _client)


def port(text):
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise CommandError(f"METRICS_PORT={text} is not a port: write a number from 1 to 65535, for example METRICS_PORT=9465.")
    return int(text)


def serve(page, address):
    try:
        server = Server(address, handler(page))
    except OSError as error:
        raise CommandError(f"Port {address[1]} of {address[0]} cannot be used ({error.strerror}): stop the other program,"
                           " or choose another port with METRICS_PORT=9465.") from None
    page.text()
    print(f"Metrics of the local stack: http://{address[0]}:{server.server_address[1]}/metrics (Ctrl-C stops)", file=sys.stderr, flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        server.server_close()


def metrics(shop, args):
    page = Page(shop, lambda: local_stack(args))
    if args.once:
        print(page.text(), end="")
        return 0
    return serve(page, (os.environ.get("BIND_HOST") or "127.0.0.1", port(os.environ.get("METRICS_PORT") or str(DEFAULT_PORT))))


def local_stack(args):
    args.stack = None
    return deployment.chosen(args)


def arguments():
    parser = Parser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="print the page and exit")
    parser.add_argument("--name", default="local", help="the local stack (default: %(default)s)")
    return parser


if __name__ == "__main__":
    raise SystemExit(deployment.main(arguments(), metrics, local_stack))
