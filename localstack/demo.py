#!/usr/bin/env python3
"""Runs demo orders through the public API: delivered, declined, cancelled, charged after a timeout, refunded, never charged
because the provider was unreachable, priced by the rules of a market, placed from a cart, free, and placed from a guest's cart.

    demo.py URL [--admin EMAIL PASSWORD]

It runs against any deployment. On a local stack it reads mails from the emulator (elsewhere from GET /notifications), invokes
the sweep of unsettled payments at once instead of waiting a minute, and reconciles all records at the end.
The exit code is 1 if a scenario ends in an unexpected state.
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

import purchase
from arguments import Parser
from client import Api, ApiError, money
from purchase import UnexpectedResult, card, state

HERE = Path(__file__).parent
TIMEOUT_SECONDS = 60
SWEEP_SECONDS = 240  # the provider is queried about an unknown outcome after a minute, by a sweep that runs every minute
ADDRESS = {"name": "Dana Demo", "line1": "12 Harbour Street", "city": "Portsmouth", "postal_code": "PO1 2AB", "country": "GB"}
# A market of the sample data, and an address in it.
MARKET = "de"
GERMAN_ADDRESS = {"name": "Dana Demo", "line1": "Hafenstraße 12", "city": "Hamburg", "postal_code": "20457", "country": "DE"}


class Demo:
    def __init__(self, url, admin_login):
        self.public = Api(url)
        known = json.loads((HERE / "sample-data.json").read_text())["users"]["admin"]
        self.admin = self.public.log_in(*(admin_login or (known["email"], known["password"])))
        self.local = local_stack(url)
        self.began = datetime.now(timezone.utc)
        self.run = uuid.uuid4().hex[:8]
        self.printed = {}  # number of history entries printed, by order
        self.products_ordered = set()
        self.email = f"demo-{self.run}@ferrocart.example"
        password = f"demo-password-{self.run}"
        self.public.register({"email": self.email, "username": f"demo-{self.run}", "full_name": "Dana Demo", "password": password})
        self.customer = self.public.log_in(self.email, password)
        self.products = {each["sku"]: each for each in self.public.items("/products?limit=100") if each["category"] != "demo"}

    def product(self, number):
        """Returns a product and its stock levels."""
        if not self.products:
            raise UnexpectedResult("the catalogue is empty: run make up, or python3 localstack/stack.py seed")
        each = self.in_stock(sorted(self.products.values(), key=lambda product: product["sku"])[number % len(self.products)])
        stock_before = self.stock(each)
        print(f"  stock before: {levels(stock_before)}")
        return each, stock_before

    def sample_product(self, sku):
        """Returns a product of the sample data."""
        if sku not in self.products:
            raise UnexpectedResult(f"the product {sku} of the sample data is missing: run python3 localstack/stack.py seed")
        return self.in_stock(self.products[sku])

    def in_stock(self, product):
        """Restocks a product that earlier runs have nearly sold out."""
        if self.stock(product).get("available", 0) < 5:
            self.admin.call("POST", f"/inventory/{product['id']}/adjustments", {"delta": 10, "reason": "demo"}, key=str(uuid.uuid4()))
        return product

    def has_market(self):
        """Whether the shop has the market of the sample data, which every seeded shop has."""
        found = self.admin.call("GET", f"/markets/{MARKET}", expect=(200, 404)).status == 200
        if not found:
            print(f"  this shop has no market `{MARKET}`: python3 localstack/stack.py seed creates it")
        return found

    def sold_out(self):
        """Creates a product without stock."""
        price = {"amount": 12900, "currency": "USD"}
        product = {"name": f"Sold out {self.run}", "category": "demo", "sku": f"DEMO-{self.run}".upper(), "price": price}
        return self.admin.call("POST", "/products", product, key=f"demo-{self.run}").body

    def stock(self, product):
        answer = self.admin.call("GET", f"/inventory/{product['id']}", expect=(200, 404))
        return answer.body if answer.status == 200 else {}

    def stock_after(self, product, before, left):
        """Waits until `left` pieces are sold and nothing is held for the order, then prints the stock levels."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            stock = self.stock(product)
            if stock.get("on_hand", 0) <= before["on_hand"] - left and stock.get("available", 0) >= before["available"] - left:
                print(f"  stock after:  {levels(stock)}")
                return
            if time.monotonic() > deadline:
                raise UnexpectedResult(f"expected {left} fewer pieces than before ({levels(before)}), found {levels(stock)}")
            time.sleep(0.2)

    def digital_product(self):
        """Creates a product that is not shipped, with one piece in stock."""
        product = {"name": f"Brewing course {self.run}", "category": "demo", "sku": f"DEMO-COURSE-{self.run}".upper(), "requires_shipping": False,
                   "price": {"amount": 4900, "currency": "USD"}, "prices": [{"amount": 4500, "currency": "EUR"}]}
        created = self.admin.call("POST", "/products", product, key=f"demo-course-{self.run}").body
        self.admin.call("POST", f"/inventory/{created['id']}/adjustments", {"delta": 1, "reason": "demo"}, key=f"demo-course-{self.run}")
        return created

    def order(self, product, quantity, **more):
        """Places an order and prints its total."""
        body = {"items": [{"product_id": product["id"], "quantity": quantity}], **more}
        answer = purchase.place(self.customer, body, TIMEOUT_SECONDS)
        self.products_ordered.add(product["id"])
        print(f"  ordered {quantity} x {product['name']} for {money(answer.body.get('totals', {}).get('total'))}: {answer.body['id']}")
        return answer.body

    def cart(self, **settings):
        """Creates the cart of the customer."""
        created = self.customer.call("POST", "/carts", settings, expect=(201,)).body
        print(f"  POST /carts: 201 {created['id']}")
        return created

    def change(self, cart, caller=None, **change):
        """Changes a cart, by default that of the customer, and returns it."""
        return purchase.change_cart(caller or self.customer, cart, change, TIMEOUT_SECONDS)

    def order_cart(self, cart, **more):
        """Orders the cart of the customer, prints the total, and checks that the cart is ordered."""
        order = purchase.place(self.customer, purchase.order_of(cart, **more), TIMEOUT_SECONDS).body
        self.products_ordered |= {line["product_id"] for line in cart["lines"]}
        goods = ", ".join(f"{line['quantity']} x {line['name']}" for line in cart["lines"])
        print(f"  ordered {goods} for {money(order['totals']['total'])}: {order['id']}")
        if order["totals"] != cart["totals"]:
            raise UnexpectedResult(f"the cart costs {cart['totals']}, and the order {order['totals']}")
        answer = self.customer.call("GET", f"/carts/{cart['id']}", expect=(410,))
        print(f"  GET /carts/{{id}}: 410 {answer.code}, order {answer.body['number']}")
        if answer.body["order_id"] != order["id"]:
            raise UnexpectedResult(f"the cart should name the order {order['id']}, but answers {answer}")
        return order

    def preview(self, body):
        """Returns the price of goods. Repeats the request while orders has not yet received the rules or the product."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            answer = self.public.call("POST", "/prices/preview", body, expect=(200, 422))
            if answer.status == 200 and answer.body["price"]:
                return answer.body
            if time.monotonic() > deadline:
                raise UnexpectedResult(f"POST /prices/preview answered {answer}")
            time.sleep(0.2)

    def follow(self, order, until, meanwhile=lambda: time.sleep(0.1), timeout=TIMEOUT_SECONDS):
        """Prints each history entry as it is written, until the order reaches the expected state."""
        deadline = time.monotonic() + timeout
        while True:
            seen = self.customer.call("GET", f"/orders/{order['id']}").body
            history = seen.get("history", [])
            for line in history[self.printed.get(order["id"], 0):]:
                print(f"    {clock(line.get('at'))}  {line.get('event', '?'):18} {line.get('status', ''):10} {line.get('detail') or ''}".rstrip())
            self.printed[order["id"]] = len(history)
            if until(seen):
                return seen
            if seen["status"] in ("failed", "cancelled") or time.monotonic() > deadline:
                raise UnexpectedResult(f"order {order['id']} is in state: {state(seen)}")
            meanwhile()

    def cancel(self, order, reason, **options):
        """Cancels the order, and follows it until its stock is released and its payment refunded."""
        answer = self.customer.call("POST", f"/orders/{order['id']}/cancel", {"reason": reason})
        print(f"  POST /orders/{{id}}/cancel: {answer.status}")
        return self.follow(order, lambda seen: seen["status"] == "cancelled", **options)

    def step(self, order, name, body=None):
        """Performs an admin action on an order: `ship` or `deliver`."""
        answer = self.admin.call("POST", f"/orders/{order['id']}/{name}", body)
        print(f"  POST /orders/{{id}}/{name}: {answer.status} {answer.body['status']}")
        return self.follow(order, lambda seen: seen["status"] == answer.body["status"])

    def payment(self, order):
        return purchase.completed_payment(self.customer, order["id"])

    def statement(self, order):
        """Prints every payment of the order with its charged and refunded amounts."""
        payments = list(self.customer.items(f"/payments?order_id={order['id']}"))
        for each in payments:
            charged = each["amount"] if each["status"] == "completed" else {**each["amount"], "amount": 0}
            reason = f" ({each['failure_reason']})" if each.get("failure_reason") else ""
            print(f"  payment {each['status']}{reason}: charged {money(charged)}, refunded {money(each['refunded'])}")
        return payments

    def refund(self, payment, amount, reason):
        """Refunds an amount, or the remaining amount with None."""
        answer = purchase.refund(self.admin, payment, amount, reason, TIMEOUT_SECONDS)
        print(f"  POST /payments/{{id}}/refunds: {answer.status} {money(answer.body.get('amount')) if answer.status == 201 else answer.code}")
        return answer

    def sweep(self):
        """Runs the sweep of unsettled payments now, on a local stack."""
        if self.local:
            self.run_tool("samples.py", "reconcile-payments")
        time.sleep(0.5)

    def run_tool(self, tool, *arguments, expect=(0,)):
        """Runs a tool of the local stack and returns its output."""
        command = [sys.executable, HERE / tool, *arguments, "--name", self.local]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if result.returncode not in expect:
            raise UnexpectedResult(f"{tool} {' '.join(arguments)} failed: {(result.stderr or result.stdout).strip()}")
        return result.stdout

    def pay(self, order, token):
        answer = purchase.pay(self.customer, order["id"], token, TIMEOUT_SECONDS)
        print(f"  POST /payments with {token}: {answer.status} {answer.body.get('status') or answer.code}")
        if answer.status not in (200, 201, 202):
            raise UnexpectedResult(f"POST /payments answered {answer}")

    def mails(self, order, wanted):
        """Waits for the mails about this order and prints their subjects."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            subjects = self.caught(order) if self.mail_endpoint() else self.notified(order)
            if len(subjects) >= wanted or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        for subject in subjects:
            print(f"  mail to {self.email}: {subject}")
        if len(subjects) < wanted:
            raise UnexpectedResult(f"{wanted} mails about order {order['id']} were expected, {len(subjects)} arrived")

    def mail_endpoint(self):
        place = re.match(r"(https?://[^/]+)/_aws/execute-api/", self.public.url)
        return place and f"{place[1]}/_ministack/ses/messages"

    def caught(self, order):
        with urllib.request.urlopen(self.mail_endpoint(), timeout=10, context=self.public.context) as response:
            body = json.load(response)
        mails = [mail for account in body["messages"].values() for mail in account if self.email in mail["To"]]
        return [mail["Subject"] for mail in mails if order["id"] in json.dumps(mail)]

    def notified(self, order):
        found = [each for each in self.customer.items("/notifications") if order["id"] in json.dumps(each)]
        return [each.get("subject") or each.get("title") or each.get("template", "?") for each in reversed(found)]


