#!/usr/bin/env python3
"""Places an order whose first charge times out, and finds its one trace id everywhere.

    traces.py --name test        run by `make test` against its stack, after the sample data exists

The caller's trace id must be in the log lines of every function that works on the order, in the provider's record and in the mail. The
access line must name the gateway's request, and `make trace` must report that the order waits for no party.
"""

import argparse
import json
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "localstack"))
import stack as local  # noqa: E402
from client import Api  # noqa: E402

SECONDS = 120
FUNCTIONS = {"create-order", "publish-order-events", "reserve-stock", "publish-stock-events", "advance-order", "charge-payment",
             "publish-payment-events", "reconcile-payments", "commit-stock", "send-notification", "record-entry"}


def place(stack, trace_id):
    """Places the order and returns it."""
    user = local.sample()["users"]["customer"]
    customer = stack.api().log_in(user["email"], user["password"])
    admin = stack.api().log_in(*(local.sample()["users"]["admin"][field] for field in ("email", "password")))
    products = customer.call("GET", "/products?limit=100").body["items"]
    product = next(each for each in products if admin.call("GET", f"/inventory/{each['id']}", expect=(200, 404)).body.get("available", 0) > 0)
    traced = Api(customer.url, customer.token, headers={"traceparent": f"00-{trace_id}-{uuid.uuid4().hex[:16]}-01"})
    body = {"items": [{"product_id": product["id"], "quantity": 1}],
            "payment_method": {"type": "card", "token": "tok_timeout_after_charge"}}
    return customer, traced.call("POST", "/orders", body, key=str(uuid.uuid4())).body


def settle(stack, customer, order):
    """Runs the sweeps until the order is confirmed."""
    client, deadline = stack.client("lambda"), time.monotonic() + SECONDS
    while (status := customer.call("GET", f"/orders/{order['id']}").body["status"]) != "confirmed":
        if time.monotonic() > deadline:
            sys.exit(f"Order {order['id']} is still {status} after {SECONDS} seconds.")
        for sweep in ("reconcile-payments", "resume-orders"):
            client.invoke(FunctionName=f"{local.STACK}-{sweep}", Qualifier=local.ALIAS, Payload=b"{}")
        time.sleep(1)


def timeline(stack, order):
    """Returns the output of `make trace` once the mail is sent and the order is settled."""
    deadline = time.monotonic() + SECONDS
    while True:
        command = [sys.executable, str(ROOT / "localstack/trace.py"), order["id"], "--json", "--name", stack.name]
        printed = subprocess.run(command, capture_output=True, text=True)
        if printed.returncode:
            sys.exit(printed.stderr)
        document = json.loads(printed.stdout)
        functions = {event["function"] for event in document["events"]}
        if FUNCTIONS <= functions and document["record"]["settled"]:
            return document
        if time.monotonic() > deadline:
            sys.exit(f"make trace ORDER={order['id']} lacks {', '.join(sorted(FUNCTIONS - functions)) or 'the end of the order'}.")
        time.sleep(1)


def provider_traces(stack, order):
    """Returns the trace ids of the order's charges at the simulated provider."""
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=f"{local.STACK}-payment-simulator")
    items = [item for page in pages for item in page["Items"] if item["pk"]["S"].startswith("CHARGE#")]
    return [item.get("trace_id", {}).get("S") for item in items if item["order_id"]["S"] == order["id"]]


def mail_traces(stack, order):
    """Returns the trace ids of the mails about the order."""
    with urllib.request.urlopen(f"{stack.endpoint}/_ministack/ses/messages", timeout=10) as answer:
        mails = [mail for account in json.load(answer)["messages"].values() for mail in account]
    return [mail.get("Headers", {}).get("X-Trace-Id") for mail in mails if order["id"] in json.dumps(mail)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="local")
    stack = local.Stack(parser.parse_args().name)
    trace_id = uuid.uuid4().hex
    customer, order = place(stack, trace_id)
    settle(stack, customer, order)
    document = timeline(stack, order)
    lines = [event for event in document["events"] if event["source"] == "log"]
    placed = next(event for event in lines if event["function"] == "create-order" and event["kind"] == "request")
    checks = {
        "make trace finds one trace": document["traces"] == [trace_id],
        "every log line has it": all(event["trace_id"] == trace_id for event in lines),
        "the access line names the gateway's request": bool(placed["fields"].get("gateway_request_id")),
        "the charge timed out": any("outcome unknown" in event["what"] for event in lines),
        "no party is waited for": document["waiting_for"] == [],
        "the provider has it": provider_traces(stack, order) == [trace_id],
        "the mail has it": mail_traces(stack, order) == [trace_id],
    }
    failed = [name for name, holds in checks.items() if not holds]
    if failed:
        sys.exit(f"Trace {trace_id} of order {order['id']}: {', '.join(failed)}: no.\n{json.dumps(document, indent=1)[:4000]}")
    print(f"found trace {trace_id} in {len(lines)} log lines of {len({event['function'] for event in lines})} functions, at the provider and in the"
          " mail")


if __name__ == "__main__":
    main()
