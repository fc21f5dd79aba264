"""Three times the load that the stack serves, for a minute: only successes and honest refusals, and a quick recovery.

Two functions get a reserved concurrency, so that their limit is known: Lambda throttles what is above it. The usual load is as many clients
as that, which wait for each answer. With several times as many clients the functions serve their capacity. Then each function gets requests
at three times its capacity, whether or not it answers. The gateway must answer a throttled request with a problem document and
`Retry-After`. Then the usual load returns: within ten seconds each of its requests must succeed again, at half of the usual rate or more.
"""

import http.client
import itertools
import json
import math
import threading
import time
from collections import Counter, namedtuple
from urllib.parse import urlsplit

import stack as local
from purchase import card

CONCURRENCY = 1  # of each function below
FUNCTIONS = ("create-order", "list-products")
FACTOR = 3
SATURATING = 4  # clients for each execution
PAUSE_SECONDS = 0.05  # of a saturating client after a refusal, so that the refusals do not use up the machine
MEASURED_SECONDS, OVERLOAD_SECONDS, RECOVERY_SECONDS, NORMAL_SECONDS = 5, 60, 10, 10
CLIENTS = 80
ORDERS_PER_BUYER = 10  # fewer than a buyer may have unpaid; later requests repeat the first ones
SUCCESSES, REFUSALS = (200, 201), (429, 503)
LEAST_OFFERED = 0.8  # of the intended load: with less, the machine is too slow to overload the stack
LEAST_SERVED = 0.3  # of the capacity, under overload
LEAST_RECOVERED = 0.5  # of the usual rate, ten seconds after it

Sample = namedtuple("Sample", "at function status seconds problem")


class Client:
    """One connection to the API."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.host, self.path, self.connection = parts.netloc, parts.path, None

    def send(self, method, path, headers, body):
        """Returns the status, the headers and the body; (None, {}, b"") if the connection is lost."""
        try:
            self.connection = self.connection or http.client.HTTPConnection(self.host, timeout=40)
            self.connection.request(method, self.path + path, body, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            self.connection = None
            return None, {}, b""


class Load:
    """Sends requests and keeps a sample of each answer."""

    def __init__(self, shop):
        self.shop, self.samples, self.number = shop, [], itertools.count()
        self.url = shop.clients[0].url

    def request(self, function):
        if function == "list-products":
            return "GET", "/products?limit=5", {}, None
        number = next(self.number)
        buyer = self.shop.clients[number % len(self.shop.clients)]
        key = f"overload-{self.shop.run}-{number % len(self.shop.clients)}-{number // len(self.shop.clients) % ORDERS_PER_BUYER}"
        body = {"items": [{"product_id": self.shop.products["teapot"], "quantity": 1}], "payment_method": card("tok_ok")}
        return "POST", "/orders", {"Authorization": f"Bearer {buyer.token}", "Content-Type": "application/json", "Idempotency-Key": key}, \
            json.dumps(body)

    def one(self, client, function):
        method, path, headers, body = self.request(function)
        started = time.monotonic()
        status, answered, text = client.send(method, path, headers, body)
        if status == 201 and "Idempotency-Key" in headers:
            self.shop.placed[headers["Idempotency-Key"]] = json.loads(text)["id"]
        elif "Idempotency-Key" in headers:
            self.shop.placed.setdefault(headers["Idempotency-Key"], None)
        sample = Sample(started, function, status, time.monotonic() - started, complaint(status, answered, text))
        self.samples.append(sample)
        return sample

    def clients(self, count, seconds):
        """Sends requests with `count` clients for each function, which wait for each answer. Returns the samples."""
        ends, before = time.monotonic() + seconds, len(self.samples)

        def work(function):
            client = Client(self.url)
            while time.monotonic() < ends:
                if self.one(client, function).status not in SUCCESSES:
                    time.sleep(PAUSE_SECONDS)

        together([lambda function=function: work(function) for function in FUNCTIONS for _ in range(count)])
        return self.samples[before:]

    def offer(self, rates, seconds):
        """Sends each function's requests at its rate, whether or not earlier ones are answered. Returns the samples."""
        times = sorted((number / rate, function) for function, rate in rates.items() for number in range(math.ceil(rate * seconds)))
        started, following, before = time.monotonic(), iter(times), len(self.samples)
        taking = threading.Lock()

        def work():
            client = Client(self.url)
            while True:
                with taking:
                    at, function = next(following, (None, None))
                if at is None or time.monotonic() > started + seconds:
                    return
                time.sleep(max(0.0, started + at - time.monotonic()))
                self.one(client, function)

        together([work] * CLIENTS)
        return self.samples[before:]