def local_stack(url):
    """Returns the name of the local stack at this address, if any."""
    for file in sorted(HERE.glob(".state/*/stack.json")):
        if json.loads(file.read_text()).get("url") == url.rstrip("/"):
            return file.parent.name
    return None


def clock(instant):
    return str(instant or "")[11:23]


def levels(stock):
    return ", ".join(f"{stock[name]} {word}" for name, word in
                     (("on_hand", "on hand"), ("available", "available"), ("held", "held")) if name in stock) or "nothing"


def confirmed(order):
    return order["status"] == "confirmed"


def paid_and_delivered(demo):
    product, before = demo.product(0)
    order = demo.order(product, 2, payment_method=card("tok_ok"), shipping_address=ADDRESS)
    demo.follow(order, confirmed)
    demo.step(order, "ship", {"carrier": "Harbour Post", "tracking": f"HP-{demo.run}"})
    demo.step(order, "deliver")
    demo.stock_after(product, before, left=2)
    demo.mails(order, 3)


def declined_then_paid(demo):
    product, before = demo.product(1)
    order = demo.order(product, 1, payment_method=card("tok_declined"))
    demo.follow(order, lambda seen: seen.get("payable") and any("declined" in json.dumps(line) for line in seen.get("history", [])))
    print("  the card was declined; the order awaits another payment")
    demo.pay(order, "tok_ok")
    demo.follow(order, confirmed)
    demo.stock_after(product, before, left=1)
    demo.mails(order, 2)


