#!/usr/bin/env python3
"""Stories of orders, told through the public API: paid and delivered, declined, given up, charged without an answer, given back,
and never charged because the provider could not be reached.

    demo.py URL [--admin EMAIL PASSWORD]

It runs against any deployment. Where that is a local stack, mails are read from the emulator's catcher (elsewhere from GET
/notifications), nobody waits for the minute in which the shop looks after payments without an end, and at the end all books are compared.
A story that ends otherwise makes the exit code 1.
"""

import json
import re
import subprocess
import sys
import time
import urllib.request
import uuid
from datetime import datetime, timezone
from pathlib import Path

from arguments import Parser
from client import Api, ApiError, money

HERE = Path(__file__).parent
PATIENCE_SECONDS = 60
SWEEP_SECONDS = 240  # a payment without an answer is asked about after a minute, by what runs every minute
ADDRESS = {"name": "Dana Demo", "line1": "12 Harbour Street", "city": "Portsmouth", "postal_code": "PO1 2AB", "country": "GB"}


class OtherEnd(Exception):
    """A story did not end as it should."""


class Theatre:
    def __init__(self, url, admin_login):
        self.public = Api(url)
        known = json.loads((HERE / "sample-data.json").read_text())["users"]["admin"]
        self.admin = self.public.log_in(*(admin_login or (known["email"], known["password"])))
        self.local = local_stack(url)
        self.began = datetime.now(timezone.utc)
        self.run = uuid.uuid4().hex[:8]
        self.told = {}  # how many lines of an order's history were printed
        self.touched = set()  # products that were ordered
        self.email = f"demo-{self.run}@ferrocart.example"
        password = f"demo-password-{self.run}"
        self.public.register({"email": self.email, "username": f"demo-{self.run}", "full_name": "Dana Demo", "password": password})
        self.customer = self.public.log_in(self.email, password)
        self.products = {each["sku"]: each for each in self.public.items("/products?limit=100") if each["category"] != "demo"}

    def product(self, number):
        """A product with goods on the shelf, and what the shelf holds. It is filled when a visitor before us emptied it."""
        if not self.products:
            raise OtherEnd("the catalogue is empty: run make up, or python3 localstack/stack.py seed")
        each = sorted(self.products.values(), key=lambda product: product["sku"])[number % len(self.products)]
        if self.stock(each).get("available", 0) < 5:
            self.admin.call("POST", f"/inventory/{each['id']}/adjustments", {"delta": 10, "reason": "demo"}, key=str(uuid.uuid4()))
        shelf_before = self.stock(each)
        print(f"  on the shelf before: {shelf(shelf_before)}")
        return each, shelf_before

    def sold_out(self):
        """A product that nobody has on the shelf."""
        price = {"amount": 12900, "currency": "USD"}
        product = {"name": f"Sold out {self.run}", "category": "demo", "sku": f"DEMO-{self.run}".upper(), "price": price}
        return self.admin.call("POST", "/products", product, key=f"demo-{self.run}").body

    def stock(self, product):
        answer = self.admin.call("GET", f"/inventory/{product['id']}", expect=(200, 404))
        return answer.body if answer.status == 200 else {}

    def shelf_after(self, product, before, left):
        """Prints the shelf once so many goods have left it for good, and nothing is held for this order any more."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            stock = self.stock(product)
            if stock.get("on_hand", 0) <= before["on_hand"] - left and stock.get("available", 0) >= before["available"] - left:
                print(f"  on the shelf after:  {shelf(stock)}")
                return
            if time.monotonic() > deadline:
                raise OtherEnd(f"{left} should have left the shelf ({shelf(before)}), but it holds {shelf(stock)}")
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
        self.touched.add(product["id"])
        print(f"  ordered {quantity} x {product['name']} for {money(answer.body.get('totals', {}).get('total'))}: {answer.body['id']}")
        return answer.body

    def follow(self, order, until, meanwhile=lambda: time.sleep(0.1), patience=PATIENCE_SECONDS):
        """Prints each line of the order's history as it is written, until the order is as wanted."""
        deadline = time.monotonic() + patience
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
            meanwhile()

    def cancel(self, order, reason, **patience):
        """Gives the order up, and follows it until stock and money are back."""
        answer = self.customer.call("POST", f"/orders/{order['id']}/cancel", {"reason": reason})
        print(f"  POST /orders/{{id}}/cancel: {answer.status}")
        return self.follow(order, lambda seen: seen["status"] == "cancelled", **patience)

    def step(self, order, name, body=None):
        """What the shop does with an order: `ship`, then `deliver`."""
        answer = self.admin.call("POST", f"/orders/{order['id']}/{name}", body)
        print(f"  POST /orders/{{id}}/{name}: {answer.status} {answer.body['status']}")
        return self.follow(order, lambda seen: seen["status"] == answer.body["status"])

    def payment(self, order):
        """The one payment that has paid the order."""
        paid = [each for each in self.customer.items(f"/payments?order_id={order['id']}") if each["status"] == "completed"]
        if len(paid) != 1:
            raise OtherEnd(f"order {order['id']} should have one completed payment, but it has {len(paid)}")
        return paid[0]

    def statement(self, order):
        """Prints every payment of the order: what was charged, and what was refunded."""
        payments = list(self.customer.items(f"/payments?order_id={order['id']}"))
        for each in payments:
            charged = each["amount"] if each["status"] == "completed" else {**each["amount"], "amount": 0}
            reason = f" ({each['failure_reason']})" if each.get("failure_reason") else ""
            print(f"  payment {each['status']}{reason}: charged {money(charged)}, refunded {money(each['refunded'])}")
        return payments

    def refund(self, payment, amount, reason):
        """Gives back an amount, or with None all that is left."""
        body = {"reason": reason} | ({"amount": {"amount": amount, "currency": payment["amount"]["currency"]}} if amount else {})
        path, key = f"/payments/{payment['id']}/refunds", str(uuid.uuid4())
        answer = self.admin.call("POST", path, body, key=key, expect=(201, 202, 409, 422))
        while answer.status == 202 or answer.code == "request_in_progress":
            time.sleep(0.5)
            answer = self.admin.call("POST", path, body, key=key, expect=(201, 202, 409, 422))
        print(f"  POST /payments/{{id}}/refunds: {answer.status} {money(answer.body.get('amount')) if answer.status == 201 else answer.code}")
        return answer

    def sweep(self):
        """What the shop does every minute, now, where that is in our hands."""
        if self.local:
            self.inside("samples.py", "reconcile-payments")
        time.sleep(0.5)

    def inside(self, tool, *arguments, expect=(0,)):
        """What a tool of the local stack says."""
        command = [sys.executable, HERE / tool, *arguments, "--name", self.local]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if result.returncode not in expect:
            raise OtherEnd(f"{tool} {' '.join(arguments)} failed: {(result.stderr or result.stdout).strip()}")
        return result.stdout

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


