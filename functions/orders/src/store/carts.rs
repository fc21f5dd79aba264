//! Carts: `CART#<id>`, and `MINE#<user>` with the id of the user's cart.
//!
//! A write of a cart replaces all its attributes that this release knows, on condition of its
//! version. DynamoDB deletes a cart some time after its `ttl`; from its expiry on, the domain
//! treats it as absent. `MINE#<user>` has no `ttl`, because a change of the cart does not write it.
//! It is deleted with the account.

use serde::{Deserialize, Serialize};
use shared::{
    address::{Address, AddressLine, CountryCode},
    clock::Timestamp,
    email::Email,
    ids::{CartId, OrderId, PrefixedId, ProductId, ShippingMethodId, UserId, Uuid},
    market::MarketId,
    money::Money,
    stored_enum,
    table::{
        AttributeValue, Conflict, Expression, Item, Key, Outcome, TableError, TransactionOutcome,
        Write, from_item, to_item, to_patch,
    },
};

use super::{Store, text};
use crate::{
    domain::{
        cart::{
            Attributes, Cart, CartContent, CartError, CartLine, CartOwner, CartState, Locale,
            Merged, MutationId, Note, Stamp,
        },
        order_request::TaxId,
    },
    error::OrderError,
};

/// Maximum size of a cart's item in bytes. Every change writes the whole item.
const MAX_BYTES: usize = 16 * 1024;

/// Maximum number of attempts to delete the cart of a user. An attempt fails only if the cart of
/// the user is replaced first.
const MAX_DELETE_ATTEMPTS: u32 = 3;

stored_enum!(
    /// The stored state of a cart.
    StoredState {
        Open = "open",
        Merged = "merged",
        Ordered = "ordered",
    }
);

#[derive(Serialize, Deserialize)]
struct CartItem {
    pk: String,
    version: u64,
    write_id: String,
    /// The owner of a user's cart.
    #[serde(default)]
    user_id: Option<UserId>,
    /// The SHA-256 of the secret of a guest's cart.
    #[serde(default)]
    secret_hash: Option<String>,
    state: StoredState,
    #[serde(default)]
    merged_into: Option<CartId>,
    #[serde(default)]
    order_id: Option<OrderId>,
    lines: Vec<LineItem>,
    #[serde(default)]
    market: Option<MarketId>,
    #[serde(default)]
    country: Option<CountryCode>,
    #[serde(default)]
    region: Option<AddressLine>,
    #[serde(default)]
    shipping_address: Option<Address>,
    #[serde(default)]
    billing_address: Option<Address>,
    #[serde(default)]
    tax_id: Option<TaxId>,
    #[serde(default)]
    shipping_method: Option<ShippingMethodId>,
    #[serde(default)]
    email: Option<Email>,
    #[serde(default)]
    locale: Option<Locale>,
    #[serde(default)]
    note: Option<Note>,
    #[serde(default)]
    attributes: Option<Attributes>,
    mutations: Vec<MutationId>,
    created_at: Timestamp,
    updated_at: Timestamp,
    expires_at: Timestamp,
    /// `expires_at` in seconds since 1970.
    ttl: i64,
}

#[derive(Serialize, Deserialize)]
struct LineItem {
    product_id: ProductId,
    quantity: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen_price: Option<Money>,
}

/// The item `MINE#<user>`, which names the cart of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnCart {
    pub cart_id: CartId,
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct OwnCartItem {
    pk: String,
    cart_id: CartId,
    version: u64,
}

/// The outcome of a write of a cart.
#[derive(Debug)]
pub enum CartWrite {
    Written,
    /// A concurrent write came first. Contains the current cart, if there is one.
    Conflict(Option<Box<Cart>>),
}

/// The outcome of a merge.
#[derive(Debug)]
pub enum MergeWrite {
    Written,
    /// A concurrent write of one of the carts came first.
    Conflict,
}

