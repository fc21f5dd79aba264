#!/usr/bin/env python3
"""Runs one purchase against a deployment, from registration to refund, only through its public API.

    smoke.py                      the local stack, with the admin of the sample data
    smoke.py --url URL            any deployment; the admin is ADMIN_EMAIL and ADMIN_PASSWORD of the environment
    smoke.py --stack NAME         a stack on AWS: reads its address, and creates an admin for this run with grant-role
    smoke.py --config FILE        the same for the stack of a samconfig.toml; without payment where Stage is prod
    smoke.py --url URL --pay no   ends with a cancellation before payment: a live Stripe key rejects test cards

It buys a product of its own, so no stock of the shop is sold: in the first market with a tax rate, because a production shop sells only
in markets, or at the price of the catalogue if the shop has none. It leaves nothing behind: the order is cancelled and refunded, the product
archived, the accounts deleted. After a failure it removes what it can and prints the rest. The test card is that of the
provider: --token selects another one. The exit code is 1 if a step fails. The address of the buyer is one of the mailbox simulator of SES.
"""

import json
import os
import sys
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path

import answers as config
import deployment
import purchase
import stack as local
from arguments import Parser
from client import Api, ApiError, money
from deployment import CommandError
from demo import local_stack
from purchase import UnexpectedResult, state

HERE = Path(__file__).parent
CARDS = {"simulated": "tok_ok", "stripe": "pm_card_visa"}
# The simulator of SES accepts these mails. They do not bounce, and do not count towards the reputation of the sender.
ADDRESS = "success+{}@simulator.amazonses.com"
PRICE = {"amount": 100, "currency": "USD"}  # without a market. Stripe charges at least 50 cents
BILLING_ADDRESS = {"name": "Smoke Test", "line1": "1 Test Street", "city": "Test", "postal_code": "10115"}
PIECES = 2
# The stock is below this threshold from the start, so it never falls to it, and the operator receives no mail.
LOW_STOCK_THRESHOLD = 1000
PAUSE_SECONDS = 0.2


class StepFailed(Exception):
    """A step failed. The message says which one and why."""