def local_stack(url):
    """The name of the local stack at this address, if it is one."""
    for file in sorted(HERE.glob(".state/*/stack.json")):
        if json.loads(file.read_text()).get("url") == url.rstrip("/"):
            return file.parent.name
    return None


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


def paid_and_delivered(theatre):
    product, before = theatre.product(0)
    order = theatre.order(product, 2, payment_method=card("tok_ok"), shipping_address=ADDRESS)
    theatre.follow(order, confirmed)
    theatre.step(order, "ship", {"carrier": "Harbour Post", "tracking": f"HP-{theatre.run}"})
    theatre.step(order, "deliver")
    theatre.shelf_after(product, before, left=2)
    theatre.mails(order, 3)


def declined_then_paid(theatre):
    product, before = theatre.product(1)
    order = theatre.order(product, 1, payment_method=card("tok_declined"))
    theatre.follow(order, lambda seen: seen.get("payable") and any("declined" in json.dumps(line) for line in seen.get("history", [])))
    print("  the card was declined; the order waits for another one")
    theatre.pay(order, "tok_ok")
    theatre.follow(order, confirmed)
    theatre.shelf_after(product, before, left=1)
    theatre.mails(order, 2)


def out_of_stock(theatre):
    product = theatre.sold_out()
    print(f"  on the shelf before: {shelf(theatre.stock(product))}")
    order = theatre.order(product, 1, payment_method=card("tok_ok"))
    seen = theatre.follow(order, lambda seen: seen["status"] == "failed")
    nothing_charged(seen)
    theatre.mails(order, 1)


def given_up_before_paying(theatre):
    product, before = theatre.product(2)
    order = theatre.order(product, 1)
    theatre.follow(order, lambda seen: seen.get("payable"))
    seen = theatre.cancel(order, "I have one already.")
    nothing_charged(seen)
    theatre.shelf_after(product, before, left=0)
    theatre.mails(order, 1)


def given_up_after_paying(theatre):
    product, before = theatre.product(3)
    order = theatre.order(product, 3, payment_method=card("tok_ok"))
    theatre.follow(order, confirmed)
    seen = theatre.cancel(order, "It is the wrong roast.")
    if seen["payment_status"] != "refunded":
        raise OtherEnd(f"the money should be back, but order {order['id']} stands at {state(seen)}")
    print(f"  all {money(seen['totals']['total'])} are back with the buyer")
    theatre.shelf_after(product, before, left=0)
    theatre.mails(order, 3)


