"""The data layer of a storefront: each call that its cart and its checkout make, as one function.

A storefront in another language makes the same calls. The names are those of Next.js Commerce, whose pages make no other calls for a cart.
Next.js Commerce leaves the checkout to the shop system; it is included here. `ferrocart` is the client that run.py generates from the API
document of the shop.

A visitor is a guest, whose cart opens by its token, or a user, whose cart opens by the access token. A storefront keeps both in
cookies that scripts cannot read: the token of the cart, and the tokens of the session.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from ferrocart.api.catalog import list_products
from ferrocart.api.orders import change_cart, create_cart as post_cart, create_order, get_cart as read_cart, get_order as read_order
from ferrocart.api.orders import list_shipping_options as read_shipping_options, merge_cart
from ferrocart.api.payments import create_payment
from ferrocart.api.users import login_user, register_user
from ferrocart.client import AuthenticatedClient, Client
from ferrocart.models import (
    AddLine, Address, Cart, CartChange, CountryCode, CreateCart, CreatePayment, LoginUser, Order, OrderOfCart, Payment, PaymentMethod,
    PaymentMethodType, Product, ProductPage, RegisterUser, SetLine, ShippingOptions, Tokens,
    Totals, User,
)
from ferrocart.types import UNSET, Response, Unset

AGAIN = (429, 502, 503, 504)  # nothing is wrong with the request: send it again after a pause
PATIENCE_SECONDS = 20

Document = TypeVar("Document")
Arguments = ParamSpec("Arguments")


@dataclass(frozen=True)
class Visitor:
    """A browser: its client, and the token of its guest's cart, if it has one."""

    client: Client | AuthenticatedClient
    cart_token: str | Unset = UNSET


class Problem(Exception):
    """The shop rejected a request. `document` is the problem document of RFC 9457."""

    def __init__(self, response: Response[Any]):
        self.status, self.document = int(response.status_code), response.parsed
        self.code = str(getattr(response.parsed, "code", ""))
        super().__init__(f"{self.status} {response.content.decode(errors='replace')}")


# --- the cart ------------------------------------------------------------------------------------------------------------


def create_cart(visitor: Visitor, market: str, country: str) -> tuple[Visitor, Cart]:
    """createCart: a guest gets a cart and its token, a user the open cart or a new one."""
    body = CreateCart(market=market, country=CountryCode(country))
    cart = call(Cart, post_cart.sync_detailed, client=visitor.client, body=body)
    return Visitor(visitor.client, cart.cart_token or UNSET), cart


def get_cart(visitor: Visitor, cart_id: str) -> Cart:
    """getCart: the cart at today's prices."""
    return call(Cart, read_cart.sync_detailed, cart_id, client=visitor.client, x_cart_token=visitor.cart_token)


def add_to_cart(visitor: Visitor, cart_id: str, lines: dict[str, int]) -> Cart:
    """addToCart: adds quantities of products."""
    return change(visitor, cart_id, CartChange(add=[AddLine(product_id=product, quantity=quantity) for product, quantity in lines.items()]))


def update_cart(visitor: Visitor, cart_id: str, lines: dict[str, int]) -> Cart:
    """updateCart: sets the quantities of products."""
    return change(visitor, cart_id, CartChange(set_=[SetLine(product_id=product, quantity=quantity) for product, quantity in lines.items()]))


def remove_from_cart(visitor: Visitor, cart_id: str, products: list[str]) -> Cart:
    """removeFromCart: removes products."""
    return update_cart(visitor, cart_id, dict.fromkeys(products, 0))


# --- the checkout --------------------------------------------------------------------------------------------------------


def set_addresses(visitor: Visitor, cart_id: str, email: str, shipping: Address, billing: Address | None = None) -> Cart:
    """setAddresses: where the goods are shipped to and taxed, and the address on the invoice if it differs."""
    return change(visitor, cart_id, CartChange(email=email, shipping_address=shipping, billing_address=billing))


