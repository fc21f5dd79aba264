#!/usr/bin/env python3
"""Measures the cold start of each function: CPU time of the start with the first event, CPU time per later event, memory, zip size.

    cold_start.py BINARIES_FOLDER [OPERATION ...]

Implements the Lambda runtime API for one process at a time: sends its event from events/, receives the answer, and reads the kernel's
counters. AWS is the endpoint in AWS_ENDPOINT_URL. A local stack uses plain HTTP, so the figures exclude the TLS handshake. The output
is the median of several starts.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STARTS = 7
MORE_EVENTS = 20


class Runtime(HTTPServer):
    """The Lambda runtime API for one process: one event, and the others once `more_wanted` is set."""

    def __init__(self, events):
        super().__init__(("127.0.0.1", 0), Handler)
        self.events, self.answer, self.asked = events, None, 0
        self.first_done, self.more_wanted, self.all_done = threading.Event(), threading.Event(), threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):  # /2018-06-01/runtime/invocation/next
        number, self.server.asked = self.server.asked, self.server.asked + 1
        if number == 1:
            # The first event is answered: the process is idle and is measured while it waits.
            self.server.first_done.set()
            self.server.more_wanted.wait(10)
        if number == len(self.server.events):
            self.server.all_done.set()
            threading.Event().wait(5)
            return
        body = self.server.events[number]
        self.send_response(200)
        for name, value in {"Lambda-Runtime-Aws-Request-Id": "1", "Lambda-Runtime-Deadline-Ms": "4102444800000",
                            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:bench",
                            "Content-Length": str(len(body)), "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        answer = (self.path.rsplit("/", 1)[1], self.rfile.read(int(self.headers["Content-Length"] or 0)))
        self.server.answer = self.server.answer or answer
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()


def cpu_milliseconds(pid):
    """CPU time of all threads; the kernel counts nanoseconds."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e6


def resident_megabytes(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def start(binary, events, environment):
    runtime = Runtime(events)
    threading.Thread(target=runtime.serve_forever, daemon=True).start()
    process = subprocess.Popen([binary], env=environment | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime.server_port}"},
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        if not runtime.first_done.wait(20):
            raise SystemExit(f"{binary.name} did not finish its event: {process.stderr.read1(2000) if process.poll() is not None else 'no answer'}")
        cold, memory = cpu_milliseconds(process.pid), resident_megabytes(process.pid)
        runtime.more_wanted.set()
        if not runtime.all_done.wait(60):
            raise SystemExit(f"{binary.name} did not finish all its events")
        return cold, (cpu_milliseconds(process.pid) - cold) / (len(events) - 1), memory, runtime.answer
    finally:
        process.kill()
        process.wait()
        threading.Thread(target=runtime.shutdown, daemon=True).start()


def events_of(operation):
    """Copies of the sample event, with different email addresses because attempts per address are limited."""
    text = (ROOT / "events" / f"{operation}.json").read_text()
    for number in range(1 + MORE_EVENTS):
        event = json.loads(text)
        body = event.get("body") if isinstance(event, dict) else None
        if number and isinstance(body, str) and '"email"' in body:
            event["body"] = json.dumps(json.loads(body) | {"email": f"bench-{time.time_ns()}@example.com"})
        yield json.dumps(event).encode()


def zipped_megabytes(binary):
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.write(binary, "bootstrap")
        return file.tell() / 1e6


def environment_of(operation):
    """The environment variables of the function from the template, with the names of a stack called ferrocart."""
    table = lambda name: f"ferrocart-{name}"  # noqa: E731
    values = {
        "STAGE": "dev", "LOG_LEVEL": "info", "CORS_ORIGIN": "http://localhost:3000", "STORE_URL": "http://localhost:3000",
        "SHOP_NAME": "Ferrocart",
        "SENDER_ADDRESS": "shop@ferrocart.example", "PAYMENT_PROVIDER": "simulated", "ORDER_PAYMENT_SECONDS": "1800", "RETRY_SECONDS": "60",
        "ORDER_PAYMENT_SECONDS_UNVERIFIED": "600", "MAX_UNPAID_ORDERS": "5", "MAX_UNPAID_ORDERS_UNVERIFIED": "1", "NETWORK_UNPAID_ORDERS": "100",
        "MAX_PER_ORDER": "20", "NETWORK_BURST": "1000000", "SESSION_MAX_DAYS": "180", "LOW_STOCK_THRESHOLD": "10", "OPERATOR_ADDRESS": "",
        "INDEX_SHARDS": "8", "LIST_SHARDS": "1", "SERVER_KEYS_PREFIX": "ferrocart/", "TOKEN_ISSUER": "urn:ferrocart:bench", "TOKEN_AUDIENCE": "urn:ferrocart:bench:api",
        "AWS_LAMBDA_FUNCTION_NAME": f"ferrocart-{operation}", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_VERSION": "1",
    }
    for name in ("users", "sessions", "products", "stock", "orders", "order-products", "payments", "payment-simulator", "notifications",
                 "ledger"):
        values[f"{name.upper().replace('-', '_')}_TABLE"] = table(name)
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    queues = ("reserve-stock", "release-stock", "commit-stock", "order-events", "product-changes", "open-payment", "charge-payment",
              "cancel-payment", "refund-payment", "send-notification", "send-account-notification", "update-buyer", "forget-recipient", "record-entry",
              "record-mail-feedback")
    for queue in queues:
        values[f"{queue.upper().replace('-', '_')}_QUEUE_URL"] = f"{endpoint}/000000000000/ferrocart-{queue}"
    own = {"advance-order": "order-events", "replicate-product": "product-changes"}.get(operation, operation)
    values["QUEUE_URL"] = f"{endpoint}/000000000000/ferrocart-{own}"
    values["DEAD_LETTER_QUEUE_URL"] = f"{endpoint}/000000000000/ferrocart-publish-order-dead-letter"
    kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_") or name == "PATH"}
    return kept | {"AWS_REGION": "us-east-1"} | values


def main():
    folder, wanted = Path(sys.argv[1]), sys.argv[2:]
    operations = sorted(path.stem for path in (ROOT / "events").glob("*.json") if not wanted or path.stem in wanted)
    print(f"{'function':24} {'CPU ms':>7} {'then':>7} {'RSS MB':>7} {'zip MB':>7}  first answer")
    for operation in operations:
        binary = folder / operation
        runs = [start(binary, list(events_of(operation)), environment_of(operation)) for _ in range(STARTS)]
        kind, body = runs[-1][3]
        said = json.loads(body) if body else None
        said = said.get("statusCode", kind) if isinstance(said, dict) else kind
        cold, warm, memory = (statistics.median(run[column] for run in runs) for column in range(3))
        print(f"{operation:24} {cold:7.2f} {warm:7.2f} {memory:7.1f} {zipped_megabytes(binary):7.2f}  {said}", flush=True)


if __name__ == "__main__":
    main()
