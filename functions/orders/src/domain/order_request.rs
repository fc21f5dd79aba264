//! The request to place an order, in two forms: of items, or of a cart. Deserializing it checks
//! every rule that needs no stored data.

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use shared::{
    address::{Address, CountryCode},
    checked_text,
    ids::{CartId, ProductId, ShippingMethodId},
    market::MarketId,
    money::Money,
    validation::Violation,
};

use super::{
    cart::{Attributes, Locale, Note},
    destination::possible_countries,
};

/// Maximum number of products in one order: one DynamoDB transaction reserves the stock of all of
/// them.
pub const MAX_LINES: usize = 40;
/// Maximum quantity of one product.
pub const MAX_QUANTITY: u32 = 999;

/// A request to place an order: of items, or of a cart. It contains no prices: the catalogue and
/// the rules of the market decide them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "a request is read once and moved once")]
pub enum OrderRequest {
    Items(OrderOfItems),
    Cart(OrderOfCart),
}

/// An order of items that the request lists.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderOfItems {
    pub(super) items: Items,
    /// The total that the buyer expects. If it differs from the real total, the order is rejected;
    /// it is never charged.
    pub expected_total: Option<Money>,
    /// The method to charge as soon as the stock is reserved. Without one, the buyer pays with
    /// `POST /payments`.
    pub payment_method: Option<PaymentMethod>,
    /// Where the goods are shipped to and taxed. An order in a market needs one if goods are
    /// shipped.
    pub shipping_address: Option<Address>,
    // The fields below are absent if they are not set, so that the fingerprint of a request without
    // them does not depend on the release.
    /// The address on the invoice, if it differs from the shipping address. If nothing is shipped,
    /// an order in a market is taxed at this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_address: Option<Address>,
    /// The tax number of the buyer. It is stored and printed, and does not affect the price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<TaxId>,
    /// The market that the order is placed in: its rules decide prices, shipping and tax. Without
    /// one, the order has the prices of the catalogue, no shipping costs and no tax.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market: Option<MarketId>,
    /// One of the market's shipping methods. Required if goods are shipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_method: Option<ShippingMethodId>,
    /// The language of the buyer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<Locale>,
    /// A note from the buyer to the shop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Values that the storefront keeps with the order.
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Vec<super::cart::Attribute>>, min_items = 0, max_items = 20))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
}

/// An order of the caller's own cart. The lines, the market, the addresses, the shipping method and
/// the note are those of the cart.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderOfCart {
    pub cart_id: CartId,
    /// The version of the cart that the buyer has seen. If the cart has changed since, nothing is
    /// ordered.
    pub cart_version: u64,
    /// The total that the buyer has seen. If it differs from the real total, nothing is ordered.
    pub expected_total: Money,
    /// The method to charge as soon as the stock is reserved. Without one, the buyer pays with
    /// `POST /payments`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<PaymentMethod>,
    /// The tax number of the buyer, if it is not the one of the cart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<TaxId>,
}

/// The fields of both forms. Reading them at once keeps the JSON pointer of an invalid field, which
/// an untagged enum would lose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default)]
    items: Option<Items>,
    #[serde(default)]
    cart_id: Option<CartId>,
    #[serde(default)]
    cart_version: Option<u64>,
    #[serde(default)]
    expected_total: Option<Money>,
    #[serde(default)]
    payment_method: Option<PaymentMethod>,
    #[serde(default)]
    shipping_address: Option<Address>,
    #[serde(default)]
    billing_address: Option<Address>,
    #[serde(default)]
    tax_id: Option<TaxId>,
    #[serde(default)]
    market: Option<MarketId>,
    #[serde(default)]
    shipping_method: Option<ShippingMethodId>,
    #[serde(default)]
    locale: Option<Locale>,
    #[serde(default)]
    note: Option<Note>,
    #[serde(default)]
    attributes: Option<Attributes>,
}

