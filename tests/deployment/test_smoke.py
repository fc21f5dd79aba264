"""`make smoke`: a whole run against a fake shop, and the sentence of each failure."""

import contextlib
import io
import json
import os
import re
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from unittest import mock

import fakes  # noqa: F401 (it says where the scripts are)

import smoke  # noqa: E402

ADMIN = ("admin@example.com", "admin password")


class Shop:
    """An in-memory shop that settles everything at once. `broken` replaces the answer of a route."""

    def __init__(self):
        self.users, self.products, self.order, self.stock = {ADMIN[0]: "admin"}, {}, None, 0
        self.cart, self.payment, self.broken, self.traces, self.provider = None, None, {}, set(), "simulated"
        self.markets, self.tax_rates, self.market, self.address, self.refusals = [], [], None, None, []

    def answer(self, method, path, body, caller):
        route = f"{method} {re.sub(r'/((crt|ord|prd|pay)_[0-9]+|shop-[a-z]+)', '/{id}', path.split('?')[0])}"
        if route in self.broken:
            return self.broken[route]
        step = getattr(self, "_".join(re.sub(r"[^a-z]", " ", route.lower()).split()), None)
        return step(body, caller) if step else (404, {"code": "route_not_found"})

    def get_health(self, *_):
        return 200, {"status": "healthy", "services": {"orders": "healthy", "payments": "healthy"}}

    def post_users(self, body, _):
        self.users[body["email"]] = "user"
        return 201, {"id": "usr_1"}

    def post_users_login(self, body, _):
        return (200, {"access_token": body["email"]}) if body["email"] in self.users else (401, {"code": "invalid_credentials"})

    def get_users_me(self, _, caller):
        return (200, {"id": "usr_1", "email": caller, "role": self.users[caller]}) if caller in self.users else (401, {"code": "unauthorized"})

    def delete_users_me(self, _, caller):
        del self.users[caller]
        if self.order:
            self.order["buyer"] = None
        return 204, None

    def post_products(self, body, _):
        self.products["prd_1"] = body
        return 201, {"id": "prd_1"}

    def get_products_id(self, *_):
        return (200, {"id": "prd_1"}) if self.products else (404, {"code": "product_not_found"})

    def delete_products_id(self, *_):
        self.products.clear()
        return 204, None

    def post_inventory_id_adjustments(self, body, _):
        self.stock += body["delta"]
        return 201, {}

    def get_inventory_id(self, *_):
        return 200, {"available": self.stock, "held": 0}

    def get_markets(self, *_):
        return 200, {"items": self.markets, "next_cursor": None}

    def get_markets_id_tax_rates(self, *_):
        return 200, {"items": self.tax_rates, "next_cursor": None}

    def post_carts(self, body, _):
        self.market = body.get("market")
        self.cart = {"id": "crt_1", "version": 1}
        return 201, self.cart

    def post_carts_id_changes(self, body, _):
        self.address = body.get("billing_address")
        prices = [self.products[line["product_id"]]["price"] for line in body["add"]]
        self.cart = {"id": "crt_1", "version": 2, "totals": {"total": prices[0]}, "refusals": self.refusals}
        return 200, self.cart

    def post_orders(self, body, _):
        if (body["cart_id"], body["cart_version"], body["expected_total"]) != ("crt_1", 2, self.cart["totals"]["total"]):
            return 409, {"code": "cart_changed"}
        self.order = {"id": "ord_1", "status": "pending", "payment_status": "unpaid", "payable": True, "buyer": {}, "reason": None,
                      "totals": {"total": body["expected_total"]}}
        return 201, self.order

    def get_orders_id(self, *_):
        return 200, self.order

    def post_webhooks_payments_simulated(self, *_):
        return (400, {"code": "bad_signature"}) if self.provider == "simulated" else (404, {"code": "provider_not_found"})

    def post_webhooks_payments_stripe(self, *_):
        return 400, {"code": "bad_signature"}

    def post_payments(self, body, _):
        self.card = body["payment_method"]["token"]
        if "declined" in self.card:
            return 402, {"code": "payment_declined"}
        self.payment = {"id": "pay_1", "status": "completed", "transaction_id": "ch_1", "amount": self.order["totals"]["total"]}
        self.order.update(status="confirmed", payment_status="paid")
        return 201, self.payment

    def get_payments(self, *_):
        return 200, {"items": [self.payment], "next_cursor": None}

    def post_payments_id_refunds(self, body, _):
        self.order["payment_status"] = "partially_refunded"
        return 201, {"amount": body["amount"]}

    def post_orders_id_cancel(self, *_):
        self.order.update(status="cancelled", payment_status="refunded" if self.payment else "unpaid")
        return 202, self.order

    def get_notifications(self, *_):
        template = "order_cancelled" if self.order["status"] == "cancelled" else "order_confirmed"
        return 200, {"items": [{"order_id": "ord_1", "template": template, "delivery": "sent"}], "next_cursor": None}