def out_of_stock(demo):
    product = demo.sold_out()
    print(f"  stock before: {levels(demo.stock(product))}")
    order = demo.order(product, 1, payment_method=card("tok_ok"))
    seen = demo.follow(order, lambda seen: seen["status"] == "failed")
    nothing_charged(seen)
    demo.mails(order, 1)


def cancelled_before_payment(demo):
    product, before = demo.product(2)
    order = demo.order(product, 1)
    demo.follow(order, lambda seen: seen.get("payable"))
    seen = demo.cancel(order, "I have one already.")
    nothing_charged(seen)
    demo.stock_after(product, before, left=0)
    demo.mails(order, 1)


def cancelled_after_payment(demo):
    product, before = demo.product(3)
    order = demo.order(product, 3, payment_method=card("tok_ok"))
    demo.follow(order, confirmed)
    seen = demo.cancel(order, "It is the wrong roast.")
    if seen["payment_status"] != "refunded":
        raise UnexpectedResult(f"the payment should be refunded, but order {order['id']} is in state: {state(seen)}")
    print(f"  all {money(seen['totals']['total'])} are refunded")
    demo.stock_after(product, before, left=0)
    demo.mails(order, 3)


def charge_with_lost_answer(demo):
    product, before = demo.product(4)
    order = demo.order(product, 1, payment_method=card("tok_timeout_after_charge"))
    demo.follow(order, lambda seen: any(line.get("event") == "payment_unknown" for line in seen.get("history", [])) or confirmed(seen))
    print("  the provider charged and its answer was lost: the shop queries the outcome and does not charge again")
    demo.follow(order, confirmed, meanwhile=demo.sweep, timeout=SWEEP_SECONDS)
    print(f"  charged once: {demo.payment(order)['transaction_id']}")
    demo.stock_after(product, before, left=1)
    demo.mails(order, 1)