/// The fields of an order of items.
const OF_ITEMS: &[&str] = &[
    "items",
    "expected_total",
    "payment_method",
    "shipping_address",
    "billing_address",
    "tax_id",
    "market",
    "shipping_method",
    "locale",
    "note",
    "attributes",
];
/// The fields of an order of a cart.
const OF_CART: &[&str] = &["cart_id", "cart_version", "expected_total", "payment_method", "tax_id"];

impl<'de> Deserialize<'de> for OrderRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        let is_of_cart =
            fields.cart_id.is_some() || fields.cart_version.is_some() && fields.items.is_none();
        if is_of_cart {
            fields.of_cart().map(Self::Cart)
        } else {
            fields.of_items().map(Self::Items)
        }
    }
}

impl Fields {
    /// # Errors
    /// If a field of an order of a cart is set, or the items are missing.
    fn of_items<E: Error>(self) -> Result<OrderOfItems, E> {
        reject("cart_version", self.cart_version.as_ref(), OF_ITEMS)?;
        Ok(OrderOfItems {
            items: self.items.ok_or_else(|| E::missing_field("items"))?,
            expected_total: self.expected_total,
            payment_method: self.payment_method,
            shipping_address: self.shipping_address,
            billing_address: self.billing_address,
            tax_id: self.tax_id,
            market: self.market,
            shipping_method: self.shipping_method,
            locale: self.locale,
            note: self.note,
            attributes: self.attributes,
        })
    }

    /// # Errors
    /// If a field is set that the cart decides, or one of the required fields is missing.
    fn of_cart<E: Error>(self) -> Result<OrderOfCart, E> {
        reject("items", self.items.as_ref(), OF_CART)?;
        reject("shipping_address", self.shipping_address.as_ref(), OF_CART)?;
        reject("billing_address", self.billing_address.as_ref(), OF_CART)?;
        reject("market", self.market.as_ref(), OF_CART)?;
        reject("shipping_method", self.shipping_method.as_ref(), OF_CART)?;
        reject("locale", self.locale.as_ref(), OF_CART)?;
        reject("note", self.note.as_ref(), OF_CART)?;
        reject("attributes", self.attributes.as_ref(), OF_CART)?;
        Ok(OrderOfCart {
            cart_id: self.cart_id.ok_or_else(|| E::missing_field("cart_id"))?,
            cart_version: self.cart_version.ok_or_else(|| E::missing_field("cart_version"))?,
            expected_total: self
                .expected_total
                .ok_or_else(|| E::missing_field("expected_total"))?,
            payment_method: self.payment_method,
            tax_id: self.tax_id,
        })
    }
}

/// Rejects a field of the other form. The problem lists the fields of this one.
fn reject<T, E: Error>(
    name: &str,
    value: Option<&T>,
    known: &'static [&'static str],
) -> Result<(), E> {
    if value.is_some() { Err(E::unknown_field(name, known)) } else { Ok(()) }
}

impl OrderOfItems {
    /// The market and the countries whose rules may price the order. Empty if it has no market, or
    /// no destination.
    pub fn rules(&self) -> Vec<(&MarketId, &CountryCode)> {
        let Some(market) = &self.market else { return Vec::new() };
        let (shipping, billing) = (self.shipping_address.as_ref(), self.billing_address.as_ref());
        let countries = possible_countries(shipping, billing).into_iter();
        countries.map(|country| (market, country)).collect()
    }

    pub fn products(&self) -> Vec<ProductId> {
        self.items.merged().into_iter().map(|item| item.product_id).collect()
    }
}