class Handler(BaseHTTPRequestHandler):
    shop = None

    def serve(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        self.shop.traces.add(self.headers["traceparent"].split("-")[1])
        status, answer = self.shop.answer(self.command, self.path.removeprefix("/v1"), body, (self.headers["Authorization"] or "")[7:])
        raw = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (("X-Request-Id", "req-1"), ("ETag", '"1"'), ("Retry-After", "0"), ("Content-Length", len(raw))):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_DELETE = serve

    def log_message(self, *_):
        pass


class SmokeTest(unittest.TestCase):
    def setUp(self):
        self.shop = Handler.shop = Shop()
        server = HTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"

    def run_with(self, *given):
        out, err = io.StringIO(), io.StringIO()
        admin = mock.patch.dict(os.environ, {"ADMIN_EMAIL": ADMIN[0], "ADMIN_PASSWORD": ADMIN[1]})
        with admin, mock.patch.object(smoke, "PAUSE_SECONDS", 0), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = smoke.main(["--url", self.url, "--timeout", "0", *given])
        return status, out.getvalue(), err.getvalue()

    def failure(self, *given):
        """Runs it, and returns the failure without the trace, and what is left behind."""
        status, _out, err = self.run_with(*given)
        self.assertEqual(status, 1, err)
        failure, *left = err.splitlines()
        found = re.fullmatch(
            r"error: (step .*) failed after \d+\.\d s: (.*?)\. (?:The last request: (.*)\. )?Its logs: make logs TRACE=[0-9a-f]{32}", failure)
        self.assertTrue(found, failure)
        return found.groups(), left

    def left_behind(self):
        return self.shop.users.keys() - {ADMIN[0]} | self.shop.products.keys(), self.shop.stock

    def test_a_run_prints_one_line_per_step_and_leaves_nothing_behind(self):
        status, out, err = self.run_with()
        self.assertEqual((status, err), (0, ""))
        lines = out.splitlines()
        names = [re.fullmatch(r" *(\d+)/15  (.{14}) +\d+\.\d\d s  .+", line).groups() for line in lines[:-1]]
        self.assertEqual([(int(number), name.strip()) for number, name in names], list(enumerate(
            ("admin", "health", "register", "log in", "product", "cart", "order", "payable", "pay", "confirmed", "notification", "refund", "cancel",
             "archive", "delete account"), 1)))
        self.assertRegex(lines[-1], r"^All steps passed in \d+\.\d s\. Trace [0-9a-f]{32}\.$")
        self.assertEqual(self.left_behind(), (set(), 0))
        self.assertEqual((self.shop.order["payment_status"], self.shop.order["buyer"]), ("refunded", None))

    def test_all_requests_of_a_run_have_one_trace(self):
        _, out, _ = self.run_with()
        self.assertEqual(self.shop.traces, {out.splitlines()[-1].split()[-1].rstrip(".")})

    def test_the_card_is_a_test_card_of_the_provider(self):
        self.run_with()
        self.assertEqual(self.shop.card, "tok_ok")
        self.shop.provider = "stripe"
        self.run_with()
        self.assertEqual(self.shop.card, "pm_card_visa")
        self.run_with("--token", "pm_card_mastercard")
        self.assertEqual(self.shop.card, "pm_card_mastercard")

    def test_without_payment_the_order_is_cancelled_unpaid(self):
        status, out, err = self.run_with("--pay", "no")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual((self.shop.order["status"], self.shop.order["payment_status"], self.shop.payment), ("cancelled", "unpaid", None))
        self.assertIn("order_cancelled: sent", out)
        self.assertEqual(self.left_behind(), (set(), 0))

    def test_an_unexpected_answer_names_step_and_request_and_is_cleaned_up(self):
        self.shop.broken["POST /orders"] = (409, {"code": "too_many_unpaid_orders", "request_id": "req-1"})
        failure, left = self.failure()
        self.assertEqual(failure, ("step 7 of 15 (order)",
                                   'POST /orders answered 409 {"code": "too_many_unpaid_orders", "request_id": "req-1"}',
                                   "POST /orders answered 409, request id req-1"))
        self.assertEqual((left, self.left_behind()), ([], (set(), 0)))

    def test_a_state_that_is_not_reached_in_time_is_named(self):
        self.shop.post_payments = lambda *_: (202, {"status": "processing"})
        failure, left = self.failure()
        self.assertEqual(failure, ("step 10 of 15 (confirmed)",
                                   "order ord_1 should be confirmed within 0 s, but has status pending, payment_status unpaid",
                                   "GET /orders/ord_1 answered 200, request id req-1"))
        self.assertEqual((left, self.left_behind()), ([], (set(), 0)))

    def test_a_declined_card_says_what_to_do(self):
        (step, reason, _), _ = self.failure("--token", "tok_declined")
        self.assertEqual((step, reason), ("step 9 of 15 (pay)", "the payment with tok_declined should succeed, but failed (payment_declined);"
                                          " a live Stripe key rejects test cards: then run it with PAY=no"))

    def test_a_shop_with_markets_sells_in_the_first_one_that_taxes_a_destination(self):
        def rate(country, region=None, tax_class="standard", valid_from="2021-01-01T00:00:00.000Z"):
            return {"country": country, "region": region, "tax_class": tax_class, "valid_from": valid_from}

        self.shop.markets = [{"id": "shop-ch", "currency": "CHF", "minimum_charge": 60, "countries": ["CH"]}]
        for rates, expected in (
            ([], None), ([rate("LI")], None), ([rate("CH", tax_class="books")], None), ([rate("CH", valid_from="2999-01-01T00:00:00.000Z")], None),
            ([rate("CH")], {"country": "CH"}), ([rate("CH"), rate("CH", "ZH")], {"country": "CH", "region": "ZH"}),
        ):
            with self.subTest(rates):
                self.shop.tax_rates = rates
                status, out, err = self.run_with()
                self.assertEqual((status, err), (0, ""))
                price = {"amount": 120, "currency": "CHF"} if expected else {"amount": 100, "currency": "USD"}
                self.assertEqual((self.shop.market, self.shop.order["totals"]["total"]), ("shop-ch" if expected else None, price))
                self.assertEqual({name: self.shop.address[name] for name in expected} if expected else self.shop.address, expected)
                self.assertEqual(" in the market shop-ch" in out, bool(expected))

    def test_a_cart_that_cannot_be_ordered_names_its_refusals(self):
        self.shop.refusals = [{"code": "not_sold_here"}, {"code": "below_minimum"}]
        failure, left = self.failure()
        self.assertEqual(failure[:2], (
            "step 6 of 15 (cart)", "the cart crt_1 should be ready to order, but is refused: not_sold_here, below_minimum"))
        self.assertEqual((left, self.left_behind()), ([], (set(), 0)))

    def test_an_order_at_another_price_than_its_cart_fails_the_run(self):
        place = self.shop.post_orders
        self.shop.post_orders = lambda body, caller: place(body, caller) and (201, self.shop.order | {"totals": {"total": None}})
        (step, reason, _), left = self.failure()
        self.assertEqual(step, "step 7 of 15 (order)")
        self.assertRegex(reason, r"^the order should cost .* like its cart, but costs \{'total': None\}$")
        self.assertEqual((left, self.left_behind()), ([], (set(), 0)))

    def test_an_unhealthy_service_is_named(self):
        self.shop.broken["GET /health"] = (503, {"status": "unhealthy", "services": {"orders": "unhealthy"}, "unhealthy": ["orders"]})
        self.assertEqual(self.failure()[0][:2], ("step 2 of 15 (health)", "the shop should be healthy, but is unhealthy: orders"))

    def test_a_failed_mail_fails_the_run(self):
        self.shop.get_notifications = lambda *_: (200, {"items": [
            {"order_id": "ord_1", "template": "order_confirmed", "delivery": "failed"}], "next_cursor": None})
        self.assertEqual(self.failure()[0][:2], (
            "step 11 of 15 (notification)", "the mail order_confirmed should be sent, but its delivery is failed"))

    def test_a_missing_member_is_named(self):
        self.shop.broken["POST /orders"] = (201, {})
        self.assertEqual(self.failure()[0][:2], ("step 7 of 15 (order)", "totals is missing in the answer"))

    def test_what_cannot_be_removed_is_listed(self):
        self.shop.broken["POST /orders/{id}/cancel"] = (409, {"code": "transition_not_allowed"})
        self.shop.broken["DELETE /users/me"] = (403, {"code": "forbidden"})
        (step, _, request), left = self.failure()
        self.assertEqual((step, request), ("step 13 of 15 (cancel)", "POST /orders/ord_1/cancel answered 409, request id req-1"))
        self.assertEqual([line.split(" (")[0].replace(smoke_address(left), "ADDRESS") for line in left],
                         ["left behind: order ord_1", "left behind: account ADDRESS"])

    def test_an_account_without_the_role_admin_is_rejected(self):
        self.shop.users[ADMIN[0]] = "user"
        self.assertEqual(self.failure()[0][:2], ("step 1 of 15 (admin)", f"{ADMIN[0]} should have the role admin: grant it with grant-role"))

    def test_an_unreachable_address_is_one_sentence(self):
        (step, reason, request), _ = self.failure("--url", "http://127.0.0.1:1/v1")
        self.assertEqual((step, request), ("step 1 of 15 (admin)", None))
        self.assertRegex(reason, r"^http://127\.0\.0\.1:1/v1/users/login cannot be reached \(.*\)$")

    def test_a_remote_address_needs_an_admin(self):
        err = io.StringIO()
        with mock.patch.dict(os.environ, {"ADMIN_EMAIL": "", "ADMIN_PASSWORD": ""}), contextlib.redirect_stderr(err):
            self.assertEqual(smoke.main(["--url", self.url]), 1)
        self.assertEqual(err.getvalue(), 'error: The smoke test needs an admin: set ADMIN_EMAIL and ADMIN_PASSWORD, or name the stack'
                                         ' with ARGS="--stack NAME".\n')

    def test_the_admin_of_a_stack_lives_as_long_as_the_run(self):
        granted = []

        def invoke(FunctionName, Qualifier, Payload):
            granted.append((FunctionName, Qualifier, json.loads(Payload)["role"]))
            self.shop.users[json.loads(Payload)["email"]] = "admin"
            return {}

        aws = SimpleNamespace(invoke=invoke, describe_stacks=lambda StackName: {
            "Stacks": [{"Outputs": [{"OutputKey": "ApiUrl", "OutputValue": self.url}]}]})
        shop = SimpleNamespace(name="shop", client=lambda _service: aws, function=lambda operation: f"shop-{operation}")
        args = SimpleNamespace(url=None, timeout=0, token=None, pay="yes")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(smoke.smoke(shop, args), 0)
        self.assertIn("created for this run", out.getvalue())
        self.assertEqual(granted, [("shop-grant-role", "live", "admin")])
        self.assertEqual(self.left_behind(), (set(), 0))


def smoke_address(lines):
    return re.search(r"success\+\S+@simulator\.amazonses\.com", "\n".join(lines))[0]


if __name__ == "__main__":
    unittest.main()
