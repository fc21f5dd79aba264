#!/usr/bin/env python3
"""Reconciles the records of all services, and prints the mismatches.

    reconcile.py                     orders placed or changed in the last two days, unsettled orders, and all products
    reconcile.py --since 2026-11-01  orders placed or changed since then (with --until 2026-11-08: and before that)
    reconcile.py --order ord_...     one order (--product prd_...: one product)
    reconcile.py --repair            also books missing ledger entries; with any of the above
    reconcile.py --repost-since 2026-01-01   lets the next daily run calculate the balances of all products again, from the entries recorded
                                     since then; checks nothing
    reconcile.py --json              prints the reports as the function returns them, one per line

The exit status is 0 if all compared records balance, 1 if some do not, and 2 if some could not be read. Records that changed in the last ten
minutes are in flight and not counted as mismatches. `make reconcile` turns 1 and 2 into make's own status 2, so scripts should call
`python3 localstack/reconcile.py`.
"""

import json
from datetime import datetime, timezone

from arguments import Parser, order_id
import deployment
from deployment import CommandError

FUNCTION = "reconcile-ledger"
REJECTED = ("MalformedEvent", "UnknownOrder", "PostingInProgress")  # request errors: the message says how to correct the request


def reconcile(shop, args):
    client, event = shop.client("lambda"), request_of(args)
    if args.repost_since:
        report = invoke(client, shop.function(FUNCTION), {"repost_since": moment(args.repost_since)})
        print(f"The next daily run calculates the balances of all products again, from the entries recorded since {report['reposting_since'][:16]}"
              " (UTC).")
        return 0
    totals = {"checked": 0, "balanced": 0, "unsettled": [], "unbalanced": [], "products_checked": 0, "products": [], "not_checked": [],
             "repaired": [], "not_repaired": []}
    first = None
    while True:
        report = invoke(client, shop.function(FUNCTION), event)
        if args.json:
            print(json.dumps(report))
        first = first or report
        for name in totals:
            totals[name] += report.get(name, type(totals[name])())
        if not report.get("continuation"):
            break
        event = {"continuation": report["continuation"]} | repairing(args)
    for name, id in (("unsettled", "order_id"), ("unbalanced", "order_id"), ("products", "product_id")):
        # A continued run may report an order twice if two sources list it. The later report counts.
        totals[name] = list({row[id]: row for row in totals[name]}.values())
    unbalanced = totals["unbalanced"] + [row for row in totals["products"] if row["state"] == "unbalanced"]
    if not args.json:
        show(first, totals)
        print("\n" + verdict(unbalanced, totals))
    return 1 if unbalanced else 2 if totals["not_checked"] else 0


def request_of(args):
    if args.order or args.product:
        return ({"order_id": args.order} if args.order else {"product_id": args.product}) | repairing(args)
    return repairing(args) | {name: moment(value) for name, value in (("since", args.since), ("until", args.until)) if value}


def repairing(args):
    return {"repair": True} if args.repair else {}


def moment(text):
    """Converts `2026-11-01` or `2026-11-01T10:00`, in UTC unless it has an offset, into a timestamp."""
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise CommandError(f"{text} is not a time: write 2026-11-01 or 2026-11-01T10:00:00Z.") from None
    at = at.astimezone(timezone.utc) if at.tzinfo else at.replace(tzinfo=timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def invoke(client, function, event):
    try:
        answer = client.invoke(FunctionName=function, Qualifier=deployment.ALIAS, Payload=json.dumps(event).encode())
    except client.exceptions.ResourceNotFoundException:
        raise CommandError(f"There is no function {function}: is this version deployed here?") from None
    result = json.loads(answer["Payload"].read() or b"null")
    if answer.get("FunctionError"):
        message = (result or {}).get("errorMessage", result)
        raise CommandError(message if (result or {}).get("errorType") in REJECTED else f"{function} failed: {message}")
    return result


def verdict(unbalanced, totals):
    if unbalanced:
        return f"Not balanced: {len(unbalanced)} of the orders and products above."
    if totals["not_checked"]:
        return "Incomplete: not everything could be read. Run it again."
    in_flight = len(totals["unsettled"]) + len(totals["products"])
    return "Balanced." + (f" {in_flight} in flight: compared again later." if in_flight else "")


def show(first, totals):
    print(f"From {first['since'][:16]} until {first['until'][:16]} (UTC), against {first['provider']}.")
    unsettled = len(totals["unsettled"])
    print(f"{totals['checked']} checks of orders: {totals['balanced']} balanced, {unsettled} in flight, {len(totals['unbalanced'])} unbalanced.")
    unbalanced_products = [row for row in totals["products"] if row["state"] == "unbalanced"]
    unsettled_products = len(totals["products"]) - len(unbalanced_products)
    print(f"{totals['products_checked']} products: {totals['products_checked'] - len(unbalanced_products) - unsettled_products} balanced,"
          f" {unsettled_products} in flight, {len(unbalanced_products)} unbalanced.")
    rows = [(row.get("order_id") or row["product_id"], row.get("status") or "-", each["check"], each.get("subject", "-"),
             each["expected"], each["found"]) for row in totals["unbalanced"] + unbalanced_products for each in row["findings"]]
    if rows:
        print()
        deployment.table(("records of", "status", "check", "of", "expected", "found"), rows)
    reviews = [(row["order_id"], row.get("status") or "-", row["needs_review"]) for row in totals["unsettled"] + totals["unbalanced"]
                 if row.get("needs_review")]
    if reviews:
        print()
        deployment.table(("needs review", "status", "why"), reviews)
    if totals["repaired"]:
        print()
        deployment.table(("repaired", "of", "lines"), [(row["kind"], row.get("order_id") or "-", lines_of(row)) for row in totals["repaired"]])
    if totals["not_repaired"]:
        print()
        deployment.table(("not repaired", "why"), sorted({(row["id"], row["reason"]) for row in totals["not_repaired"]}))
    if totals["not_checked"]:
        print(f"\nCould not be read, so not compared: {', '.join(totals['not_checked'])}. Run it again.")


def lines_of(entry):
    return ", ".join(f"{line['amount']:+} {line['unit']} {line['account'].split(':')[-1]}" for line in entry["lines"] if line["amount"] > 0)


def arguments():
    parser = Parser(description=__doc__)
    parser.add_argument("--since", help="check orders placed or changed since then")
    parser.add_argument("--until", help="only orders placed or changed before then")
    parser.add_argument("--order", type=order_id, help="check only this order")
    parser.add_argument("--product", help="check only this product")
    parser.add_argument("--repair", action="store_true", help="book missing ledger entries")
    parser.add_argument("--repost-since", help="calculate the balances of all products again, from the entries recorded since then")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    deployment.options(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(deployment.main(arguments(), reconcile))
