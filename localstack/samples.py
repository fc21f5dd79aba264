#!/usr/bin/env python3
"""Invokes functions with the sample events in events/, adapted to the running local stack.

    samples.py create-order              one function with its sample
    samples.py create-order --via docker the same in Lambda's image, with sam local
    samples.py get-order --event FILE    another event, sent unchanged
    samples.py --all                     all samples in alphabetical order, but check-release, which needs CodeDeploy; fails if a sample fails or
                                         the records do not balance

A file cannot contain the ids, tokens, versions and secrets of a running stack. So this tool creates a user, a product and an order through
the public API, in the state that the operation needs, and replaces the ids in the sample. Samples therefore succeed, can be repeated, and
leave stock, payments and the ledger balanced.
"""

import base64
import difflib
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import uuid
from datetime import datetime, timezone
from pathlib import Path

from arguments import Parser
import deployment
import stack as local
from deployment import CommandError

EVENTS = local.ROOT / "events"
# The ids that the files in events/ use.
USER = "usr_0199c2a8-0000-7000-8000-000000000001"
SESSION = "ses_0199c2a8-0000-7000-8000-0000000000d1"
PRODUCTS = ("prd_0199c2a8-0000-7000-8000-00000000000a", "prd_0199c2a8-0000-7000-8000-00000000000b")
ORDER = "ord_0199c2a8-0000-7000-8000-0000000000f1"
PAYMENT = "pay_0199c2a8-0000-7000-8000-0000000000f1_0199c2a8-0000-7000-8000-0000000000a1"
MARKET = "samples"
# The rules in the samples: their ids, where they are listed, and the sample that creates one.
RULES = {
    "shipping method": ("shp_f59ab468-833f-8415-9587-1e3b6b3e0864", "/markets/samples/shipping-methods", "create-shipping-method"),
    "tax rate": ("tax_e242814a-bca0-8922-b63c-6a0a0e075691", "/markets/samples/tax-rates", "create-tax-rate"),
    "promotion": ("prm_1c53f33b-ff1f-8847-9cc2-2f0cd7ec3e1f", "/promotions", "create-promotion"),
}
# The carts in the samples: the token of a guest's cart, and the cart of Ada.
GUEST_CART, GUEST_SECRET = "crt_0199c2a8-0000-7000-8000-0000000000b1", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
OWN_CART = "crt_0199c2a8-0000-7000-8000-0000000000b2"
NOTIFICATION = "ntf_01a1fd82-2c63-8000-8000-0000000000e1"
ADDRESS = "adr_0a003f9f-40a1-8745-8367-7d60c61dde1a"
TOTAL = "5998"
TRACE = "0af7651916cd43dd8448eb211c80319c"
# The state of the order in a sample. Commands that release stock or refund money refer to a cancelled order, which they do not change. They
# would release the stock of a paid order.
ORDER_STATES = {
    "ship-order": "paid", "deliver-order": "shipped", "cancel-order": "open", "create-payment": "open", "publish-order-events": "open",
    "publish-payment-events": "open", "release-stock": "cancelled", "cancel-payment": "cancelled", "refund-payment": "cancelled",
}
# These samples refer to an unknown user: they would erase data that other samples need.
NOT_ABOUT_ADA = ("forget-recipient",)
# The emulator has no CodeDeploy, which this operation calls. tests/stores/platform.rs has one in memory.
NOT_ON_THE_EMULATOR = ("check-release",)
SECONDS = 60


def sample(operation):
    file = EVENTS / f"{operation}.json"
    known = sorted(path.stem for path in EVENTS.glob("*.json"))
    if operation not in known:
        near = difflib.get_close_matches(operation, known, n=1, cutoff=0.4)
        raise CommandError(f"There is no operation {operation}. " + (f"Did you mean {near[0]}?" if near else f"OP is one of {', '.join(known)}."))
    return json.loads(file.read_text())


def body_of(event):
    return json.loads(event.get("body") or "{}")