checked_text!(
    /// A tax number, such as a VAT id: up to 40 characters. Its form differs by country, and it is
    /// not checked against a register.
    TaxId: single_line(40), "A tax number, such as a VAT id. It is not checked.", "GB 123 4567 73"
);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<RequestedItem>", into = "Vec<RequestedItem>")]
pub(super) struct Items(Vec<RequestedItem>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct RequestedItem {
    product_id: ProductId,
    #[cfg_attr(feature = "api-document", schema(inline))]
    quantity: Quantity,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub(super) struct Quantity(pub(super) u32);

/// The items of one product in a request, merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedItem {
    /// Index of the product's first item in the request, from 0.
    pub position: usize,
    pub product_id: ProductId,
    pub quantity: u32,
}

impl Items {
    /// The merged items, one per product and sorted by it.
    pub(super) fn merged(&self) -> Vec<MergedItem> {
        let mut merged: Vec<MergedItem> = Vec::new();
        for (position, item) in self.0.iter().enumerate() {
            let (product_id, quantity) = (item.product_id, item.quantity.0);
            match merged.iter_mut().find(|known| known.product_id == product_id) {
                Some(known) => known.quantity += quantity,
                None => merged.push(MergedItem { position, product_id, quantity }),
            }
        }
        merged.sort_by_key(|item| item.product_id);
        merged
    }
}

impl TryFrom<Vec<RequestedItem>> for Items {
    type Error = Violation;

    fn try_from(items: Vec<RequestedItem>) -> Result<Self, Violation> {
        if !(1..=MAX_LINES).contains(&items.len()) {
            return Err(Violation::out_of_range(format!("An order has 1 to {MAX_LINES} items.")));
        }
        let items = Self(items);
        if items.merged().iter().any(|item| item.quantity > MAX_QUANTITY) {
            return Err(Violation::out_of_range(format!(
                "An order has at most {MAX_QUANTITY} of one product, in all lines together."
            )));
        }
        Ok(items)
    }
}

#[cfg(feature = "api-document")]
impl utoipa::PartialSchema for Items {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ArrayBuilder, Ref};

        let items = ArrayBuilder::new().items(Ref::from_schema_name("RequestedItem"));
        let about =
            "The ordered products. Several items of one product are merged, and share its limit.";
        items.description(Some(about)).min_items(Some(1)).max_items(Some(MAX_LINES)).into()
    }
}

#[cfg(feature = "api-document")]
impl utoipa::ToSchema for Items {
    fn name() -> std::borrow::Cow<'static, str> {
        "OrderRequestItems".into()
    }

    fn schemas(
        schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>,
    ) {
        schemas
            .push(("RequestedItem".to_owned(), <RequestedItem as utoipa::PartialSchema>::schema()));
        <RequestedItem as utoipa::ToSchema>::schemas(schemas);
    }
}

impl From<Items> for Vec<RequestedItem> {
    fn from(items: Items) -> Self {
        items.0
    }
}

shared::describe!(
    Quantity,
    number("The quantity of the product.", 2).within(1..=i64::from(MAX_QUANTITY))
);

impl TryFrom<u32> for Quantity {
    type Error = Violation;

    fn try_from(quantity: u32) -> Result<Self, Violation> {
        let within = (1..=MAX_QUANTITY).contains(&quantity);
        within.then_some(Self(quantity)).ok_or_else(|| {
            Violation::out_of_range(format!(
                "A quantity is a whole number from 1 to {MAX_QUANTITY}."
            ))
        })
    }
}

impl From<Quantity> for u32 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

/// The payment method to charge: a token of the payment provider, never a card number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PaymentMethod {
    pub r#type: PaymentMethodType,
    pub token: Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethodType {
    Card,
}

checked_text!(
    /// A provider's token: 1 to 255 visible ASCII characters. It represents a card and is redacted
    /// in logs.
    secret Token as "CardToken": code(
        1..=255,
        "^[!-~]+$",
        |text| text.bytes().all(|b| b.is_ascii_graphic()),
        Violation::new("invalid_token", "A token is 1 to 255 visible ASCII characters."),
    ),
    "The provider's token for a card: visible ASCII characters. Never the card number.",
    "tok_ok"
);

#[cfg(test)]
pub(crate) mod tests;