def cancelled_while_provider_unreachable(demo):
    product, before = demo.product(6)
    order = demo.order(product, 1, payment_method=card("tok_unreachable"))
    demo.follow(order, lambda seen: any(line.get("event") == "payment_unknown" for line in seen.get("history", [])))
    print("  the charge request timed out: the provider is unreachable, and the buyer cancels")
    seen = demo.cancel(order, "It takes too long.", meanwhile=demo.sweep, timeout=SWEEP_SECONDS)
    print("  the provider is reachable again: the shop voids the charge and does not send it again")
    nothing_charged(seen)
    for payment in demo.statement(order):
        if payment["status"] != "failed" or payment.get("transaction_id") or payment["refunded"]["amount"]:
            raise UnexpectedResult(f"payment {payment['id']} should be failed, without a charge and a refund, but it is {payment}")
    demo.stock_after(product, before, left=0)
    demo.mails(order, 1)


def refunded_in_parts(demo):
    product, before = demo.product(5)
    order = demo.order(product, 2, payment_method=card("tok_ok"))
    demo.follow(order, confirmed)
    payment = demo.payment(order)
    demo.refund(payment, 1000, "The lid was broken.")
    demo.follow(order, lambda seen: seen["payment_status"] == "partially_refunded")
    if demo.refund(payment, payment["amount"]["amount"], "The whole amount again?").code != "exceeds_refundable":
        raise UnexpectedResult("the refund exceeds the remaining amount")
    demo.refund(payment, None, "The rest was broken too.")
    demo.follow(order, lambda seen: seen["payment_status"] == "refunded")
    demo.stock_after(product, before, left=2)
    demo.mails(order, 3)


def ordered_in_market(demo):
    if not demo.has_market():
        return
    product = demo.sample_product("KET-0100")
    lines = [{"product_id": product["id"], "quantity": 2}]
    preview = demo.preview({"market": MARKET, "lines": lines, "country": "DE"})
    cheapest = preview["shipping_options"][0]
    preview = demo.preview({"market": MARKET, "lines": lines, "country": "DE", "shipping_method": cheapest["method_id"]})
    total = preview["totals"]["total"]
    order = demo.order(
        product, 2, market=MARKET, shipping_method=cheapest["method_id"], expected_total=total,
        payment_method=card("tok_ok"), shipping_address=GERMAN_ADDRESS,
    )
    print_price(order)
    if order["totals"] != preview["totals"]:
        raise UnexpectedResult(f"the preview was {preview['totals']}, and the order is {order['totals']}")
    demo.follow(order, confirmed)
    charged_once(demo, order)
    demo.mails(order, 1)


