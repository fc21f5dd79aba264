//! `POST /carts`: creates a cart, or returns the open cart of the user.
//!
//! - A visitor gets a new guest's cart, and its token.
//! - A user has one open cart. `MINE#<user>` names it, and is written in one transaction with a new
//!   cart, on condition of its version. So concurrent requests create one cart.
//! - With `from_order`, the user's open cart takes the lines of an order of the same market. If it
//!   has no lines, a new cart replaces it, which also takes the market, the addresses and the
//!   shipping method.

use std::sync::Arc;

use shared::{
    auth::Caller,
    http::{self, Request, Response},
    ids::{CartId, OrderId},
    problem::Problem,
};

use super::cart_view::CartView;
use crate::{
    Orders,
    carts::{self, MAX_CART_ATTEMPTS},
    domain::cart::{
        Cart, CartContent, CartError, CartOwner, CartQuote, CartToken, CreateCart, Credentials,
        Stamp, Warning, WarningCode,
    },
    error::OrderError,
    store::carts::{CartWrite, OwnCart, OwnCartWrite},
};

/// Creates a cart and returns `201` with it. With an access token, it returns the user's open cart
/// if there is one (`200`). With `from_order`, that cart takes the lines of the order; a repeated
/// request changes nothing. A cart with lines for another market stays as it is, and the warning
/// `other_market` is returned.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/carts",
    request_body = Option<CreateCart>,
    responses(
        (status = 200, description = "The open cart of the user.", body = CartView),
        (status = 201, description = "The new cart.", body = CartView),
    ),
    security((), ("bearer" = [])),
    extensions(
        ("x-roles" = json!(["anonymous", "user", "admin"])),
        ("x-problems" = json!(["order_not_found", "cart_too_large", "cart_busy"])),
    ),
))]
pub async fn create_cart(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let caller = request.optional_caller()?;
    let has_body = !request.body()?.iter().all(u8::is_ascii_whitespace);
    let create = if has_body { request.json::<Option<CreateCart>>()? } else { None };
    let create = create.unwrap_or_default();
    match caller {
        Some(caller) => create_for_user(&orders, &request, &caller, create).await,
        None if create.from_order.is_some() => Err(Problem::unauthorized()),
        None => create_for_guest(&orders, &request, create).await,
    }
}

async fn create_for_guest(
    orders: &Orders,
    request: &Request,
    create: CreateCart,
) -> Result<Response, Problem> {
    let stamp = orders.stamp();
    let cart_id: CartId = orders.ids.create(stamp.now);
    let token = CartToken::create(cart_id, &orders.ids);
    let owner = CartOwner::Guest { secret_hash: token.secret_hash() };
    let cart = Cart::create(cart_id, owner, CartContent::from(create), stamp);
    let quote = orders.quote_cart(&cart).await?;
    match orders.store.create_cart(&cart).await? {
        CartWrite::Written => {
            let view = CartView::new(&cart, &quote).with_token(&token);
            Ok(http::created(&location(request, &cart), &view))
        }
        CartWrite::Conflict(_) => Err(OrderError::from(CartError::Busy).into()),
    }
}

async fn create_for_user(
    orders: &Orders,
    request: &Request,
    caller: &Caller,
    create: CreateCart,
) -> Result<Response, Problem> {
    let order = match create.from_order {
        Some(order_id) => Some(content_of_order(orders, caller, order_id).await?),
        None => None,
    };
    let fields = CartContent::from(create);
    let cart_request = OwnCartRequest { orders, caller, stamp: orders.stamp() };
    for attempt in 0..MAX_CART_ATTEMPTS {
        let (own, open) = cart_request.find_open_cart().await?;
        let written = match (&order, open) {
            (None, Some(cart)) => Some(Answer::found(orders, cart).await?),
            (Some(order), Some(cart)) if !cart.content.lines.is_empty() => {
                cart_request.extend_cart(cart, order).await?
            }
            // The user has no open cart, or one without lines, which the new cart replaces.
            (_, replaced) => {
                let content = match &order {
                    Some(order) => {
                        CartContent { lines: order.lines.clone(), ..order.replaced_by(&fields) }
                    }
                    None => fields.clone(),
                };
                cart_request.create_own_cart(content, own, replaced.as_ref()).await?
            }
        };
        if let Some(answer) = written {
            return Ok(answer.response(request));
        }
        carts::backoff(attempt).await;
    }
    Err(OrderError::from(CartError::Busy).into())
}