class Smoke:
    """One run. Each step is a method that returns what it found, in a few words."""

    def __init__(self, url, timeout, token=None):
        self.run, self.trace = uuid.uuid4().hex[:10], uuid.uuid4().hex
        self.timeout, self.token = timeout, token
        self.last = ""  # the last request and its answer
        headers = {"traceparent": f"00-{self.trace}-{uuid.uuid4().hex[:16]}-01"}
        self.public = Api(url, headers=headers, observe=self.observe)
        self.admin = self.buyer = self.login = self.market = self.cart = self.order = self.product = self.payment = None
        self.passwords, self.clients = {}, {}  # of the accounts that this run has created, by address

    def observe(self, method, path, answer):
        self.last = f"{method} {path.split('?')[0]} answered {answer.status}, request id {answer.request_id or 'missing'}"

    def until(self, read, done, expected):
        """Reads until `done`, and returns what was read last."""
        deadline = time.monotonic() + self.timeout
        while True:
            seen = read()
            if done(seen):
                return seen
            if time.monotonic() > deadline:
                raise UnexpectedResult(f"expected {expected} within {self.timeout} s")
            time.sleep(PAUSE_SECONDS)

    def order_until(self, done, expected):
        deadline = time.monotonic() + self.timeout
        while True:
            self.order = self.buyer.call("GET", f"/orders/{self.order['id']}").body
            if done(self.order):
                return self.order
            if time.monotonic() > deadline:
                raise UnexpectedResult(f"order {self.order['id']} should be {expected} within {self.timeout} s, but has {state(self.order)}")
            if self.order["status"] in ("failed", "cancelled"):
                raise UnexpectedResult(f"order {self.order['id']} should be {expected}, but has {state(self.order)} ({self.order['reason']})")
            time.sleep(PAUSE_SECONDS)

    def new_account(self, kind):
        """Registers an account and returns its address and password."""
        email, password = ADDRESS.format(f"{kind}-{self.run}"), f"smoke-{uuid.uuid4()}"
        body = {"email": email, "username": f"smoke-{kind}-{self.run}", "full_name": "Smoke Test", "password": password}
        self.public.call("POST", "/users", body, expect=(201,))
        self.passwords[email] = password
        return email, password

    def log_in(self, email, password):
        self.clients[email] = self.public.log_in(email, password)
        return self.clients[email]

    # --- the steps -----------------------------------------------------------------------------------------------------

    def health(self):
        health = self.public.call("GET", "/health", expect=(200, 503)).body
        if health["status"] != "healthy":
            raise UnexpectedResult(f"the shop should be healthy, but is {health['status']}: {', '.join(health.get('unhealthy', []))}")
        return f"{len(health['services'])} services are healthy"

    def register(self):
        self.login = self.new_account("buyer")
        return self.login[0]

    def log_in_buyer(self):
        self.buyer = self.log_in(*self.login)
        seen = self.buyer.call("GET", "/users/me").body
        if seen["email"] != self.login[0]:
            raise UnexpectedResult("the profile should have the registered address")
        return seen["id"]

    def create_product(self):
        """Creates a product that is not shipped, so its order needs no shipping method."""
        self.market, self.address = self.choose_market()
        price = {"amount": max(PRICE["amount"], 2 * self.market["minimum_charge"]), "currency": self.market["currency"]} if self.market else PRICE
        body = {"name": f"Smoke test {self.run}", "category": "smoke-test", "sku": f"SMOKE-{self.run}".upper(), "price": price,
                "requires_shipping": False}
        self.product = self.admin.call("POST", "/products", body, key=f"smoke-{self.run}").body
        self.adjust_stock(PIECES, low_stock_threshold=LOW_STOCK_THRESHOLD)
        self.await_product(200, "in the catalogue")
        return self.product["id"]

    def choose_market(self):
        """Returns the first market that taxes a destination now, and an address there. Without one, the cart has no market."""
        now = datetime.now(timezone.utc).isoformat()
        for market in self.admin.items("/markets"):
            rates = [rate for rate in self.admin.items(f"/markets/{market['id']}/tax-rates") if rate["tax_class"] == "standard" and
                     rate["country"] in market["countries"] and rate["valid_from"] <= now]
            if rates:
                rate = max(rates, key=lambda rate: rate["region"] is not None)  # a country with regional rates requires a region
                return market, BILLING_ADDRESS | {name: rate[name] for name in ("country", "region") if rate[name]}
        return None, None

    def await_product(self, status, expected):
        """Waits until visitors see the change of the product: the gateway may cache products."""
        path = f"/products/{self.product['id']}"
        self.until(lambda: self.public.call("GET", path, expect=(200, 404)).status, lambda seen: seen == status,
                   f"product {self.product['id']} {expected}")

    def fill_cart(self):
        body = {"market": self.market["id"]} if self.market else {}
        self.cart = self.buyer.call("POST", "/carts", body, expect=(201,)).body
        change = {"add": [{"product_id": self.product["id"], "quantity": 1}]} | ({"billing_address": self.address} if self.market else {})
        self.cart = purchase.change_cart(self.buyer, self.cart, change, self.timeout)
        if self.cart["refusals"] or not self.cart["totals"]:
            codes = ", ".join(refusal["code"] for refusal in self.cart["refusals"])
            raise UnexpectedResult(f"the cart {self.cart['id']} should be ready to order, but is refused: {codes or 'no total'}")
        place = f" in the market {self.market['id']}" if self.market else ""
        return f"{self.cart['id']} for {money(self.cart['totals']['total'])}{place}"

    def place_order(self):
        self.order = purchase.place(self.buyer, purchase.order_of(self.cart), self.timeout).body
        if self.order["totals"] != self.cart["totals"]:
            raise UnexpectedResult(f"the order should cost {self.cart['totals']} like its cart, but costs {self.order['totals']}")
        return f"{self.order['id']} for {money(self.order['totals']['total'])}"

    def await_payable(self):
        self.order_until(lambda order: order["payable"], "payable")
        return "its stock is reserved"

    def pay(self):
        token = self.token or CARDS[self.provider()]
        answer = purchase.pay(self.buyer, self.order["id"], token, self.timeout)
        if answer.status not in (200, 201, 202) or answer.body["status"] == "failed":
            why = answer.code or answer.body.get("failure_reason")
            raise UnexpectedResult(f"the payment with {token} should succeed, but failed ({why}); a live Stripe key rejects test cards:"
                                   " then run it with PAY=no")
        return f"{token}: {answer.body['status']}"

    def provider(self):
        """Returns the name of the payment provider: each one has a webhook, and others answer 404. The unsigned event is rejected."""
        for name in CARDS:
            if self.public.call("POST", f"/webhooks/payments/{name}", {}, expect=(200, 400, 404)).status != 404:
                return name
        raise UnexpectedResult(f"the payment provider should be {' or '.join(CARDS)}: name a test card of another one with TOKEN=")

    def await_confirmed(self):
        self.order_until(lambda order: order["status"] == "confirmed", "confirmed")
        self.payment = purchase.completed_payment(self.buyer, self.order["id"])
        return f"{self.payment['transaction_id']} charged {money(self.payment['amount'])}"

    def await_notification(self, template):
        def found():
            return [each for each in self.buyer.items("/notifications") if each.get("order_id") == self.order["id"] and
                    each["template"] == template and each["delivery"] != "pending"]

        notification = self.until(found, bool, f"the notification {template}")[0]
        if notification["delivery"] not in ("sent", "suppressed"):  # suppressed: SES suppresses the whole simulator in some accounts
            raise UnexpectedResult(f"the mail {template} should be sent, but its delivery is {notification['delivery']}")
        return f"{template}: {notification['delivery']}"

    def refund_part(self):
        part = self.payment["amount"]["amount"] // 4
        answer = purchase.refund(self.admin, self.payment, part, "Smoke test.", self.timeout)
        if answer.status != 201:
            raise UnexpectedResult(f"the refund should succeed, but POST /payments/{{id}}/refunds answered {answer}")
        self.order_until(lambda order: order["payment_status"] == "partially_refunded", "partially refunded")
        return f"{money(answer.body['amount'])} of {money(self.payment['amount'])}"

    def cancel_order(self):
        """Cancels the order: the shop refunds the rest and returns the stock."""
        self.buyer.call("POST", f"/orders/{self.order['id']}/cancel", {"reason": "Smoke test."})
        settled = "refunded" if self.payment else "unpaid"
        self.order_until(lambda order: order["status"] == "cancelled" and order["payment_status"] == settled, f"cancelled and {settled}")
        self.until(lambda: self.admin.call("GET", f"/inventory/{self.product['id']}").body,
                   lambda stock: stock["available"] == PIECES and not stock["held"], f"{PIECES} pieces of {self.product['id']} in stock again")
        return f"{settled}, its stock is returned"

    def archive_product(self):
        self.adjust_stock(-PIECES)
        product = self.admin.call("GET", f"/products/{self.product['id']}")
        self.admin.call("DELETE", f"/products/{self.product['id']}", if_match=product.headers["ETag"])
        self.await_product(404, "no longer in the catalogue")
        archived, self.product = self.product["id"], None
        return f"{archived} is archived, without stock"

    def adjust_stock(self, delta, **settings):
        self.admin.call("POST", f"/inventory/{self.product['id']}/adjustments", {"delta": delta, "reason": "smoke test"} | settings,
                        key=f"smoke-{self.run}-{delta}")

    def delete_accounts(self):
        """Deletes the accounts of this run, and waits until the order has no personal data."""
        self.delete_account(self.login[0])
        path = f"/orders/{self.order['id']}"
        self.until(lambda: self.admin.call("GET", path).body, lambda seen: seen["buyer"] is None, f"order {self.order['id']} without its buyer")
        for email in list(self.passwords):
            self.delete_account(email)
        return "the order keeps no personal data"

    def delete_account(self, email):
        client = self.clients.get(email) or self.log_in(email, self.passwords[email])
        client.call("DELETE", "/users/me")
        client.call("GET", "/users/me", expect=(401,))
        del self.passwords[email]

    # --- after a failure -----------------------------------------------------------------------------------------------

    def clean_up(self):
        """Removes what a failed run has created. Returns what is left, with the reason."""
        left = []

        def attempt(what, step):
            try:
                step()
            except (ApiError, UnexpectedResult, KeyError) as error:
                left.append(f"{what} ({error})")

        if self.order and self.order.get("status") not in ("cancelled", "failed"):
            attempt(f"order {self.order['id']}", self.cancel_order)
        if self.product and self.admin:
            attempt(f"product {self.product['id']}", self.archive_product)
        for email in list(self.passwords):
            attempt(f"account {email}", lambda: self.delete_account(email))
        return left