def ordered_from_cart(demo):
    """A cart has a promotion, and its buyer chooses the shipping method."""
    if not demo.has_market():
        return
    cart = demo.cart(market=MARKET, country="DE")
    kettle, beans = demo.sample_product("KET-0100"), demo.sample_product("BNS-0250")
    cart = demo.change(cart, add=[{"product_id": kettle["id"], "quantity": 1}, {"product_id": beans["id"], "quantity": 2}])
    cart = demo.change(cart, set=[{"product_id": beans["id"], "quantity": 3}], shipping_address=GERMAN_ADDRESS)
    for line in cart["lines"]:
        print(f"    {line['quantity']} x {line['name']} at {money(line['unit_price'])}")
    options = demo.customer.call("GET", f"/carts/{cart['id']}/shipping-options").body["shipping_options"]
    for option in options:
        print(f"    can be shipped by {option['name']} for {money({'amount': option['gross'], 'currency': cart['price']['currency']})}")
    cart = demo.change(cart, shipping_method=options[-1]["method_id"])
    discounts = {discount["name"] for line in cart["price"]["lines"] for discount in line["discounts"]}
    if not discounts or not cart["totals"]["shipping"]["amount"]:
        raise UnexpectedResult(f"the cart should have a promotion and shipping, but costs {cart['totals']} with {discounts or 'no promotion'}")
    print(f"    promotions: {', '.join(sorted(discounts))}")
    order = demo.order_cart(cart, payment_method=card("tok_ok"))
    print_price(order)
    demo.follow(order, confirmed)
    charged_once(demo, order)
    demo.mails(order, 1)


def free_order(demo):
    """A promotion of 100 % reduces the total to 0. It is deleted at the end, so the shop sells at its usual prices again."""
    if not demo.has_market():
        return
    product = demo.digital_product()
    promotion = {"name": f"Free course {demo.run}", "markets": [MARKET], "target": "line", "percent_bp": 10000, "products": [product["id"]]}
    promotion = demo.admin.call("POST", "/promotions", promotion, key=f"demo-free-{demo.run}").body
    print(f"  POST /promotions: 100 % of {product['name']}")
    try:
        cart = demo.change(demo.cart(market=MARKET, country="DE"), add=[{"product_id": product["id"], "quantity": 1}], billing_address=GERMAN_ADDRESS)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while cart["totals"]["total"]["amount"]:
            if time.monotonic() > deadline:
                raise UnexpectedResult(f"the cart should be free, but costs {cart['totals']}")
            time.sleep(0.2)
            cart = demo.customer.call("GET", f"/carts/{cart['id']}").body
        order = demo.order_cart(cart)
        demo.follow(order, confirmed)
        body = {"order_id": order["id"], "payment_method": card("tok_ok")}
        answer = demo.customer.call("POST", "/payments", body, key=str(uuid.uuid4()), expect=(404,))
        print(f"  POST /payments: 404 {answer.code}, because the order has no payment")
        demo.mails(order, 1)
    finally:
        path = f"/promotions/{promotion['id']}"
        demo.admin.call("DELETE", path, if_match=demo.admin.call("GET", path).headers["ETag"])
        print("  DELETE /promotions/{id}: the course has its price again")


def guest_cart_merged(demo):
    """A guest fills a cart, logs in, and orders it together with the lines of their own cart."""
    first, before = demo.product(7)
    second, _ = demo.product(8)
    created = demo.public.call("POST", "/carts", {}, expect=(201,)).body
    guest = demo.public.with_cart(created["cart_token"])
    demo.change(created, guest, add=[{"product_id": first["id"], "quantity": 2}])
    print(f"  a guest put 2 x {first['name']} into {created['id']}")
    mine = demo.change(demo.cart(), add=[{"product_id": first["id"], "quantity": 1}, {"product_id": second["id"], "quantity": 1}])
    merge = lambda: demo.customer.with_cart(created["cart_token"]).call("POST", f"/carts/{mine['id']}/merge").body
    cart = merge()
    quantities = {line["product_id"]: line["quantity"] for line in cart["lines"]}
    print("  POST /carts/{id}/merge: " + ", ".join(f"{line['quantity']} x {line['name']}" for line in cart["lines"]))
    if quantities != {first["id"]: 3, second["id"]: 1} or merge()["version"] != cart["version"]:
        raise UnexpectedResult(f"the carts should be merged once, but the cart has {quantities}")
    gone = guest.call("GET", f"/carts/{created['id']}", expect=(404,))
    print(f"  GET /carts/{{id}} by the guest: 404 {gone.code}, because the cart is merged")
    order = demo.order_cart(cart, payment_method=card("tok_ok"))
    demo.follow(order, confirmed)
    demo.stock_after(first, before, left=3)
    demo.mails(order, 1)