def charged_without_an_answer(theatre):
    product, before = theatre.product(4)
    order = theatre.order(product, 1, payment_method=card("tok_timeout_after_charge"))
    theatre.follow(order, lambda seen: any(line.get("event") == "payment_unknown" for line in seen.get("history", [])) or confirmed(seen))
    print("  the provider charged, and its answer was lost: the shop asks what became of the charge, and does not repeat it")
    theatre.follow(order, confirmed, meanwhile=theatre.sweep, patience=SWEEP_SECONDS)
    print(f"  charged once: {theatre.payment(order)['transaction_id']}")
    theatre.shelf_after(product, before, left=1)
    theatre.mails(order, 1)


def given_up_while_the_provider_is_away(theatre):
    product, before = theatre.product(6)
    order = theatre.order(product, 1, payment_method=card("tok_unreachable"))
    theatre.follow(order, lambda seen: any(line.get("event") == "payment_unknown" for line in seen.get("history", [])))
    print("  the charge request got no answer: the provider cannot be reached, and the buyer cancels")
    seen = theatre.cancel(order, "It takes too long.", meanwhile=theatre.sweep, patience=SWEEP_SECONDS)
    print("  the provider is back: the shop voids the charge and does not send it again")
    nothing_charged(seen)
    for payment in theatre.statement(order):
        if payment["status"] != "failed" or payment.get("transaction_id") or payment["refunded"]["amount"]:
            raise OtherEnd(f"payment {payment['id']} should be failed, without a charge and a refund, but it is {payment}")
    theatre.shelf_after(product, before, left=0)
    theatre.mails(order, 1)


def given_back(theatre):
    product, before = theatre.product(5)
    order = theatre.order(product, 2, payment_method=card("tok_ok"))
    theatre.follow(order, confirmed)
    payment = theatre.payment(order)
    theatre.refund(payment, 1000, "The lid was broken.")
    theatre.follow(order, lambda seen: seen["payment_status"] == "partially_refunded")
    if theatre.refund(payment, payment["amount"]["amount"], "All of it once more?").code != "exceeds_refundable":
        raise OtherEnd("more was given back than is left")
    theatre.refund(payment, None, "The rest was broken too.")
    theatre.follow(order, lambda seen: seen["payment_status"] == "refunded")
    theatre.shelf_after(product, before, left=2)
    theatre.mails(order, 3)


def nothing_charged(order):
    if order.get("payment_status") != "unpaid":
        raise OtherEnd(f"nothing should be charged, but order {order['id']} stands at {state(order)}")
    print("  nothing was charged")


def check_reconciliation(theatre):
    """Orders, payments, stock, the provider and the ledger say the same of every order, once the last entry has come."""
    since = ("--since", theatre.began.isoformat())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        reports = [json.loads(line) for line in theatre.inside("reconcile.py", "--json", *since, expect=(0, 1, 2)).splitlines()]
        unbalanced = {row["order_id"] for report in reports for row in report["unbalanced"]}
        unbalanced |= {row["product_id"] for report in reports for row in report["products"] if row["state"] == "unbalanced"}
        in_flight = {row["order_id"] for report in reports for row in report["unsettled"]}
        in_flight |= {row["product_id"] for report in reports for row in report["products"]} - unbalanced
        ours = set(theatre.told) | theatre.touched
        if not ours & (unbalanced | in_flight) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    print("".join(f"  {line}\n" for line in theatre.inside("reconcile.py", *since, expect=(0, 1, 2)).splitlines()), end="")
    if ours & unbalanced:
        raise OtherEnd(f"the books of {', '.join(sorted(ours & unbalanced))} do not balance")
    if ours & in_flight:
        print(f"  still in flight, compared later: {', '.join(sorted(ours & in_flight))}")


STORIES = (
    ("an order is paid, shipped and delivered", paid_and_delivered),
    ("a card is declined, another one pays", declined_then_paid),
    ("the shelf is empty", out_of_stock),
    ("the buyer thinks better of it before paying", given_up_before_paying),
    ("and after paying", given_up_after_paying),
    ("the provider charges, and its answer is lost", charged_without_an_answer),
    ("the provider is away, and the buyer thinks better of it meanwhile", given_up_while_the_provider_is_away),
    ("money is given back, a part and then the rest", given_back),
)


def main():
    parser = Parser(description=__doc__)
    parser.add_argument("url", help="the API's address, with /v1")
    parser.add_argument("--admin", nargs=2, metavar=("EMAIL", "PASSWORD"), help="default: the admin of the sample data")
    args = parser.parse_args()
    started = time.monotonic()
    try:
        theatre = Theatre(args.url, args.admin)
        stories = STORIES + ((("all books balance", check_reconciliation),) if theatre.local else ())
        for number, (title, story) in enumerate(stories, 1):
            print(f"\n{number}. {title}", flush=True)
            story(theatre)
    except (ApiError, OtherEnd) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    print(f"\nAll {len(stories)} stories ended as they should, in {time.monotonic() - started:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