def steps(smoke, pays):
    """The steps in order: name and function."""
    before = [("health", smoke.health), ("register", smoke.register), ("log in", smoke.log_in_buyer), ("product", smoke.create_product),
              ("cart", smoke.fill_cart), ("order", smoke.place_order), ("payable", smoke.await_payable)]
    paid = [("pay", smoke.pay), ("confirmed", smoke.await_confirmed), ("notification", lambda: smoke.await_notification("order_confirmed")),
            ("refund", smoke.refund_part), ("cancel", smoke.cancel_order)]
    unpaid = [("cancel", smoke.cancel_order), ("notification", lambda: smoke.await_notification("order_cancelled"))]
    return before + (paid if pays else unpaid) + [("archive", smoke.archive_product), ("delete account", smoke.delete_accounts)]


def run(smoke, admin, pays, logs="make logs"):
    """Runs all steps, each with one line. Raises StepFailed for the first one that fails."""
    chosen = [("admin", lambda: admin(smoke)), *steps(smoke, pays)]
    for number, (name, step) in enumerate(chosen, 1):
        began = time.monotonic()
        smoke.last = ""
        try:
            found = step()
        except (ApiError, UnexpectedResult, CommandError, KeyError) as error:
            reason = f"{error.args[0]} is missing in the answer" if isinstance(error, KeyError) else str(error).rstrip(".")
            request = f" The last request: {smoke.last}." if smoke.last else ""
            raise StepFailed(f"step {number} of {len(chosen)} ({name}) failed after {time.monotonic() - began:.1f} s: {reason}.{request}"
                             f" Its logs: {logs} TRACE={smoke.trace}") from error
        print(f"{number:3}/{len(chosen)}  {name:14} {time.monotonic() - began:6.2f} s  {found}", flush=True)