/// Returns the content that a cart copies from an order of the user.
async fn content_of_order(
    orders: &Orders,
    caller: &Caller,
    order_id: OrderId,
) -> Result<CartContent, OrderError> {
    let found = orders.store.find(order_id).await?.map(|found| found.order);
    let order = found.filter(|order| order.placed.user_id == caller.user_id);
    order.as_ref().map(CartContent::of_order).ok_or(OrderError::NotFound)
}

/// One request of a user for their open cart. Every attempt to write it has the same stamp.
struct OwnCartRequest<'a> {
    orders: &'a Orders,
    caller: &'a Caller,
    stamp: Stamp,
}

impl OwnCartRequest<'_> {
    /// Reads the item that names the cart of the user, and the cart if it is open.
    async fn find_open_cart(&self) -> Result<(Option<OwnCart>, Option<Cart>), OrderError> {
        let store = &self.orders.store;
        let own = store.find_own_cart(self.caller.user_id).await?;
        let Some(OwnCart { cart_id, .. }) = own else { return Ok((None, None)) };
        let owner = Credentials { user_id: Some(self.caller.user_id), token: None };
        let cart = store.find_cart(cart_id).await?;
        Ok((own, cart.and_then(|cart| cart.authorize(&owner, self.stamp.now).ok())))
    }

    /// Adds the lines of an order to the open cart. An order of another market changes nothing,
    /// because its goods would have prices that the buyer has not seen. `None` if a concurrent
    /// write came first.
    async fn extend_cart(
        &self,
        cart: Cart,
        order: &CartContent,
    ) -> Result<Option<Answer>, OrderError> {
        let orders = self.orders;
        if cart.content.market != order.market {
            let warnings = vec![Warning::of_cart(WarningCode::OtherMarket)];
            return Ok(Some(Answer { warnings, ..Answer::found(orders, cart).await? }));
        }
        let prices = orders.read_cart_prices(&cart.content, order.products()).await?;
        let Some((next, warnings)) = cart.with_order(order, prices.limits(), self.stamp) else {
            let quote = prices.quote(&cart);
            return Ok(Some(Answer { cart, quote, warnings: Vec::new(), is_new: false }));
        };
        match orders.store.replace_cart(&next).await? {
            CartWrite::Written => {
                let quote = prices.quote(&next);
                Ok(Some(Answer { cart: next, quote, warnings, is_new: false }))
            }
            CartWrite::Conflict(_) => Ok(None),
        }
    }

    /// Creates the cart of the user, on condition that the item that names their cart is still
    /// `own`. Deletes the cart without lines that it replaces. `None` if a concurrent write came
    /// first.
    async fn create_own_cart(
        &self,
        content: CartContent,
        own: Option<OwnCart>,
        replaced: Option<&Cart>,
    ) -> Result<Option<Answer>, OrderError> {
        let Self { orders, caller, stamp } = *self;
        let prices = orders.read_cart_prices(&content, []).await?;
        let cart_id: CartId = orders.ids.create(stamp.now);
        let owner = CartOwner::User(caller.user_id);
        let (cart, warnings) = Cart::create_within(cart_id, owner, content, prices.limits(), stamp);
        match orders.store.create_own_cart(&cart, caller.user_id, own, replaced).await? {
            OwnCartWrite::Written => {
                let quote = prices.quote(&cart);
                Ok(Some(Answer { cart, quote, warnings, is_new: true }))
            }
            OwnCartWrite::Conflict => Ok(None),
        }
    }
}

/// A cart to return.
struct Answer {
    cart: Cart,
    quote: CartQuote,
    warnings: Vec<Warning>,
    is_new: bool,
}

impl Answer {
    async fn found(orders: &Orders, cart: Cart) -> Result<Self, OrderError> {
        let quote = orders.quote_cart(&cart).await?;
        Ok(Self { cart, quote, warnings: Vec::new(), is_new: false })
    }

    fn response(self, request: &Request) -> Response {
        let Self { cart, quote, warnings, is_new } = self;
        let view = CartView::new(&cart, &quote).with_warnings(warnings);
        if is_new { http::created(&location(request, &cart), &view) } else { http::ok(&view) }
    }
}

fn location(request: &Request, cart: &Cart) -> String {
    request.location(&format!("/carts/{}", cart.cart_id))
}
