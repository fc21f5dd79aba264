"""Shops with every function of commerce.py: as a guest, then as a user whose cart takes the lines of the guest's cart."""

import os
import time
import uuid
from collections.abc import Callable

import commerce
from commerce import Problem, Visitor
from ferrocart.client import Client
from ferrocart.models import Address, Cart, CountryCode, Money, Order, OrderPrice, Totals
from ferrocart.types import Unset

# A market of the sample data, and products with and without a promotion there.
MARKET, COUNTRY = "de", "DE"
KETTLE, BEANS, MUG = "KET-0100", "BNS-0250", "CUP-0300"
PATIENCE_SECONDS = 60


class Failed(Exception):
    """A response of the shop differs from the expected one."""


def check(condition: bool, sentence: str) -> None:
    if not condition:
        raise Failed(sentence)


def run(url: str) -> int:
    """Runs the whole journey. Returns the exit code."""
    try:
        shop(url)
    except (Failed, Problem) as failure:
        print(f"storefront: {failure}", flush=True)
        return 1
    return 0


def shop(url: str) -> None:
    visitor = Visitor(Client(base_url=url))
    products = {product.sku: product.id for product in commerce.get_products(visitor)}
    check({KETTLE, BEANS, MUG} <= products.keys(), "the sample data is missing: run stack.py seed")
    kettle, beans, mug = products[KETTLE], products[BEANS], products[MUG]

    visitor, cart = fill_cart(visitor, kettle, beans, mug)
    visitor, cart = log_in(visitor, url, cart, beans)
    cart = check_out(visitor, cart)
    order = buy(visitor, cart)
    check_order(visitor, cart, order)


def fill_cart(visitor: Visitor, kettle: str, beans: str, mug: str) -> tuple[Visitor, Cart]:
    """A guest adds, changes and removes lines."""
    visitor, cart = commerce.create_cart(visitor, MARKET, COUNTRY)
    keep(visitor)
    check(cart.lines == [] and cart.item_count == 0, f"a new cart has lines: {cart.lines}")
    cart = commerce.add_to_cart(visitor, cart.id, {kettle: 1, beans: 1, mug: 1})
    cart = commerce.add_to_cart(visitor, cart.id, {beans: 1})
    check(quantities(cart) == {kettle: 1, beans: 2, mug: 1}, f"lines were added, but the cart has {quantities(cart)}")
    cart = commerce.update_cart(visitor, cart.id, {beans: 3})
    cart = commerce.remove_from_cart(visitor, cart.id, [mug])
    check(quantities(cart) == {kettle: 1, beans: 3}, f"lines were changed and removed, but the cart has {quantities(cart)}")
    read = commerce.get_cart(visitor, cart.id)
    check((read.version, read.item_count, read.totals) == (cart.version, 4, cart.totals), "get_cart returns a different cart")
    # A document that the client cannot read remains a dictionary.
    check(isinstance(read.price, OrderPrice) and read.price.discount_total > 0, f"the kettle has no promotion in the cart: {read.price}")
    done("a guest adds, changes and removes lines of a cart")
    return visitor, cart


def log_in(visitor: Visitor, url: str, guest: Cart, beans: str) -> tuple[Visitor, Cart]:
    """The guest registers. The user's cart, filled on another device, takes the lines of the guest's cart."""
    run_id = uuid.uuid4().hex[:12]
    email, password = f"shopper-{run_id}@example.com", f"storefront-{uuid.uuid4()}"
    commerce.register(visitor, email, f"shopper-{run_id}", "Sam Shopper", password)
    elsewhere, _ = commerce.log_in(Visitor(visitor.client), url, email, password)
    elsewhere, other = commerce.create_cart(elsewhere, MARKET, COUNTRY)
    check(isinstance(other.cart_token, Unset) or other.cart_token is None, "the cart of a user has a token")
    commerce.add_to_cart(elsewhere, other.id, {beans: 1})

    user, cart = commerce.log_in(visitor, url, email, password)
    check(cart is not None and cart.id == other.id, "the guest's cart is not merged into the cart of the user")
    assert cart is not None
    expected = quantities(guest) | {beans: quantities(guest)[beans] + 1}
    check(quantities(cart) == expected, f"the carts are merged to {quantities(cart)} in place of {expected}")
    expect("cart_not_found", lambda: commerce.get_cart(visitor, guest.id))
    expect("cart_not_found", lambda: commerce.get_cart(Visitor(visitor.client), cart.id))
    done("a guest logs in, and the carts are merged")
    return user, cart