def list_shipping_options(visitor: Visitor, cart_id: str) -> ShippingOptions:
    """listShippingOptions: the shipping methods of the cart with their prices, the cheapest first."""
    return call(ShippingOptions, read_shipping_options.sync_detailed, cart_id, client=visitor.client, x_cart_token=visitor.cart_token)


def choose_shipping(visitor: Visitor, cart_id: str, method_id: str) -> Cart:
    """chooseShipping: the shipping is part of the total from now on."""
    return change(visitor, cart_id, CartChange(shipping_method=method_id))


def log_in(visitor: Visitor, url: str, email: str, password: str) -> tuple[Visitor, Cart | None]:
    """login: returns the user, and their cart with the lines of the guest's cart, if the guest has one."""
    tokens = call(Tokens, login_user.sync_detailed, client=visitor.client, body=LoginUser(email=email, password=password))
    client = AuthenticatedClient(base_url=url, token=tokens.access_token)
    if isinstance(visitor.cart_token, Unset):
        return Visitor(client), None
    mine = call(Cart, post_cart.sync_detailed, client=client, body=CreateCart())
    cart = call(Cart, merge_cart.sync_detailed, mine.id, client=client, x_cart_token=visitor.cart_token)
    return Visitor(client), cart


def place_order(visitor: Visitor, cart: Cart) -> Order:
    """placeOrder: orders the cart as the buyer has seen it. The shop rejects it if the cart or its price has changed since."""
    if not isinstance(cart.totals, Totals):
        raise ValueError(f"the cart {cart.id} has no total: {cart.refusals}")
    body = OrderOfCart(cart_id=cart.id, cart_version=cart.version, expected_total=cart.totals.total)
    return call(Order, create_order.sync_detailed, client=signed_in(visitor), body=body, idempotency_key=f"order-{cart.id}")


def pay(visitor: Visitor, order_id: str, token: str) -> Payment:
    """pay: charges a payment method. The form of the payment provider returns its token; the card never reaches the shop."""
    body = CreatePayment(order_id=order_id, payment_method=PaymentMethod(type_=PaymentMethodType.CARD, token=token))
    return call(Payment, create_payment.sync_detailed, client=signed_in(visitor), body=body, idempotency_key=str(uuid.uuid4()))


def get_order(visitor: Visitor, order_id: str) -> Order:
    """getOrder: the order with its status, its price and its history."""
    return call(Order, read_order.sync_detailed, order_id, client=signed_in(visitor))


# --- what else a shopper needs -------------------------------------------------------------------------------------------


def get_products(visitor: Visitor) -> list[Product]:
    """getProducts: the first page of the catalogue."""
    return call(ProductPage, list_products.sync_detailed, client=visitor.client, limit=100).items


def register(visitor: Visitor, email: str, username: str, full_name: str, password: str) -> User:
    """register: creates an account."""
    body = RegisterUser(email=email, username=username, full_name=full_name, password=password)
    return call(User, register_user.sync_detailed, client=visitor.client, body=body)


# --- one request ---------------------------------------------------------------------------------------------------------


def change(visitor: Visitor, cart_id: str, body: CartChange) -> Cart:
    """Changes the cart. A repeated request has the same `mutation_id`, so it changes nothing."""
    body.mutation_id = str(uuid.uuid4())
    return call(Cart, change_cart.sync_detailed, cart_id, client=visitor.client, body=body, x_cart_token=visitor.cart_token)


def signed_in(visitor: Visitor) -> AuthenticatedClient:
    """The client of a user: the types of these operations accept no other client."""
    if not isinstance(visitor.client, AuthenticatedClient):
        raise TypeError("the visitor is not logged in")
    return visitor.client


def call(
    kind: type[Document], operation: Callable[Arguments, Response[Any]], *args: Arguments.args, **kwargs: Arguments.kwargs,
) -> Document:
    """Sends one request, and returns its document. Sends it again while the shop is busy; raises the problem of another answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        response = operation(*args, **kwargs)
        if isinstance(response.parsed, kind):
            return response.parsed
        if response.status_code not in AGAIN or time.monotonic() > deadline:
            raise Problem(response)
        time.sleep(min(float(response.headers.get("Retry-After", "1")), 2))
