"""Steps of a purchase through the public API, for the demo and the smoke test.

Each step repeats its request while another service has not yet processed the step before.
"""

import time
import uuid

from client import ApiError


class UnexpectedResult(Exception):
    """The shop is in an unexpected state."""


def change_cart(caller, cart, change, timeout):
    """Changes a cart, and returns it. Repeats the request while orders has not yet received a new product."""
    path, body = f"/carts/{cart['id']}/changes", change | {"mutation_id": str(uuid.uuid4())}
    deadline = time.monotonic() + timeout
    while True:
        answer = caller.call("POST", path, body, expect=(200, 422))
        if answer.status == 200:
            return answer.body
        if answer.code != "unknown_product" or time.monotonic() > deadline:
            raise ApiError(f"POST /carts/{{id}}/changes answered {answer}")
        time.sleep(0.2)


def order_of(cart, **more):
    """Returns the request that orders a cart as its buyer has seen it."""
    return {"cart_id": cart["id"], "cart_version": cart["version"], "expected_total": cart["totals"]["total"], **more}


def place(buyer, body, timeout):
    """Places an order. Repeats the request while orders has not yet received a new product."""
    deadline = time.monotonic() + timeout
    while True:
        answer = buyer.call("POST", "/orders", body, key=str(uuid.uuid4()), expect=(201, 422))
        if answer.status == 201:
            return answer
        if answer.code != "unknown_product" or time.monotonic() > deadline:
            raise ApiError(f"POST /orders answered {answer}")
        time.sleep(0.2)


def pay(buyer, order, token, timeout):
    """Pays through POST /payments. Repeats the request on 404 and 409: the order is not payable yet."""
    body = {"order_id": order, "payment_method": card(token)}
    key, deadline = str(uuid.uuid4()), time.monotonic() + timeout
    while True:
        answer = buyer.call("POST", "/payments", body, key=key, expect=(200, 201, 202, 402, 404, 409))
        waiting = answer.status == 404 or answer.code in ("payment_in_progress", "request_in_progress")
        if not waiting or time.monotonic() > deadline:
            return answer
        time.sleep(min(float(answer.headers.get("Retry-After") or 0.2), 2))


def completed_payment(buyer, order):
    """Returns the completed payment of the order."""
    paid = [each for each in buyer.items(f"/payments?order_id={order}") if each["status"] == "completed"]
    if len(paid) != 1:
        raise UnexpectedResult(f"order {order} should have one completed payment, but it has {len(paid)}")
    return paid[0]


def refund(admin, payment, amount, reason, timeout):
    """Refunds an amount, or the remaining amount with None. Repeats the request while a refund is in progress."""
    body = {"reason": reason} | ({"amount": {"amount": amount, "currency": payment["amount"]["currency"]}} if amount else {})
    key, deadline = str(uuid.uuid4()), time.monotonic() + timeout
    while True:
        answer = admin.call("POST", f"/payments/{payment['id']}/refunds", body, key=key, expect=(201, 202, 409, 422))
        in_progress = answer.status == 202 or answer.code == "request_in_progress"
        if not in_progress or time.monotonic() > deadline:
            return answer
        time.sleep(0.5)


def card(token):
    return {"type": "card", "token": token}


def state(order):
    return ", ".join(f"{name} {order[name]}" for name in ("status", "step", "payment_status") if order.get(name))
