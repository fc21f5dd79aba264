"""What must hold once every order has settled. Each check returns the violated rules as sentences.

The checks compare the tables of orders, inventory and the simulated provider, the mails, the queues and the report of reconcile-ledger.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

ORDER_ID = re.compile(r"ord_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The subjects of functions/notifications/src/templates/order.rs.
SUBJECTS = {
    "confirmed": "Your order is confirmed", "failed": "Your order could not be completed", "cancelled": "Your order is cancelled",
    "declined": "Your payment was declined", "refunded": "Your refund is on its way",
}
# The states of stock and payment with which an order of this status is settled.
SETTLED = {
    "confirmed": ({"committed"}, {"paid"}),
    "cancelled": ({"released", "rejected"}, {"closed", "refunded"}),
    "failed": ({"released", "rejected"}, {"closed", "refunded"}),
}


@dataclass
class Order:
    status: str
    stock: str
    payment: str
    total: int
    captured: int
    refunded: int
    lines: dict  # by product: the quantity
    events: set  # of its history
    needs_review: str | None = None


@dataclass
class Snapshot:
    orders: dict = field(default_factory=dict)  # by id
    stock: dict = field(default_factory=dict)  # by product: on hand and available
    delivered: dict = field(default_factory=dict)  # by product: the sum of all stock adjustments
    charges: dict = field(default_factory=dict)  # by order: the amounts that the provider captured
    refunds: dict = field(default_factory=dict)  # by order: the amounts that the provider refunded
    mails: dict = field(default_factory=dict)  # by order: the subjects
    messages: dict = field(default_factory=dict)  # by queue: waiting and in flight
    mismatches: list = field(default_factory=list)  # that reconcile-ledger reports


def violations(snapshot, placed):
    """Returns all violations. `placed` has the order that each idempotency key was answered with; None if it had no answer."""
    checks = (lost(snapshot, placed), unsettled(snapshot), stock(snapshot), money(snapshot), mails(snapshot), messages(snapshot),
              [f"reconcile-ledger reports: {each}" for each in snapshot.mismatches])
    return [violation for found in checks for violation in found]


def lost(snapshot, placed):
    """Every answered order exists, and no request has created two."""
    answered = {order for order in placed.values() if order}
    found = [f"{order} was answered, and does not exist" for order in sorted(answered - snapshot.orders.keys())]
    unanswered = sum(order is None for order in placed.values())
    surplus = snapshot.orders.keys() - answered
    if len(surplus) > unanswered:
        found.append(f"{len(surplus)} orders exist that no request was answered with, but only {unanswered} requests had no answer")
    repeated = [order for order, count in Counter(order for order in placed.values() if order).items() if count > 1]
    return found + [f"{order} was answered to two different requests" for order in repeated]


def unsettled(snapshot):
    found = []
    for id, order in snapshot.orders.items():
        stocks, payments = SETTLED.get(order.status, (set(), set()))
        if order.stock not in stocks or order.payment not in payments:
            found.append(f"{id} is not settled: {order.status}, stock {order.stock}, payment {order.payment}")
        if order.needs_review:
            found.append(f"{id} needs a review: {order.needs_review}")
    return found


def stock(snapshot):
    """The stock on hand is what was delivered without what was sold, nothing is held, and nothing is negative."""
    sold = defaultdict(int)
    for order in snapshot.orders.values():
        if order.stock == "committed":
            for product, quantity in order.lines.items():
                sold[product] += quantity
    found = [f"{product} was sold and has no stock" for product in sorted(sold.keys() - snapshot.stock.keys())]
    for product, (on_hand, available) in sorted(snapshot.stock.items()):
        delivered = snapshot.delivered.get(product, 0)
        if sold[product] > delivered:
            found.append(f"{product} is oversold: {sold[product]} of {delivered}")
        if on_hand != delivered - sold[product]:
            found.append(f"{product} has {on_hand} on hand, but {delivered} were delivered and {sold[product]} sold")
        if available != on_hand:
            found.append(f"{product} has {available} available of {on_hand} on hand")
        if min(on_hand, available) < 0:
            found.append(f"{product} has negative stock: {on_hand} on hand, {available} available")
    return found


def money(snapshot):
    """The provider has captured and refunded what the order says. A confirmed order is paid once, any other not at all."""
    found = [f"the provider has a charge for {order}, which does not exist" for order in sorted(snapshot.charges.keys() - snapshot.orders.keys())]
    for id, order in snapshot.orders.items():
        charges, refunds = snapshot.charges.get(id, []), snapshot.refunds.get(id, [])
        if sum(charges) != order.captured:
            found.append(f"{id} has captured {order.captured}, and the provider {charges}")
        if sum(refunds) != order.refunded:
            found.append(f"{id} has refunded {order.refunded}, and the provider {refunds}")
        kept, due = sum(charges) - sum(refunds), order.total if order.status == "confirmed" else 0
        if kept != due:
            found.append(f"{id} is {order.status} with a total of {order.total}, and the provider keeps {kept}")
        if len(charges) > 1:
            found.append(f"{id} was charged {len(charges)} times: {charges}")
    return found


def mails(snapshot):
    """The buyer gets a mail about the outcome of each order, and none about another outcome."""
    found = []
    for id, order in snapshot.orders.items():
        sent = snapshot.mails.get(id, set())
        happened = {SUBJECTS[event.removeprefix("payment_")] for event in order.events if event.removeprefix("payment_") in SUBJECTS}
        outcome = SUBJECTS.get(order.status)
        if outcome and outcome not in sent:
            found.append(f"{id} is {order.status}, and no mail reports it")
        if order.refunded and SUBJECTS["refunded"] not in sent:
            found.append(f"{id} was refunded, and no mail reports it")
        found += [f"{id} is {order.status}, and a mail reports: {subject}" for subject in sorted(sent - happened - {outcome})]
    return found + [f"a mail is about {id}, which does not exist" for id in sorted(snapshot.mails.keys() - snapshot.orders.keys())]


def messages(snapshot):
    return [f"{queue} has {count} messages" for queue, count in sorted(snapshot.messages.items()) if count]