class Samples:
    def __init__(self, stack):
        self.stack, self.public = stack, stack.api()
        self.register = body_of(sample("register-user"))
        self.replaced = []
        users = local.sample()["users"]
        self.admin = self.public.log_in(users["admin"]["email"], users["admin"]["password"])
        self.log_in()

    # --- Ada ---------------------------------------------------------------------------------------------------------

    def log_in(self):
        """Logs in as Ada, with any of the passwords that samples set. Registers her if her account is deleted."""
        passwords = [self.register["password"], body_of(sample("change-password"))["new_password"],
                     body_of(sample("confirm-password-reset"))["new_password"]]
        # The one that worked last comes first: each wrong one counts against the limit of failed logins.
        kept = self.stack.state.get("samples", {}).get("password")
        passwords.sort(key=lambda password: password != kept)
        self.public.register(self.register)
        for password in passwords:
            answer = self.public.call("POST", "/users/login", {"email": self.register["email"], "password": password}, expect=(200, 401))
            if answer.status == 200:
                self.password, self.ada = password, self.public.as_caller(answer.body["access_token"], answer.body["refresh_token"])
                self.me = self.ada.call("GET", "/users/me")
                if password != kept:
                    self.stack.save(samples=self.stack.state.get("samples", {}) | {"password": password})
                return
        raise CommandError(f"{self.register['email']} has a password that no sample uses: run make down, then make up.")

    def fresh_ada(self):
        """Deletes Ada's account and registers her again, because only a new account has a verification link."""
        self.ada.call("DELETE", "/users/me")
        self.log_in()

    def mailed_token(self, page, since):
        """Returns the token of the newest link to `page` in a mail to Ada, ignoring the first `since` mails."""
        def found():
            tokens = [match[1] for mail in self.mails()[since:] if self.register["email"] in mail["To"]
                      and (match := re.search(rf"{page}#token=([\w.-]+)", json.dumps(mail)))]
            return tokens and tokens[-1]

        return local.wait_for(f"The mail with a link to {page}", found, SECONDS, 0.2)

    def mails(self):
        with urllib.request.urlopen(f"{self.stack.endpoint}/_ministack/ses/messages", timeout=10) as response:
            return [mail for account in json.load(response)["messages"].values() for mail in account]

    # --- records for the samples -------------------------------------------------------------------------------------

    def product(self):
        """Returns an active product with stock: that of the samples, or a new one if a sample has archived it."""
        kept = self.stack.state.get("samples", {}).get("product")
        answer = self.public.call("GET", f"/products/{kept}", expect=(200, 404)) if kept else None
        if answer and answer.status == 200 and answer.body["active"]:
            return self.stocked(answer.body)
        body = body_of(sample("create-product")) | {"sku": f"SAMPLE-{uuid.uuid4().hex[:8].upper()}"}
        product = self.admin.call("POST", "/products", body, key=str(uuid.uuid4())).body
        self.stack.save(samples=self.stack.state.get("samples", {}) | {"product": product["id"]})
        return self.stocked(product)

    def stocked(self, product):
        answer = self.admin.call("GET", f"/inventory/{product['id']}", expect=(200, 404))
        if answer.status == 404 or answer.body.get("available", 0) < 20:
            self.admin.call("POST", f"/inventory/{product['id']}/adjustments", {"delta": 100, "reason": "For the samples"}, key=str(uuid.uuid4()))
        return product

    def market(self):
        """Creates the market of the samples unless it exists."""
        if self.admin.call("GET", f"/markets/{MARKET}", expect=(200, 404)).status == 404:
            self.admin.call("POST", "/markets", body_of(sample("create-market")), key=str(uuid.uuid4()))

    def rules(self, path):
        """Returns the rules of the market of the samples."""
        return [each for each in self.admin.items(path) if each.get("markets", [MARKET]) == [MARKET]]

    def rule(self, path, created_by):
        """Returns a rule of the market of the samples: an existing one, or a new one."""
        self.market()
        existing = self.rules(path)
        return existing[0] if existing else self.admin.call("POST", path, body_of(sample(created_by)), key=str(uuid.uuid4())).body

    def version(self, path):
        return self.admin.call("GET", path).headers["ETag"]

    def order(self, state):
        """Returns an order of Ada in this state: the previous one if it is still in the state, else a new one."""
        kept = self.stack.state.get("samples", {}).get(state)
        if kept:
            answer = self.ada.call("GET", f"/orders/{kept}", expect=(200, 404))
            if answer.status == 200 and is_in(answer.body, state):
                return answer.body
        order = self.make(state)
        self.stack.save(samples=self.stack.state.get("samples", {}) | {state: order["id"]})
        return order

    def make(self, state):
        if state == "shipped":
            order = self.order("paid")
            self.admin.call("POST", f"/orders/{order['id']}/ship", body_of(sample("ship-order")))
            return self.reaches(order, state)
        if state == "cancelled":
            order = self.order("open")
            self.ada.call("POST", f"/orders/{order['id']}/cancel", body_of(sample("cancel-order")))
            return self.reaches(order, state)
        self.end_unpaid_orders()
        body = body_of(sample("create-order")) | {"items": [{"product_id": self.product()["id"], "quantity": 2}]}
        if state == "open":
            body.pop("payment_method")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self.ada.call("POST", "/orders", body, key=str(uuid.uuid4()), expect=(201, 409, 422))
            if answer.status == 201:
                return self.reaches(answer.body, state)
            if answer.code not in ("unknown_product", "too_many_unpaid_orders") or time.monotonic() > deadline:
                raise CommandError(f"POST /orders answered {answer}.")
            time.sleep(0.3)

    def end_unpaid_orders(self):
        """Cancels Ada's unpaid orders, whose number per account is limited."""
        for order in list(self.ada.items("/orders?status=pending")):
            self.ada.call("POST", f"/orders/{order['id']}/cancel", {"reason": "Replaced by another sample"}, expect=(202, 409))

    def reaches(self, order, state):
        def there():
            seen = self.ada.call("GET", f"/orders/{order['id']}").body
            return is_in(seen, state) and seen

        return local.wait_for(f"Order {order['id']}, which should become {state},", there, SECONDS, 0.2)

    def payment(self, order):
        """Returns the completed payment of an order. Payments receives the order shortly after the response to its buyer."""
        answer = self.ada.call("GET", f"/payments?order_id={order['id']}", expect=(200, 404))
        paid = [each for each in answer.body.get("items", []) if each["status"] == "completed"]
        return paid[0] if paid else None

    # --- adapting a sample -------------------------------------------------------------------------------------------

    def adapted(self, operation):
        event = sample(operation)
        self.replaced = []
        prepare = getattr(self, "for_" + operation.replace("-", "_"), None)
        if prepare:
            event = prepare(event)
        text = json.dumps(event)
        for what, there, here in self.replacements(operation, event, text):
            there, here = (json.dumps(each or "")[1:-1] for each in (there, here))  # as JSON writes them
            if there and there in text and there != here:
                text = text.replace(there, here)
                self.replaced += [what] if there != TRACE else []
        if self.replaced:
            local.say(f"sending {', '.join(dict.fromkeys(self.replaced))} in place of the sample's")
        return json.loads(text)

    def replacements(self, operation, event, text):
        headers, body = event.get("headers") or {}, body_of(event)
        target = None
        if ORDER in text or PAYMENT in text:
            order = self.order(ORDER_STATES.get(operation, "paid"))
            payment, target = self.payment(order), order["id"]
            yield f"the order {order['id']}", ORDER, order["id"]
            if payment:
                yield f"its payment {payment['id']}", PAYMENT, payment["id"]
                yield "its transaction", "ch_0199c2a80000700080000000000000a1", payment["transaction_id"]
            if "If-Match" in headers:
                yield "its version", headers["If-Match"], self.ada.call("GET", f"/orders/{order['id']}").headers["ETag"]
            yield "the order's total", TOTAL, str(order["totals"]["total"]["amount"])
        if PRODUCTS[0] in text:
            product = self.product()
            target = target or product["id"]
            yield f"the product {product['id']}", PRODUCTS[0], product["id"]
            yield "the product", PRODUCTS[1], product["id"]
            if event.get("path", "").startswith("/products/"):
                yield "its version", headers.get("If-Match"), self.public.call("GET", f"/products/{product['id']}").headers["ETag"]
        elif ADDRESS in text:
            address, version = self.address()
            yield f"the address {address}", ADDRESS, address
            yield "the version of the address book", headers.get("If-Match"), version
        elif any(there in text for there, *_ in RULES.values()):
            for what, (there, path, created_by) in RULES.items():
                if there in event.get("path", ""):
                    rule = self.rule(path, created_by)
                    yield f"the {what} {rule['id']}", there, rule["id"]
                    yield "its version", headers.get("If-Match"), self.version(f"{path}/{rule['id']}")
        elif event.get("path", "").startswith("/markets/"):
            self.market()
            yield "its version", headers.get("If-Match"), self.version(f"/markets/{MARKET}")
        elif "If-Match" in headers and not target:
            yield f"Ada's version {self.me.headers['ETag']}", headers["If-Match"], self.me.headers["ETag"]
        if target and "idempotency-key" in headers:
            yield "a key", headers["idempotency-key"], f"{headers['idempotency-key']}-{target[-12:]}"
        if NOTIFICATION in text and operation == "read-notification":
            yield "a notification of Ada's", NOTIFICATION, self.notification()
        yield "a trace of its own", TRACE, uuid.uuid4().hex
        if operation not in NOT_ABOUT_ADA:
            yield f"Ada's id {self.me.body['id']}", USER, self.me.body["id"]
        yield "an access token of Ada's", headers.get("Authorization"), f"Bearer {self.ada.token}"
        yield "a refresh token of Ada's", body.get("refresh_token"), self.ada.refresh_token
        yield "her session", SESSION, session_of(self.ada.token)
        if "SecretId" in event:
            yield "the secret", event["SecretId"], f"{local.STACK}/signing-key"

    def address(self):
        """Returns an address in Ada's address book, which is saved if she has none, and the version of the book."""
        saved = self.ada.call("GET", "/users/me/addresses")
        if not saved.body["items"]:
            self.ada.call("POST", "/users/me/addresses", body_of(sample("create-address")), key=str(uuid.uuid4()))
            saved = self.ada.call("GET", "/users/me/addresses")
        return saved.body["items"][0]["id"], saved.headers["ETag"]

    def notification(self):
        def newest():
            return next((each["id"] for each in self.ada.items("/notifications")), None)

        return local.wait_for("A notification to Ada", newest, SECONDS, 0.2)

    def for_create_market(self, event):
        """Deletes the market of the samples with its rules first, because a market is created once."""
        if self.admin.call("GET", f"/markets/{MARKET}", expect=(200, 404)).status == 200:
            for path in ("/promotions", f"/markets/{MARKET}/shipping-methods", f"/markets/{MARKET}/tax-rates"):
                for rule in self.rules(path):
                    self.admin.call("DELETE", f"{path}/{rule['id']}", if_match=self.version(f"{path}/{rule['id']}"))
            self.admin.call("DELETE", f"/markets/{MARKET}", if_match=self.version(f"/markets/{MARKET}"))
        key = str(uuid.uuid4())
        for headers, value in (("headers", key), ("multiValueHeaders", [key])):
            event[headers] = {name: value if name.lower() == "idempotency-key" else kept for name, kept in event[headers].items()}
        return event

    def for_preview_prices(self, event):
        """Sends orders the rules of the sample's market."""
        local.call(self.stack, f"{local.STACK}-replicate-pricing", sample("replicate-pricing"))
        return event

    def with_carts(self, event):
        """Creates the guest's cart and Ada's cart of the sample."""
        guest = self.public.call("POST", "/carts", {}).body
        text = json.dumps(event).replace(f"{GUEST_CART}.{GUEST_SECRET}", guest["cart_token"]).replace(GUEST_CART, guest["id"])
        if OWN_CART in text:
            text = text.replace(OWN_CART, self.ada.call("POST", "/carts", {}).body["id"])
        self.replaced.append(f"the cart {guest['id']}")
        return json.loads(text)

    def for_get_cart(self, event):
        return self.with_carts(event)

    def for_change_cart(self, event):
        self.order("paid")  # so that orders knows the product
        return self.with_carts(event)

    def for_merge_cart(self, event):
        return self.with_carts(event)

    def for_list_shipping_options(self, event):
        return self.with_carts(event)

    def for_register_user(self, event):
        self.ada.call("DELETE", "/users/me")
        return event

    def for_login_user(self, event):
        return with_body(event, password=self.password)

    def for_change_password(self, event):
        new = body_of(event)["new_password"]
        return with_body(event, current_password=self.password, new_password=self.register["password"] if self.password == new else new)

    def for_update_me(self, event):
        return with_body(event, current_password=self.password) if "current_password" in body_of(event) else event

    def for_confirm_password_reset(self, event):
        seen = len(self.mails())
        self.public.call("POST", "/users/password-reset", {"email": self.register["email"]})
        return with_body(event, token=self.mailed_token("reset-password", seen))

    def for_verify_email(self, event):
        seen = len(self.mails())
        self.fresh_ada()
        return with_body(event, token=self.mailed_token("verify-email", seen))

    def for_withdraw_email_change(self, event):
        seen = len(self.mails())
        self.fresh_ada()
        change = {"email": body_of(sample("update-me"))["email"], "current_password": self.password}
        self.ada.call("PATCH", "/users/me", change, if_match=self.me.headers["ETag"])
        return with_body(event, token=self.mailed_token("withdraw-email-change", seen))

    def for_receive_payment_webhook(self, event):
        """Signs the body with the real ids, using the secret of the stack."""
        order = self.order("paid")
        payment = self.payment(order)
        body = event["body"].replace(PAYMENT, payment["id"]).replace(ORDER, order["id"])
        body = body.replace("ch_0199c2a80000700080000000000000a1", payment["transaction_id"])
        secret = self.stack.client("secretsmanager").get_secret_value(SecretId=f"{local.STACK}/payment-webhook-secrets")
        key, now = json.loads(secret["SecretString"])["current"], int(time.time())
        signature = hmac.new(key.encode(), f"{now}.{body}".encode(), hashlib.sha256).hexdigest()
        self.replaced.append("a signature of now")
        return with_header(event | {"body": body}, "stripe-signature", f"t={now},v1={signature}")

    def for_record_entry(self, event):
        """Sends an entry that the ledger has recorded, so that the sample changes nothing."""
        order = self.order("paid")

        def entries():
            key = {":pk": {"S": f"ORDER#{order['id']}"}}
            found = self.stack.client("dynamodb").query(
                TableName=f"{local.STACK}-ledger", KeyConditionExpression="pk = :pk", ExpressionAttributeValues=key)["Items"]
            return [each for each in map(plain_item, found) if each.get("kind") == "capture"]

        entry = local.wait_for("The capture in the ledger", entries, SECONDS, 0.2)[0]
        accounts = {"provider_clearing": "provider_clearing", "customer_funds": f"customer_funds:{order['id']}"}
        lines = [{"account": accounts[account], "unit": unit, "amount": amount}
                 for unit, amounts in entry["lines"].items() for account, amount in amounts.items()]
        kept = {name: entry[name] for name in ("occurred_at", "kind")}
        self.replaced.append("an entry of the ledger")
        return with_data(event, kept | {"entry_id": entry["sk"], "order_id": order["id"], "lines": lines})

    def for_publish_order_events(self, event):
        return self.with_image(event, "orders", {"pk": f"ORDER#{self.order('open')['id']}"})

    def for_publish_payment_events(self, event):
        return self.with_image(event, "payments", {"pk": f"ORDER#{self.order('open')['id']}", "sk": "INTENT"})

    def for_publish_product_events(self, event):
        return self.with_image(event, "products", {"pk": f"PRODUCT#{self.product()['id']}"})

    def for_publish_pricing_events(self, event):
        self.market()
        return self.with_image(event, "pricing", {"pk": f"MARKET#{MARKET}", "sk": "HEAD"})

    def for_compile_market(self, event):
        self.market()
        return event

    def for_create_promotion(self, event):
        self.market()
        return event

    def for_delete_market(self, event):
        """Deletes the rules of the market first: only an empty market can be deleted."""
        self.market()
        for _, path, _ in RULES.values():
            for each in self.rules(path):
                self.admin.call("DELETE", f"{path}/{each['id']}", if_match=self.version(f"{path}/{each['id']}"))
        return event

    def for_publish_stock_events(self, event):
        """Sends the changes of a paid order's reservation, held and committed, whose entries the ledger has recorded."""
        event = self.with_image(event, "stock", {"pk": f"RESERVATION#{self.order('paid')['id']}"})
        record = event["Records"][0]
        committed = record["dynamodb"]["NewImage"]
        if committed["version"] != {"N": "2"} or committed["state"] != {"S": "committed"}:
            return event
        held = committed | {"version": {"N": "1"}, "state": {"S": "held"}, "updated_at": committed["created_at"]}
        record["dynamodb"]["NewImage"] = held
        change = json.loads(json.dumps(record)) | {"eventName": "MODIFY", "eventID": "sample-2"}
        change["dynamodb"] |= {"OldImage": held, "NewImage": committed}
        return event | {"Records": [record, change]}

    def with_image(self, event, table, key):
        """Replaces the image in the first record of the event with the item that has this key, as an insert."""
        found = self.stack.client("dynamodb").get_item(
            TableName=f"{local.STACK}-{table}", Key={name: {"S": value} for name, value in key.items()}, ConsistentRead=True)
        record = event["Records"][0] | {"eventName": "INSERT"}
        record["dynamodb"] = {name: value for name, value in record["dynamodb"].items() if name != "OldImage"}
        record["dynamodb"] |= {"Keys": {name: {"S": value} for name, value in key.items()}, "NewImage": found["Item"]}
        self.replaced.append(f"the item {key['pk']}")
        return event | {"Records": [record]}