# --- the admin -----------------------------------------------------------------------------------------------------------


def given_admin(email, password):
    """An admin that exists."""
    def log_in(smoke):
        smoke.admin = smoke.log_in(email, password)
        if smoke.admin.call("GET", "/users/me").body["role"] != "admin":
            raise UnexpectedResult(f"{email} should have the role admin: grant it with grant-role")
        return "logged in"

    return log_in


def admin_of_this_run(shop):
    """An admin that is registered for this run and deleted at its end: grant-role is authorized by IAM, so there is no password to keep."""
    def create(smoke):
        email, password = smoke.new_account("admin")
        smoke.admin = smoke.log_in(email, password)  # deletes the account if the next call fails
        payload = json.dumps({"email": email, "role": "admin"})
        result = shop.client("lambda").invoke(FunctionName=shop.function("grant-role"), Qualifier=deployment.ALIAS, Payload=payload)
        if result.get("FunctionError"):
            raise UnexpectedResult(f"grant-role failed: {result['Payload'].read().decode()}")
        smoke.admin = smoke.log_in(email, password)
        return "created for this run"

    return create


def admin_of(url):
    """The admin of the environment, or that of the sample data on a local stack."""
    email, password = os.environ.get("ADMIN_EMAIL"), os.environ.get("ADMIN_PASSWORD")
    if email and password:
        return given_admin(email, password)
    if not local_stack(url):
        raise CommandError("The smoke test needs an admin: set ADMIN_EMAIL and ADMIN_PASSWORD, or name the stack with ARGS=\"--stack NAME\".")
    known = json.loads((HERE / "sample-data.json").read_text())["users"]["admin"]
    return given_admin(known["email"], known["password"])


def address_of(shop):
    stacks = shop.client("cloudformation").describe_stacks(StackName=shop.name)["Stacks"]
    return next(each["OutputValue"] for each in stacks[0]["Outputs"] if each["OutputKey"] == "ApiUrl")


def chosen(args):
    """Selects the stack on AWS, and whether the run pays: the provider of a production stack accepts no test card."""
    if not args.config:
        args.pay = args.pay or "yes"
        return deployment.chosen(args)
    answers = config.read(args.config)
    if not answers:
        raise CommandError(f"There is no file {args.config}: write it with make deploy CONFIG={args.config}.")
    args.pay = args.pay or ("no" if answers.parameters.get("Stage") == "prod" else "yes")
    return deployment.Deployment(answers.stack, deployment.clients(answers.region))


def address_of_the_local_stack():
    stack = local.Stack("local")
    stack.must_be_deployed()
    return stack.state["url"]


# --- the command ---------------------------------------------------------------------------------------------------------


def smoke(shop, args):
    url = args.url or (address_of(shop) if shop else address_of_the_local_stack())
    admin = admin_of_this_run(shop) if shop else admin_of(url)
    journey, began = Smoke(url, args.timeout, args.token), time.monotonic()
    logs = f'make logs ARGS="--stack {shop.name}"' if shop else "make logs"
    try:
        run(journey, admin, args.pay != "no", logs)
    except (StepFailed, KeyboardInterrupt) as failure:
        print(f"error: {failure if isinstance(failure, StepFailed) else 'interrupted'}", file=sys.stderr)
        for each in journey.clean_up():
            print(f"left behind: {each}", file=sys.stderr)
        return 1
    print(f"All steps passed in {time.monotonic() - began:.1f} s. Trace {journey.trace}.")
    return 0


def main(given=None):
    parser = Parser(description=__doc__)
    parser.add_argument("--url", help="the API's address, with /v1 (default: that of the stack or of the local stack)")
    parser.add_argument("--stack", help="a stack on AWS, whose admin is created for this run and deleted")
    parser.add_argument("--token", help="a test card of the provider (default: tok_ok or pm_card_visa)")
    parser.add_argument("--config", type=Path, help="the settings of make deploy, which name the stack")
    parser.add_argument("--pay", choices=["yes", "no"], help="no ends with a cancellation before payment (default: yes)")
    parser.add_argument("--timeout", type=int, default=60, help="seconds that the shop has for each step (default: %(default)s)")
    args = parser.parse_args(given)
    if args.stack or args.config:
        return deployment.main(parser, smoke, chosen)
    try:
        return smoke(None, args)
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