/// The outcome of creating the cart of a user.
#[derive(Debug)]
pub enum OwnCartWrite {
    Written,
    /// A concurrent request created the user's cart, or changed the one to be replaced.
    Conflict,
}

impl Store {
    /// Reads a cart, even if it has expired.
    pub async fn find_cart(&self, cart_id: CartId) -> Result<Option<Cart>, TableError> {
        self.carts.get(cart_key(cart_id)).await?.map(read_cart).transpose()
    }

    /// Reads two carts in one call.
    pub async fn find_carts(
        &self,
        one: CartId,
        other: CartId,
    ) -> Result<(Option<Cart>, Option<Cart>), TableError> {
        let keys = [one, other].map(|cart_id| (&self.carts, cart_key(cart_id)));
        let carts = self.carts.get_many(keys.into()).await?;
        let carts = carts.into_iter().map(read_cart).collect::<Result<Vec<_>, _>>()?;
        let find = |cart_id| carts.iter().find(|cart| cart.cart_id == cart_id).cloned();
        Ok((find(one), find(other)))
    }

    /// Reads the item that names the cart of a user.
    pub async fn find_own_cart(&self, user_id: UserId) -> Result<Option<OwnCart>, TableError> {
        self.carts.get(own_cart_key(user_id)).await?.map(read_own_cart).transpose()
    }

    /// Creates a guest's cart.
    ///
    /// # Errors
    /// If the table fails, or the cart is too large.
    pub async fn create_cart(&self, cart: &Cart) -> Result<CartWrite, OrderError> {
        let outcome = self.carts.put(checked_item(cart)?, Expression::not_exists()).await?;
        Ok(outcome_of(outcome, cart)?)
    }

    /// Creates the cart of a user in place of `former`, on condition that `former` is unchanged.
    /// `replaced` is the former cart, which has no lines. It is deleted on condition of its
    /// version, so a line that a concurrent request adds is not lost.
    ///
    /// # Errors
    /// If the table fails, or the cart is too large.
    pub async fn create_own_cart(
        &self,
        cart: &Cart,
        user_id: UserId,
        former: Option<OwnCart>,
        replaced: Option<&Cart>,
    ) -> Result<OwnCartWrite, OrderError> {
        let own = to_item(&OwnCartItem {
            pk: own_cart_key_text(user_id),
            cart_id: cart.cart_id,
            version: former.map_or(0, |former| former.version) + 1,
        });
        let condition = former
            .map_or_else(Expression::not_exists, |former| Expression::version(former.version));
        let mut writes = vec![
            self.carts.transact_put(checked_item(cart)?, Expression::not_exists()),
            self.carts.transact_put(own, condition),
        ];
        writes.extend(replaced.map(|replaced| {
            let version = Expression::version(replaced.version);
            self.carts.transact_delete(cart_key(replaced.cart_id), version)
        }));
        match self.carts.transact(writes).await? {
            TransactionOutcome::Written => Ok(OwnCartWrite::Written),
            TransactionOutcome::Cancelled(_) => Ok(OwnCartWrite::Conflict),
        }
    }

    /// Writes the next version of a cart.
    ///
    /// # Errors
    /// If the table fails, or the cart is too large.
    pub async fn replace_cart(&self, next: &Cart) -> Result<CartWrite, OrderError> {
        checked_item(next)?;
        let condition = Expression::version(next.version - 1);
        let outcome = self.carts.merge(to_patch(&CartItem::from(next.clone())), condition).await?;
        Ok(outcome_of(outcome, next)?)
    }