def is_in(order, state):
    committed = any(line.get("event") == "stock_committed" for line in order.get("history", []))
    return {
        "open": order["status"] == "pending" and bool(order.get("payable")),
        "paid": order["status"] == "confirmed" and committed and order.get("payment_status") != "refunded",
        "shipped": order["status"] == "shipped",
        "cancelled": order["status"] == "cancelled",
    }[state]


def depends_on_stack(operation, event):
    """Whether a sample contains ids, tokens or secrets that depend on the running stack."""
    text = json.dumps(event)
    return (any(id in text for id in (USER, SESSION, ORDER, NOTIFICATION, *PRODUCTS)) or "Authorization" in text or "SecretId" in text
            or "refresh_token" in text or hasattr(Samples, "for_" + operation.replace("-", "_")))


def plain_item(item):
    from boto3.dynamodb.types import TypeDeserializer

    return json.loads(json.dumps({name: TypeDeserializer().deserialize(value) for name, value in item.items()}, default=int))


def with_body(event, **members):
    return event | {"body": json.dumps(body_of(event) | members)}


def with_header(event, name, value):
    event = event | {"headers": event["headers"] | {name: value}}
    return event | {"multiValueHeaders": event["multiValueHeaders"] | {name: [value]}} if event.get("multiValueHeaders") else event