def charged_once(demo, order):
    """Checks that the buyer paid what the order costs."""
    charged, total = demo.payment(order)["amount"], order["totals"]["total"]
    if charged != total:
        raise UnexpectedResult(f"the order costs {money(total)}, and {money(charged)} were charged")


def print_price(order):
    """Prints how the total of an order in a market was computed."""
    totals, price = order["totals"], order["price"]
    amount = lambda value: money({"amount": value, "currency": price["currency"]})
    print(f"    order {order['number']}: goods {money(totals['items'])} after discounts of {amount(price['discount_total'])}")
    print(f"    {price['shipping']['name']} {money(totals['shipping'])}")
    for row in price["tax_summary"]:
        print(f"    {row['name']} {row['ppm'] / 10_000:g} % in {row['jurisdiction']} {amount(row['amount'])}, {'included' if price['basis'] == 'gross' else 'added'}")


def nothing_charged(order):
    if order.get("payment_status") != "unpaid":
        raise UnexpectedResult(f"nothing should be charged, but order {order['id']} is in state: {state(order)}")
    print("  nothing was charged")


def check_reconciliation(demo):
    """Reconciles orders, payments, stock, the provider and the ledger, once the last entry is recorded."""
    since = ("--since", demo.began.isoformat())
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        reports = [json.loads(line) for line in demo.run_tool("reconcile.py", "--json", *since, expect=(0, 1, 2)).splitlines()]
        unbalanced = {row["order_id"] for report in reports for row in report["unbalanced"]}
        unbalanced |= {row["product_id"] for report in reports for row in report["products"] if row["state"] == "unbalanced"}
        in_flight = {row["order_id"] for report in reports for row in report["unsettled"]}
        in_flight |= {row["product_id"] for report in reports for row in report["products"]} - unbalanced
        ours = set(demo.printed) | demo.products_ordered
        if not ours & (unbalanced | in_flight) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    print("".join(f"  {line}\n" for line in demo.run_tool("reconcile.py", *since, expect=(0, 1, 2)).splitlines()), end="")
    if ours & unbalanced:
        raise UnexpectedResult(f"the records of {', '.join(sorted(ours & unbalanced))} do not reconcile")
    if ours & in_flight:
        print(f"  still in flight, not reconciled yet: {', '.join(sorted(ours & in_flight))}")


SCENARIOS = (
    ("an order is paid, shipped and delivered", paid_and_delivered),
    ("a card is declined, another one pays", declined_then_paid),
    ("a product is out of stock", out_of_stock),
    ("the buyer cancels before payment", cancelled_before_payment),
    ("the buyer cancels after payment", cancelled_after_payment),
    ("the provider charges and its answer is lost", charge_with_lost_answer),
    ("the provider is unreachable and the buyer cancels", cancelled_while_provider_unreachable),
    ("a payment is refunded in two parts", refunded_in_parts),
    ("an order in a market has a discount, shipping and tax", ordered_in_market),
    ("a cart with a promotion and shipping is ordered", ordered_from_cart),
    ("an order of total 0 needs no payment", free_order),
    ("a guest's cart is merged at login and ordered", guest_cart_merged),
)


def main():
    parser = Parser(description=__doc__)
    parser.add_argument("url", help="the API's address, with /v1")
    parser.add_argument("--admin", nargs=2, metavar=("EMAIL", "PASSWORD"), help="default: the admin of the sample data")
    args = parser.parse_args()
    started = time.monotonic()
    try:
        demo = Demo(args.url, args.admin)
        scenarios = SCENARIOS + ((("all records reconcile", check_reconciliation),) if demo.local else ())
        for number, (title, scenario) in enumerate(scenarios, 1):
            print(f"\n{number}. {title}", flush=True)
            scenario(demo)
    except (ApiError, UnexpectedResult) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    print(f"\nAll {len(scenarios)} scenarios ended as expected, in {time.monotonic() - started:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