    /// Writes both carts of a merge, each on condition of its version.
    ///
    /// # Errors
    /// If the table fails, or the user's cart is too large.
    pub async fn merge_carts(&self, merged: &Merged) -> Result<MergeWrite, OrderError> {
        let Merged { cart, guest, warnings: _ } = merged;
        checked_item(cart)?;
        let patch = to_patch(&CartItem::from(cart.clone()));
        let writes = vec![
            self.carts.transact_merge(patch, Expression::version(cart.version - 1)),
            // A put also removes the attributes of a later release, which may belong to the
            // content.
            self.carts.transact_put(
                to_item(&CartItem::from(guest.clone())),
                Expression::version(guest.version - 1),
            ),
        ];
        let TransactionOutcome::Cancelled(conflicts) = self.carts.transact(writes).await? else {
            return Ok(MergeWrite::Written);
        };
        // An earlier attempt of this transaction succeeded, but its response was lost.
        let is_ours = |conflict: &Option<Conflict>| {
            let item = conflict.as_ref().and_then(|conflict| conflict.item.as_ref());
            item.is_some_and(|item| text(item, "write_id") == write_text(cart.write_id))
        };
        let is_written = conflicts.len() == 2 && conflicts.iter().all(is_ours);
        Ok(if is_written { MergeWrite::Written } else { MergeWrite::Conflict })
    }

    /// Returns the write that marks a cart as ordered, on condition that it is open in this
    /// version. The transaction that places the order contains it.
    pub fn ordered_write(&self, cart: &Cart, order_id: OrderId, now: Timestamp) -> Write {
        let ordered =
            cart.closed(CartState::Ordered { order_id }, Stamp { now, write_id: order_id.uuid() });
        let condition = Expression::new("#version = :seen_version AND #state = :open")
            .value("seen_version", cart.version)
            .value("open", StoredState::Open);
        // A put also removes the attributes of a later release, which may belong to the content.
        self.carts.transact_put(to_item(&CartItem::from(ordered)), condition)
    }

    /// Deletes the cart of a deleted user.
    ///
    /// # Errors
    /// If the table fails, or the cart of the user is replaced during every attempt.
    pub async fn delete_own_cart(&self, user_id: UserId) -> Result<(), OrderError> {
        for _ in 0..MAX_DELETE_ATTEMPTS {
            let Some(own) = self.find_own_cart(user_id).await? else { return Ok(()) };
            let is_own = Expression::new("attribute_not_exists(#pk) OR #user_id = :user_id")
                .value("user_id", user_id);
            let own_item = Expression::version(own.version);
            let writes = vec![
                self.carts.transact_delete(cart_key(own.cart_id), is_own),
                self.carts.transact_delete(own_cart_key(user_id), own_item),
            ];
            if self.carts.transact(writes).await? == TransactionOutcome::Written {
                return Ok(());
            }
        }
        Err(CartError::Busy.into())
    }
}

/// The key of a cart.
pub fn cart_key(cart_id: CartId) -> Key {
    Key::new(cart_key_text(cart_id))
}

fn cart_key_text(cart_id: CartId) -> String {
    format!("{CART}{cart_id}")
}

const CART: &str = "CART#";

fn own_cart_key(user_id: UserId) -> Key {
    Key::new(own_cart_key_text(user_id))
}

fn own_cart_key_text(user_id: UserId) -> String {
    format!("MINE#{user_id}")
}

/// Reads the item of a cart.
///
/// # Errors
/// If this release cannot read it.
pub fn read_cart(item: Item) -> Result<Cart, TableError> {
    let unreadable = TableError::Unreadable { expected: "cart" };
    from_item::<CartItem>(item)?.read().ok_or(unreadable)
}

fn read_own_cart(item: Item) -> Result<OwnCart, TableError> {
    let OwnCartItem { pk: _, cart_id, version } = from_item(item)?;
    Ok(OwnCart { cart_id, version })
}

fn outcome_of(outcome: Outcome, written: &Cart) -> Result<CartWrite, TableError> {
    let current = match outcome {
        Outcome::Written => return Ok(CartWrite::Written),
        Outcome::ConditionFailed(current) => current.map(read_cart).transpose()?,
    };
    // An earlier attempt of this write succeeded, but its response was lost.
    let is_ours = current.as_ref().is_some_and(|current| current.write_id == written.write_id);
    Ok(if is_ours { CartWrite::Written } else { CartWrite::Conflict(current.map(Box::new)) })
}