def together(tasks):
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def complaint(status, headers, body):
    """Returns why an answer under overload is wrong, or None if it is right."""
    if status is None:
        return "no answer"
    if 200 <= status < 300:
        return None
    if status not in REFUSALS:
        return f"status {status}: {body[:200].decode(errors='replace')}"
    if headers.get("Content-Type") != "application/problem+json":
        return f"status {status} without a problem document: {body[:200].decode(errors='replace')}"
    try:
        code = json.loads(body)["code"]
    except (ValueError, KeyError, TypeError):
        return f"status {status} with an unreadable problem document: {body[:200].decode(errors='replace')}"
    return None if headers.get("Retry-After") else f"status {status} {code} without Retry-After"


def rates(samples, seconds):
    """Returns the successes per second of each function."""
    served = Counter(each.function for each in samples if each.status in SUCCESSES)
    return {function: served[function] / seconds for function in FUNCTIONS}


def violations(usual, capacity, offered, recovery, normal):
    """Checks the samples of the overload, of the ten seconds after it, and of the usual load that follows."""
    found = [f"{function} answered {count} times: {what}"
             for (function, what), count in Counter((each.function, each.problem) for each in offered + recovery if each.problem).items()]
    intended = FACTOR * sum(capacity.values()) * OVERLOAD_SECONDS
    if len(offered) < LEAST_OFFERED * intended:
        found.append(f"only {len(offered)} of {intended:.0f} requests were sent: the machine is too slow to overload the stack")
    under_load, afterwards = rates(offered, OVERLOAD_SECONDS), rates(normal, NORMAL_SECONDS)
    for function in FUNCTIONS:
        if not any(each.status in REFUSALS for each in offered if each.function == function):
            found.append(f"{function} refused nothing, so it was not overloaded")
        if under_load[function] < LEAST_SERVED * capacity[function]:
            found.append(f"{function} served {under_load[function]:.0f} requests per second under overload, and can serve {capacity[function]:.0f}")
        if afterwards[function] < LEAST_RECOVERED * usual[function]:
            found.append(f"{function} served {afterwards[function]:.0f} requests per second after the overload, and {usual[function]:.0f} before it")
    late = Counter((each.function, each.status) for each in normal if each.status not in SUCCESSES)
    return found + [f"{function} answered {status} to {count} requests later than {RECOVERY_SECONDS} s after the overload"
                    for (function, status), count in late.items()]


def run(stack, shop):
    """Overloads the stack. Returns rows for the table, and the violations."""
    lambdas, load = stack.client("lambda"), Load(shop)
    for function in FUNCTIONS:
        lambdas.put_function_concurrency(FunctionName=f"{local.STACK}-{function}", ReservedConcurrentExecutions=CONCURRENCY)
    try:
        load.clients(CONCURRENCY, MEASURED_SECONDS)  # the functions start
        usual = rates(load.clients(CONCURRENCY, MEASURED_SECONDS), MEASURED_SECONDS)
        capacity = rates(load.clients(CONCURRENCY * SATURATING, MEASURED_SECONDS), MEASURED_SECONDS)
        if not all(usual.values()) or not all(capacity.values()):
            raise local.CommandError(f"The stack serves nothing, so its capacity is unknown: {usual}, {capacity}.")
        local.say(f"capacity: {', '.join(f'{function} {rate:.0f}/s' for function, rate in capacity.items())}; overload for {OVERLOAD_SECONDS} s")
        offered = load.offer({function: FACTOR * rate for function, rate in capacity.items()}, OVERLOAD_SECONDS)
        local.say("the overload has ended")
        ended = time.monotonic()
        recovery, normal = load.clients(CONCURRENCY, RECOVERY_SECONDS), load.clients(CONCURRENCY, NORMAL_SECONDS)
    finally:
        for function in FUNCTIONS:
            lambdas.delete_function_concurrency(FunctionName=f"{local.STACK}-{function}")
    rows = [(f"capacity of {function} per second", rate) for function, rate in capacity.items()]
    rows += [(f"answers {status} of {function} under overload", count)
             for (function, status), count in sorted(Counter((each.function, each.status) for each in offered).items(), key=str)]
    refused = [each.at - ended for each in recovery + normal if each.status not in SUCCESSES]
    rows += [("requests per second under overload", len(offered) / OVERLOAD_SECONDS),
             ("seconds until the last refusal after it", max(refused, default=0.0))]
    return rows, violations(usual, capacity, offered, recovery, normal)
