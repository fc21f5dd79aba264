#!/usr/bin/env python3
"""Three stories of an order, told through the public API alone: paid, declined then paid, and out of stock.

    demo.py URL [--admin EMAIL PASSWORD]

It runs against any deployment. The mails are read from the emulator's catcher where there is one, and from GET /notifications
elsewhere. A story that ends otherwise makes the exit code 1.
"""

import argparse
import json
import re
import sys
import time
import urllib.request
import uuid
from pathlib import Path

from client import Api, ApiError, money

PATIENCE_SECONDS = 60


class OtherEnd(Exception):
    """A story did not end as it should."""


class Theatre:
    def __init__(self, url, admin_login):
        self.public = Api(url)
        sample = json.loads((Path(__file__).parent / "sample-data.json").read_text())
        known = sample["users"]["admin"]
        self.admin = self.public.log_in(*(admin_login or (known["email"], known["password"])))
        self.run = uuid.uuid4().hex[:8]
        self.told = {}  # how many lines of an order's history were printed
        self.email = f"demo-{self.run}@ferrocart.example"
        password = f"demo-password-{self.run}"
        self.public.register({"email": self.email, "username": f"demo-{self.run}", "full_name": "Dana Demo", "password": password})
        self.customer = self.public.log_in(self.email, password)
        self.products = {each["sku"]: each for each in self.public.items("/products?limit=100")}

    def product(self, number):
        """A product with goods on the shelf. The shelf is filled when a visitor before us emptied it."""
        if not self.products:
            raise OtherEnd("the catalogue is empty: run make up, or python3 localstack/stack.py seed")
        each = sorted(self.products.values(), key=lambda product: product["sku"])[number % len(self.products)]
        if self.stock(each).get("available", 0) < 5:
            self.admin.call("POST", f"/inventory/{each['id']}/adjustments", {"delta": 10, "reason": "demo"}, key=str(uuid.uuid4()))
        return each

    def sold_out(self):
        """A product that nobody has on the shelf."""
        price = {"amount": 12900, "currency": "USD"}
        product = {"name": f"Sold out {self.run}", "category": "demo", "sku": f"DEMO-{self.run}".upper(), "price": price}
        return self.admin.call("POST", "/products", product, key=f"demo-{self.run}").body

    def stock(self, product):
        answer = self.admin.call("GET", f"/inventory/{product['id']}", expect=(200, 404))
        return answer.body if answer.status == 200 else {}

    def sold(self, product, before, quantity):
        """The stock once the goods of a confirmed order have left it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            stock = self.stock(product)
            if stock.get("on_hand", 0) <= before["on_hand"] - quantity:
                return stock
            if time.monotonic() > deadline:
                raise OtherEnd(f"{quantity} should have left the shelf ({shelf(before)}), but it holds {shelf(stock)}")
            time.sleep(0.2)

    def order(self, product, quantity, **more):
        """Places an order. A product that is new takes a moment until orders know it, hence the patience."""
        body = {"items": [{"product_id": product["id"], "quantity": quantity}], **more}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.customer.call("POST", "/orders", body, key=str(uuid.uuid4()), expect=(201, 422))
            if answer.status == 201:
                break
            if answer.code != "unknown_product" or time.monotonic() > deadline:
                raise ApiError(f"POST /orders answered {answer}")
            time.sleep(0.2)
        print(f"  ordered {quantity} x {product['name']} for {money(answer.body.get('totals', {}).get('total'))}: {answer.body['id']}")
        return answer.body

    def follow(self, order, until):
        """Prints each line of the order's history as it is written, until the order is as wanted."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            seen = self.customer.call("GET", f"/orders/{order['id']}").body
            history = seen.get("history", [])
            for line in history[self.told.get(order["id"], 0):]:
                print(f"    {clock(line.get('at'))}  {line.get('event', '?'):18} {line.get('status', ''):10} {line.get('detail') or ''}".rstrip())
            self.told[order["id"]] = len(history)
            if until(seen):
                return seen
            if seen["status"] in ("failed", "cancelled") or time.monotonic() > deadline:
                raise OtherEnd(f"order {order['id']} stands at {state(seen)}")
            time.sleep(0.1)

    def pay(self, order, token):
        """Pays through POST /payments. 404 and 409 say that the order is not payable at this moment: ask again."""
        body = {"order_id": order["id"], "payment_method": card(token)}
        key, deadline = str(uuid.uuid4()), time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.customer.call("POST", "/payments", body, key=key, expect=(200, 201, 202, 402, 404, 409))
            waiting = answer.status == 404 or answer.code in ("payment_in_progress", "request_in_progress")
            if not waiting or time.monotonic() > deadline:
                break
            time.sleep(min(float(answer.headers.get("Retry-After") or 0.2), 2))
        print(f"  POST /payments with {token}: {answer.status} {answer.body.get('status') or answer.code}")
        if answer.status not in (200, 201, 202):
            raise OtherEnd(f"the payment was answered {answer}")

    def mails(self, order, wanted):
        """The subjects of the mails about this order. They come a moment after the order is as it should be."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            subjects = self.caught(order) if self.catcher() else self.notified(order)
            if len(subjects) >= wanted or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        for subject in subjects:
            print(f"  mail to {self.email}: {subject}")
        if len(subjects) < wanted:
            raise OtherEnd(f"{wanted} mails about order {order['id']} were expected, {len(subjects)} came")

    def catcher(self):
        place = re.match(r"(https?://[^/]+)/_aws/execute-api/", self.public.url)
        return place and f"{place[1]}/_ministack/ses/messages"

    def caught(self, order):
        with urllib.request.urlopen(self.catcher(), timeout=10) as response:
            body = json.load(response)
        mails = [mail for account in body["messages"].values() for mail in account if self.email in mail["To"]]
        return [mail["Subject"] for mail in mails if order["id"] in json.dumps(mail)]

    def notified(self, order):
        found = [each for each in self.customer.items("/notifications") if order["id"] in json.dumps(each)]
        return [each.get("subject") or each.get("title") or each.get("template", "?") for each in reversed(found)]


def card(token):
    return {"type": "card", "token": token}


def clock(instant):
    return str(instant or "")[11:23]


def state(order):
    return ", ".join(f"{name} {order[name]}" for name in ("status", "step", "payment_status") if order.get(name))


def shelf(stock):
    return ", ".join(f"{stock[name]} {word}" for name, word in
                     (("on_hand", "on hand"), ("available", "available"), ("held", "held")) if name in stock) or "nothing"


def confirmed(order):
    return order["status"] == "confirmed"


def paid(theatre):
    product = theatre.product(0)
    before = theatre.stock(product)
    print(f"  on the shelf before: {shelf(before)}")
    order = theatre.order(product, 2, payment_method=card("tok_ok"))
    theatre.follow(order, confirmed)
    after = theatre.sold(product, before, 2)
    print(f"  on the shelf after:  {shelf(after)}")
    theatre.mails(order, 1)


def declined_then_paid(theatre):
    product = theatre.product(1)
    before = theatre.stock(product)
    print(f"  on the shelf before: {shelf(before)}")
    order = theatre.order(product, 1, payment_method=card("tok_declined"))
    theatre.follow(order, lambda seen: seen.get("payable") and any("declined" in json.dumps(line) for line in seen.get("history", [])))
    print("  the card was declined; the order waits for another one")
    theatre.pay(order, "tok_ok")
    theatre.follow(order, confirmed)
    after = theatre.sold(product, before, 1)
    print(f"  on the shelf after:  {shelf(after)}")
    theatre.mails(order, 2)


def out_of_stock(theatre):
    product = theatre.sold_out()
    print(f"  on the shelf before: {shelf(theatre.stock(product))}")
    order = theatre.order(product, 1, payment_method=card("tok_ok"))
    seen = theatre.follow(order, lambda seen: seen["status"] == "failed")
    if seen.get("payment_status") not in (None, "unpaid"):
        raise OtherEnd(f"nothing should be charged, but order {order['id']} stands at {state(seen)}")
    print("  nothing was charged")
    theatre.mails(order, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="the API's address, with /v1")
    parser.add_argument("--admin", nargs=2, metavar=("EMAIL", "PASSWORD"), help="default: the admin of the sample data")
    args = parser.parse_args()
    started = time.monotonic()
    try:
        theatre = Theatre(args.url, args.admin)
        for number, (title, story) in enumerate((
                ("an order is paid", paid),
                ("a card is declined, another one pays", declined_then_paid),
                ("the shelf is empty", out_of_stock)), 1):
            print(f"\n{number}. {title}", flush=True)
            story(theatre)
    except (ApiError, OtherEnd) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    print(f"\nAll three stories ended as they should, in {time.monotonic() - started:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