/// Returns the item of a cart, or an error if it is too large.
fn checked_item(cart: &Cart) -> Result<Item, CartError> {
    let item = to_item(&CartItem::from(cart.clone()));
    let bytes: usize = item.iter().map(|(name, value)| name.len() + size(value)).sum();
    if bytes > MAX_BYTES { Err(CartError::TooLarge) } else { Ok(item) }
}

/// The size of a value as DynamoDB counts it, with a number at its largest.
pub(super) fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len() / 2 + 2,
        AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + size(value)).sum::<usize>(),
        AttributeValue::M(members) => {
            3 + members.iter().map(|(name, value)| 1 + name.len() + size(value)).sum::<usize>()
        }
        _ => 1,
    }
}

fn write_text(write_id: Uuid) -> String {
    write_id.simple().to_string()
}

impl From<Cart> for CartItem {
    // Destructured without `..`, so a new field does not compile until it is stored.
    fn from(cart: Cart) -> Self {
        let Cart {
            cart_id,
            version,
            write_id,
            owner,
            state,
            content,
            mutations,
            created_at,
            updated_at,
            expires_at,
        } = cart;
        let CartContent {
            lines,
            market,
            country,
            region,
            shipping_address,
            billing_address,
            tax_id,
            shipping_method,
            email,
            locale,
            note,
            attributes,
        } = content;
        let (user_id, secret_hash) = match owner {
            CartOwner::User(user_id) => (Some(user_id), None),
            CartOwner::Guest { secret_hash } => (None, Some(secret_hash)),
        };
        let (state, merged_into, order_id) = match state {
            CartState::Open => (StoredState::Open, None, None),
            CartState::Merged { into } => (StoredState::Merged, Some(into), None),
            CartState::Ordered { order_id } => (StoredState::Ordered, None, Some(order_id)),
        };
        let line = |CartLine { product_id, quantity, seen_price }| LineItem {
            product_id,
            quantity,
            seen_price,
        };
        Self {
            pk: cart_key_text(cart_id),
            version,
            write_id: write_text(write_id),
            user_id,
            secret_hash,
            state,
            merged_into,
            order_id,
            lines: lines.into_iter().map(line).collect(),
            market,
            country,
            region,
            shipping_address,
            billing_address,
            tax_id,
            shipping_method,
            email,
            locale,
            note,
            attributes,
            mutations,
            created_at,
            updated_at,
            expires_at,
            ttl: expires_at.seconds(),
        }
    }
}

impl CartItem {
    fn read(self) -> Option<Cart> {
        let owner = match (self.user_id, self.secret_hash) {
            (Some(user_id), None) => CartOwner::User(user_id),
            (None, Some(secret_hash)) => CartOwner::Guest { secret_hash },
            _ => return None,
        };
        let state = match self.state {
            StoredState::Open => CartState::Open,
            StoredState::Merged => CartState::Merged { into: self.merged_into? },
            StoredState::Ordered => CartState::Ordered { order_id: self.order_id? },
            StoredState::Unknown(_) => return None,
        };
        let line = |LineItem { product_id, quantity, seen_price }| CartLine {
            product_id,
            quantity,
            seen_price,
        };
        Some(Cart {
            cart_id: CartId::parse(self.pk.strip_prefix(CART)?)?,
            version: self.version,
            write_id: Uuid::try_parse(&self.write_id).ok()?,
            owner,
            state,
            content: CartContent {
                lines: self.lines.into_iter().map(line).collect(),
                market: self.market,
                country: self.country,
                region: self.region,
                shipping_address: self.shipping_address,
                billing_address: self.billing_address,
                tax_id: self.tax_id,
                shipping_method: self.shipping_method,
                email: self.email,
                locale: self.locale,
                note: self.note,
                attributes: self.attributes,
            },
            mutations: self.mutations,
            created_at: self.created_at,
            updated_at: self.updated_at,
            expires_at: self.expires_at,
        })
    }
}

#[cfg(test)]
mod tests;