def with_data(event, data):
    record = event["Records"][0]
    envelope = json.loads(record["body"]) | {"data": data}
    return event | {"Records": [record | {"body": json.dumps(envelope)}]}


def session_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sid"]


def succeeded(answer):
    if not isinstance(answer, dict):
        return True
    if "statusCode" in answer:
        return 200 <= answer["statusCode"] < 300
    return not answer.get("batchItemFailures")


def invoke(_shop, args):
    stack = local.Stack(args.name)
    stack.must_be_deployed()
    if args.all:
        return invoke_all(stack)
    if not args.operation:
        raise CommandError("Say which operation: make invoke OP=create-order.")
    if args.event:
        event = json.loads(Path(args.event).read_text())
    else:
        event = sample(args.operation)
        event = Samples(stack).adapted(args.operation) if depends_on_stack(args.operation, event) else event
    function = f"{local.STACK}-{args.operation}"
    answer = (local.call_in_docker if args.via == "docker" else local.call)(stack, function, event)
    print(json.dumps(answer, indent=2, ensure_ascii=False))


def invoke_all(stack):
    began, failed = datetime.now(timezone.utc), []
    operations = sorted(path.stem for path in EVENTS.glob("*.json") if path.stem not in NOT_ON_THE_EMULATOR)
    for operation in operations:
        try:
            answer = local.call(stack, f"{local.STACK}-{operation}", Samples(stack).adapted(operation))
            problem = None if succeeded(answer) else json.dumps(answer)
        except Exception as error:  # continue with the next sample
            problem = str(error)
        print(f"{operation:28} {'success' if problem is None else 'FAILED: ' + problem}", flush=True)
        if problem is not None:
            failed.append(operation)
    if failed:
        raise CommandError(f"{len(failed)} of {len(operations)} samples failed: {', '.join(failed)}.")
    print(f"All {len(operations)} samples succeeded. Reconciliation of their records:")
    command = [sys.executable, local.HERE / "reconcile.py", "--name", stack.name, "--since", began.isoformat()]
    environment = {name: value for name, value in os.environ.items() if name != "FERROCART_STACK"}
    if subprocess.run(command, env=environment).returncode != 0:
        raise CommandError("The samples left records that do not balance: see above.")


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    parser.add_argument("operation", nargs="?", help="the operation, such as create-order")
    parser.add_argument("--event", help="send this file unchanged instead of events/<operation>.json")
    parser.add_argument("--via", choices=["docker"], help="run the function in Lambda's image, with sam local")
    parser.add_argument("--all", action="store_true", help="invoke every function with its sample")
    deployment.options(parser)
    raise SystemExit(deployment.main(parser, invoke))
