#!/usr/bin/env python3
"""Places paid orders on the local stack, and prints how long each hop from POST /orders to the confirmed order takes.

    latency.py               50 orders, one after the other
    latency.py --orders 200

The times come from the log lines of the functions about these orders: a hop lasts from the end of the one before it to its own line. So
the wait in a stream or a queue is part of the hop that ends it. The last rows are those of the whole order, from the request's arrival.
"""

import sys
import time
import uuid
from statistics import median

from arguments import Parser
from client import ApiError
import deployment
from deployment import CommandError
import logs
import stack as local
from trace import moment

# The hops: what is printed, the function, the field that identifies its line, and its value.
HOPS = (
    ("create-order, answered", "create-order", "path", "/orders"),
    ("stream of orders, published", "publish-order-events", "message_type", "reserve_stock.v1"),
    ("queue reserve-stock, reserved", "reserve-stock", "message_type", "reserve_stock.v1"),
    ("stream of stock, published", "publish-stock-events", "message_type", "stock_reserved.v1"),
    ("queue order-events, stock reserved", "advance-order", "message_type", "stock_reserved.v1"),
    ("stream of orders, published", "publish-order-events", "message_type", "charge_payment.v1"),
    ("queue charge-payment, charged", "charge-payment", "message_type", "charge_payment.v1"),
    ("stream of payments, published", "publish-payment-events", "message_type", "payment_succeeded.v1"),
    ("queue order-events, confirmed", "advance-order", "message_type", "payment_succeeded.v1"),
)
PAUSE_SECONDS = 0.2  # between two orders, so that no order waits for another one
PATIENCE_SECONDS = 30
UNUSED = 5  # first orders, whose functions start


def place(api, product):
    """Places an order with a card, and waits until it is confirmed. Returns its id."""
    body = {"items": [{"product_id": product, "quantity": 1}], "payment_method": {"type": "card", "token": "tok_ok"}}
    order = api.call("POST", "/orders", body, key=str(uuid.uuid4()), expect=(201,)).body["id"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while api.call("GET", f"/orders/{order}").body["status"] == "pending":
        if time.monotonic() > deadline:
            raise CommandError(f"{order} is still pending after {PATIENCE_SECONDS} s: make trace ORDER={order} shows why.")
        time.sleep(PAUSE_SECONDS)
    return order


def stocked_product(admin, quantity):
    """Creates a product with this stock, and returns its id."""
    name = f"latency-{uuid.uuid4().hex[:8]}"
    product = {"name": name, "category": "demo", "sku": name, "price": {"amount": 2999, "currency": "USD"}}
    created = admin.call("POST", "/products", product, key=name).body["id"]
    admin.call("POST", f"/inventory/{created}/adjustments", {"delta": quantity, "reason": "make latency"}, key=name)
    return created


def is_orderable(api, product):
    """Whether orders has its copy of the product. An order with a wrong total is rejected, and creates nothing."""
    body = {"items": [{"product_id": product, "quantity": 1}], "expected_total": {"amount": 1, "currency": "USD"}}
    return api.call("POST", "/orders", body, key=str(uuid.uuid4()), expect=(409, 422)).status == 409


def times(entries, order):
    """Returns the milliseconds at which the request arrived and at which each hop ended; None if a line is missing."""
    lines = [entry.fields for entry in entries if order in entry.text and "timestamp" in entry.fields]
    ends = [first(lines, function, name, value) for _, function, name, value in HOPS]
    if None in ends:
        return None
    arrived = moment(ends[0]["timestamp"]) - ends[0].get("duration_ms", 0)
    return [arrived] + [moment(line["timestamp"]) for line in ends]


def first(lines, function, name, value):
    """Returns the first line of a function with this value in a field."""
    found = [line for line in lines if line.get("operation") == function and str(line.get(name, "")).endswith(value)]
    return min(found, key=lambda line: line["timestamp"], default=None)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def latency(shop, args):
    stack = local.Stack(args.name)
    people = local.sample()["users"]
    admin = stack.api().log_in(people["admin"]["email"], people["admin"]["password"])
    customer = stack.api().log_in(people["customer"]["email"], people["customer"]["password"])
    since = int(time.time() * 1000)
    product = stocked_product(admin, UNUSED + args.orders)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_orderable(customer, product):
        if time.monotonic() > deadline:
            raise CommandError("The new product does not reach orders: make logs OP=replicate-product shows why.")
        time.sleep(PAUSE_SECONDS)
    print(f"Placing {UNUSED + args.orders} orders; the first {UNUSED} start the functions, and are left out.", file=sys.stderr)
    orders = [place(customer, product) for _ in range(UNUSED + args.orders)]
    entries = logs.entries(shop.client("logs"), shop.name, None, since, False)
    measured = [each for each in (times(entries, order) for order in orders[UNUSED:]) if each]
    if not measured:
        raise CommandError("The logs have no complete order: LogLevel must be info.")
    show(measured)
    return 0


def show(measured):
    def row(name, values):
        return name, f"{median(values):.0f} ms", f"{percentile(values, 0.95):.0f} ms"

    rows = [row(hop[0], [each[index + 1] - each[index] for each in measured]) for index, hop in enumerate(HOPS)]
    rows.append(row("stock reserved, since the request", [each[5] - each[0] for each in measured]))
    rows.append(row("confirmed, since the request", [each[-1] - each[0] for each in measured]))
    deployment.table(("HOP", "P50", "P95"), rows)
    print(f"\n{len(measured)} orders.")


def count(text):
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 10_000:
        raise ValueError(text)
    return number


def arguments():
    parser = Parser(description=__doc__)
    parser.add_argument("--orders", type=count, default=50, help="from 1 to 10000 (default: %(default)s)")
    parser.add_argument("--name", default="local", help="the local stack (default: %(default)s)")
    parser.set_defaults(stack=None)
    return parser


if __name__ == "__main__":
    try:
        raise SystemExit(deployment.main(arguments(), latency))
    except ApiError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