def check_out(visitor: Visitor, cart: Cart) -> Cart:
    """The shopper sets the addresses and chooses a shipping method that costs something."""
    shipping = Address(name="Sam Shopper", line1="Hafenstraße 12", postal_code="20457", city="Hamburg", country=CountryCode(COUNTRY))
    billing = Address(name="Shopper GmbH", line1="Torstraße 1", postal_code="10119", city="Berlin", country=CountryCode(COUNTRY))
    cart = commerce.set_addresses(visitor, cart.id, "sam@example.com", shipping, billing)
    kept = street(cart.shipping_address), street(cart.billing_address)
    check(kept == (shipping.line1, billing.line1), f"the cart has other addresses: {kept}")
    found = commerce.list_shipping_options(visitor, cart.id)
    check(len(found.shipping_options) == 2 and not found.refusals, f"the sample data has two shipping methods, but the cart {found}")
    dearest = found.shipping_options[-1]
    cart = commerce.choose_shipping(visitor, cart.id, dearest.method_id)
    check(isinstance(cart.totals, Totals) and cart.totals.shipping.amount == dearest.gross > 0, f"shipping for {dearest.gross} costs {cart.totals}")
    check(not cart.refusals and not cart.warnings, f"the cart cannot be ordered: {cart.refusals}, {cart.warnings}")
    done("addresses and shipping are part of the price")
    return cart


def buy(visitor: Visitor, cart: Cart) -> Order:
    """The shopper orders an old cart, which is rejected, then the current one, and pays."""
    changed = commerce.get_cart(visitor, cart.id)
    changed.version -= 1
    expect("cart_changed", lambda: commerce.place_order(visitor, changed))
    order = commerce.place_order(visitor, cart)
    check(order.totals == cart.totals, f"the cart costs {cart.totals}, and the order {order.totals}")
    check(commerce.place_order(visitor, cart).id == order.id, "the same request places another order")
    expect("cart_ordered", lambda: commerce.get_cart(visitor, cart.id))
    wait_for(visitor, order, "payable", lambda seen: seen.payable)
    payment = when_open(lambda: commerce.pay(visitor, order.id, "tok_ok").amount)
    check(payment == order.totals.total, f"the order costs {order.totals.total}, and {payment} were charged")
    done("the cart is ordered once, and paid")
    return order


def check_order(visitor: Visitor, cart: Cart, order: Order) -> None:
    """The order is confirmed at the price of the cart, and the next cart is empty."""
    seen = wait_for(visitor, order, "confirmed", lambda seen: seen.status.value == "confirmed")
    check((seen.payment_status.value, seen.totals) == ("paid", cart.totals), f"the order has {seen.payment_status} and {seen.totals}")
    _, following = commerce.create_cart(visitor, MARKET, COUNTRY)
    check(following.id != cart.id and not following.lines, "the next cart is not new")
    done("the order is confirmed at the price of the cart")


def quantities(cart: Cart) -> dict[str, int]:
    return {line.product_id: line.quantity for line in cart.lines}


def street(address: object) -> str:
    return address.line1 if isinstance(address, Address) else ""


def expect(code: str, step: Callable[[], object]) -> None:
    """Checks that the shop rejects a step with this problem."""
    try:
        step()
    except Problem as problem:
        check(problem.code == code, f"the problem should be {code}, but is {problem}")
        return
    raise Failed(f"the shop accepted what it should reject with {code}")


def wait_for(visitor: Visitor, order: Order, state: str, is_there: Callable[[Order], bool]) -> Order:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_there(seen := commerce.get_order(visitor, order.id)):
        check(time.monotonic() < deadline, f"{order.id} is not {state} within {PATIENCE_SECONDS} s: {seen.status}, {seen.reason}")
        time.sleep(0.2)
    return seen


def when_open(pay: Callable[[], Money]) -> Money:
    """Pays as soon as payments knows the order: for a moment after an order becomes payable it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return pay()
        except Problem as problem:
            if problem.code != "order_not_found" or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def keep(visitor: Visitor) -> None:
    """Keeps the token of a guest's cart for tests/leaks.py."""
    if file := os.environ.get("CART_TOKENS"):
        with open(file, "a") as tokens:
            tokens.write(f"{visitor.cart_token}\n")


def done(what: str) -> None:
    print(f"storefront: {what} ... ok", flush=True)
