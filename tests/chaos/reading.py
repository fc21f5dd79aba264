"""Reads the state of a local stack for the checks, and runs what an operator would run: sweeps and redrives."""

import json
import subprocess
import sys
import urllib.request
from collections import defaultdict

import stack as local
from checks import ORDER_ID, Order, Snapshot

SWEEPS = ("resume-orders", "reconcile-payments")


def plain(value):
    """Converts a value of DynamoDB JSON."""
    (kind, content), = value.items()
    if kind == "N":
        return int(content)
    if kind == "L":
        return [plain(each) for each in content]
    if kind == "M":
        return {name: plain(each) for name, each in content.items()}
    return None if kind == "NULL" else content


def items(stack, table, prefix):
    """Yields the items of a table whose key begins with `prefix`."""
    for page in stack.client("dynamodb").get_paginator("scan").paginate(TableName=f"{local.STACK}-{table}", ConsistentRead=True):
        yield from ({name: plain(value) for name, value in item.items()} for item in page["Items"] if item["pk"]["S"].startswith(prefix))


def order(item):
    """Converts the item of an order, whose totals of 0 are absent (functions/orders/src/store/item.rs)."""
    return Order(
        status=item["status"], stock=item["stock"], payment=item["payment"], total=item["totals"]["total"],
        captured=item.get("captured_total", 0), refunded=item.get("refunded_total", 0),
        lines={product: line["quantity"] for product, line in item["lines"].items()}, events={each["event"] for each in item["history"]},
        needs_review=item.get("needs_review"))


def snapshot(stack, products):
    """Reads everything but the ledger. `products` limits the stock to the products of this run."""
    read = Snapshot(orders={item["pk"].removeprefix("ORDER#"): order(item) for item in items(stack, "orders", "ORDER#")})
    stock, delivered = defaultdict(lambda: (0, 0)), defaultdict(int)
    for shard in items(stack, "stock", "STOCK#"):
        on_hand, available = stock[shard["product_id"]]
        stock[shard["product_id"]] = on_hand + shard["on_hand"], available + shard["available"]
    for movement in items(stack, "stock", "MOVE#"):
        delivered[movement["product_id"]] += movement["delta"]
    read.stock = {product: levels for product, levels in stock.items() if product in products}
    read.delivered = dict(delivered)
    charges, refunds = defaultdict(list), defaultdict(list)
    for charge in items(stack, "payment-simulator", "CHARGE#"):
        charges[charge["order_id"]].append(charge["amount"])
    for refund in items(stack, "payment-simulator", "REFUND#"):
        refunds[refund["order_id"]].append(refund["amount"])
    read.charges, read.refunds = dict(charges), dict(refunds)
    read.mails, read.messages = mails(stack), messages(stack)
    return read


def mails(stack):
    with urllib.request.urlopen(f"{stack.endpoint}/_ministack/ses/messages", timeout=30) as answer:
        kept = [mail for account in json.load(answer)["messages"].values() for mail in account]
    subjects = defaultdict(set)
    for mail in kept:
        for id in set(ORDER_ID.findall(mail["BodyText"] or "")):
            subjects[id].add(mail["Subject"])
    return dict(subjects)


def messages(stack):
    """Returns the number of messages of each queue, also of those in flight or delayed."""
    sqs = stack.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
    urls = sqs.list_queues(QueueNamePrefix=f"{local.STACK}-", MaxResults=1000).get("QueueUrls", [])
    counts = {url.rsplit("/", 1)[1].removeprefix(f"{local.STACK}-"): sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
              for url in urls}
    return {queue: sum(int(counted.get(name, 0)) for name in names) for queue, counted in counts.items()}


def mismatches(stack):
    """Returns what reconcile-ledger reports, also about records that changed in the last ten minutes."""
    printed = tool("reconcile.py", "--json", "--name", stack.name)
    found = []
    for report in map(json.loads, printed.stdout.splitlines()):
        for row in report["unsettled"] + report["unbalanced"] + report["products"]:
            findings = row.get("findings") or [{"check": "in flight", "expected": "-", "found": "-"}]
            found += [f"{row.get('order_id') or row['product_id']} {each['check']}: expected {each['expected']}, found {each['found']}"
                      for each in findings]
        found += [f"{record} could not be read" for record in report["not_checked"]]
    if printed.returncode and not found:
        found.append(f"it failed: {printed.stderr.strip()}")
    return found


def redrive(stack):
    """Sends all dead letters back to their queues. Returns their number."""
    dead = {queue.removesuffix("-dead-letter"): count for queue, count in messages(stack).items() if queue.endswith("-dead-letter") and count}
    for queue in dead:
        tool("redrive.py", queue, "--name", stack.name)
    return sum(dead.values())


def sweep(stack):
    """Runs the sweeps at once. The schedule of the emulator runs them every minute."""
    for name in SWEEPS:
        stack.client("lambda").invoke(FunctionName=f"{local.STACK}-{name}", Qualifier=local.ALIAS, Payload=b"{}")


def tool(name, *arguments):
    return subprocess.run([sys.executable, str(local.HERE / name), *arguments], capture_output=True, text=True)
