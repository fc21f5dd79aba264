"""Buyers who place, pay and cancel orders while the stack is disturbed. They repeat each request until it has an answer."""

import random
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from client import ApiError
from purchase import card

PASSWORD = "chaos-password-for-every-buyer"
ANY = range(100, 600)
PATIENCE_SECONDS = 180  # for which a buyer repeats a request
WAITS = ("request_in_progress", "payment_in_progress")
# What a buyer does, each as often as compared with the others: the card of the order, that of POST /payments, and whether it is cancelled.
STORIES = {
    "card": (8, "tok_ok", None, False),
    "card, response of the charge lost": (2, "tok_timeout_after_charge", None, False),
    "card, charge lost": (2, "tok_timeout_before_charge", None, False),
    "card, provider fails first": (2, "tok_5xx_then_ok", None, False),
    "card, outcome known later": (2, "tok_late_webhook", None, False),
    "card, cancelled": (4, "tok_ok", None, True),
    "declined, paid by another card": (2, "tok_declined", "tok_ok", False),
    "declined, cancelled": (2, "tok_declined", None, True),
    "paid later": (5, None, "tok_ok", False),
    "paid later, cancelled": (2, None, "tok_ok", True),
    "not paid, cancelled": (2, None, None, True),
    "not paid": (1, None, None, False),
}
# The stock of each product. The last two are scarce: not all orders get them.
PRODUCTS = dict.fromkeys(("teapot", "cup", "tea", "kettle", "mug", "whisk", "filter", "scale"), 100_000) | {"rare pot": 40, "last cups": 15}


@dataclass(frozen=True)
class PlannedOrder:
    """What one buyer does, and when."""

    number: int
    at: float  # seconds since the start
    story: str
    lines: tuple  # of product and quantity
    pause: float  # seconds before the order is cancelled


def planned_orders(seed, count, seconds):
    """Returns the orders of a run: the same ones for the same seed."""
    rng = random.Random(f"orders {seed}")
    found = []
    for number in range(count):
        products = rng.sample(list(PRODUCTS), rng.choice((1, 1, 2, 3)))
        lines = tuple((product, rng.randint(1, 3)) for product in products)
        story = rng.choices(list(STORIES), [story[0] for story in STORIES.values()])[0]
        found.append(PlannedOrder(number, rng.uniform(0, seconds), story, lines, rng.uniform(0, 4)))
    return sorted(found, key=lambda planned: planned.at)


class Buyers:
    """The buyers of one run, and the orders with which their requests were answered."""

    def __init__(self, api, admin, count):
        self.admin, self.placed, self.answers, self.writing = admin, {}, Counter(), threading.Lock()
        self.run = uuid.uuid4().hex[:8]
        with ThreadPoolExecutor(4) as workers:
            self.clients = list(workers.map(lambda number: self.register(api, number), range(count)))
        self.products = {name: self.product(name, stock) for name, stock in PRODUCTS.items()}

    def register(self, api, number):
        name = f"chaos-{self.run}-{number}"
        email = f"{name}@ferrocart.example"
        api.register({"email": email, "username": name, "full_name": "Charlie Chaos", "password": PASSWORD})
        return api.log_in(email, PASSWORD)

    def product(self, name, stock):
        """Creates a product with stock, and returns its id."""
        sku = f"CHAOS-{self.run}-{name.replace(' ', '-')}".upper()
        body = {"name": name.capitalize(), "category": "chaos", "sku": sku, "price": {"amount": 700 + len(name), "currency": "USD"}}
        product = self.admin.call("POST", "/products", body, key=sku).body["id"]
        self.admin.call("POST", f"/inventory/{product}/adjustments", {"delta": stock, "reason": "chaos"}, key=f"stock-{sku}")
        return product

    def play(self, planned_orders, workers):
        """Plays all orders at their times, and waits for the end."""
        started = time.monotonic()

        def play(planned):
            time.sleep(max(0.0, started + planned.at - time.monotonic()))
            self.one(planned)

        with ThreadPoolExecutor(workers) as pool:
            for played in [pool.submit(play, planned) for planned in planned_orders]:
                played.result()

    def one(self, planned):
        _, token, later, is_cancelled = STORIES[planned.story]
        buyer, key = self.clients[planned.number % len(self.clients)], f"{self.run}-{planned.number}"
        body = {"items": [{"product_id": self.products[product], "quantity": quantity} for product, quantity in planned.lines]}
        if token:
            body["payment_method"] = card(token)
        order = self.place(buyer, body, key)
        if order and later:
            self.pay(buyer, order, later, key)
        if order and is_cancelled:
            time.sleep(planned.pause)
            self.send(buyer, "POST", f"/orders/{order}/cancel", {"reason": "Chaos."})

    def place(self, buyer, body, key):
        """Places an order and returns its id; None if no request had an answer."""
        with self.writing:
            self.placed[key] = None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (answer := self.send(buyer, "POST", "/orders", body, key)) and answer.status != 201:
            # The copy of the catalogue lacks a new product, or earlier orders of the buyer are not settled yet.
            if answer.code not in ("unknown_product", "too_many_unpaid_orders") or time.monotonic() > deadline:
                raise ApiError(f"POST /orders answered {answer}")
            time.sleep(1)
        if answer:
            with self.writing:
                self.placed[key] = answer.body["id"]
        return answer.body["id"] if answer else None

    def pay(self, buyer, order, token, key):
        """Pays the order once it can be paid. Ends when it cannot, because it has failed or expired."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            seen = self.send(buyer, "GET", f"/orders/{order}")
            if not seen or seen.body["status"] != "pending":
                return
            if seen.body["payable"]:
                answer = self.send(buyer, "POST", "/payments", {"order_id": order, "payment_method": card(token)}, f"pay-{key}")
                if not answer or answer.status != 404:
                    return
            time.sleep(0.5)

    def send(self, buyer, method, path, body=None, key=None):
        """Repeats a request until it has an answer that is not a failure. Returns None if it never has one."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = buyer.call(method, path, body, key=key, expect=ANY)
            except ApiError:  # the connection was lost
                self.count("no answer")
            else:
                self.count(answer.status)
                if answer.status not in (429,) and answer.status < 500 and answer.code not in WAITS:
                    return answer
            time.sleep(0.5)
        return None

    def orders(self):
        """Returns the number of orders so far."""
        with self.writing:
            return sum(order is not None for order in self.placed.values())

    def count(self, status):
        with self.writing:
            self.answers[status] += 1
