//! The request to place an order. Deserializing these types checks every rule that needs no stored
//! data.

use serde::{Deserialize, Serialize};
use shared::{
    address::{Address, CountryCode},
    checked_text,
    ids::{ProductId, ShippingMethodId},
    market::MarketId,
    money::Money,
    validation::Violation,
};

use super::destination::possible_countries;

/// Maximum number of products in one order: one DynamoDB transaction reserves the stock of all of
/// them.
pub const MAX_LINES: usize = 40;
/// Maximum quantity of one product.
pub const MAX_QUANTITY: u32 = 999;

/// A request to place an order. It contains no prices: the catalogue decides them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    items: Items,
    /// The total that the buyer expects. If it differs from the real total, the order is rejected;
    /// it is never charged.
    #[serde(default)]
    pub expected_total: Option<Money>,
    /// The method to charge as soon as the stock is reserved. Without one, the buyer pays with
    /// `POST /payments`.
    #[serde(default)]
    pub payment_method: Option<PaymentMethod>,
    /// Where the goods are shipped to and taxed. An order in a market needs one if goods are shipped.
    #[serde(default)]
    pub shipping_address: Option<Address>,
    /// The address on the invoice, if it differs from the shipping address. If nothing is shipped, an
    /// order in a market is taxed at this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_address: Option<Address>,
    /// The tax number of the buyer. It is kept and printed, and changes no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<TaxId>,
    /// The market that the order is placed in: its rules decide prices, shipping and tax. Without
    /// one, the order has the prices of the catalogue, no shipping costs and no tax.
    // Absent if it is not set, like the shipping method, so that the fingerprint of a request is the
    // same as in releases without these fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<MarketId>,
    /// One of the market's shipping methods. Required if goods are shipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_method: Option<ShippingMethodId>,
}

checked_text!(
    /// A tax number, such as a VAT id: up to 40 characters. Its form differs by country, and it is
    /// not checked against a register.
    TaxId: single_line(40), "A tax number, such as a VAT id. It is not checked.", "GB 123 4567 73"
);

impl OrderRequest {
    /// The lines, one per product and sorted by it. Each has the index of its first item in the
    /// request, the product, and the quantity.
    pub fn lines(&self) -> impl Iterator<Item = (usize, ProductId, u32)> {
        self.items.merged().into_iter()
    }

    pub fn products(&self) -> Vec<ProductId> {
        self.lines().map(|(_, product, _)| product).collect()
    }

    /// The market and the countries whose rules may price the order. Empty if it has no market, or no
    /// destination.
    pub fn rules(&self) -> Vec<(&MarketId, &CountryCode)> {
        let (shipping, billing) = (self.shipping_address.as_ref(), self.billing_address.as_ref());
        let countries = possible_countries(shipping, billing).into_iter();
        let rules = self
            .market
            .iter()
            .flat_map(|market| countries.clone().map(move |country| (market, country)));
        rules.collect()
    }
}

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

impl Items {
    /// The lines, one per product and sorted by it; see [`OrderRequest::lines`].
    pub(super) fn merged(&self) -> Vec<(usize, ProductId, u32)> {
        let mut lines: Vec<(usize, ProductId, u32)> = Vec::new();
        for (position, item) in self.0.iter().enumerate() {
            match lines.iter_mut().find(|line| line.1 == item.product_id) {
                Some(line) => line.2 += item.quantity.0,
                None => lines.push((position, item.product_id, item.quantity.0)),
            }
        }
        lines.sort_by_key(|line| line.1);
        lines
    }
}

impl TryFrom<Vec<RequestedItem>> for Items {
    type Error = Violation;

    fn try_from(items: Vec<RequestedItem>) -> Result<Self, Violation> {
        if !(1..=MAX_LINES).contains(&items.len()) {
            return Err(Violation::out_of_range(format!("An order has 1 to {MAX_LINES} items.")));
        }
        let items = Self(items);
        if items.merged().iter().any(|line| line.2 > MAX_QUANTITY) {
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
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SPOON: &str = "prd_0199c2a8-0000-7000-8000-00000000000a";
    const FORK: &str = "prd_0199c2a8-0000-7000-8000-00000000000b";

    fn read(items: Value) -> Result<OrderRequest, String> {
        serde_json::from_value(json!({ "items": items })).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_of_one_product_are_merged_and_sorted() {
        let order_request = read(json!([
            { "product_id": FORK, "quantity": 1 },
            { "product_id": SPOON, "quantity": 2 },
            { "product_id": FORK, "quantity": 3 },
        ]));
        let lines: Vec<_> = order_request
            .unwrap()
            .lines()
            .map(|(position, product, quantity)| (position, product.to_string(), quantity))
            .collect();
        assert_eq!(lines, [(1, SPOON.to_owned(), 2), (0, FORK.to_owned(), 4)]);
    }

    #[test]
    fn order_request_keeps_its_items_and_lists_their_products() {
        let items = json!([
            { "product_id": FORK, "quantity": 5 },
            { "product_id": SPOON, "quantity": 2 },
        ]);
        let order_request = read(items.clone()).unwrap();
        assert_eq!(serde_json::to_value(&order_request).unwrap()["items"], items);
        let products: Vec<_> = order_request.products().iter().map(ToString::to_string).collect();
        assert_eq!(products, [SPOON, FORK]);
    }

    #[test]
    fn order_requests_outside_the_limits_are_rejected() {
        let line = |quantity: i64| json!({ "product_id": SPOON, "quantity": quantity });
        assert!(read(json!([line(999)])).is_ok());
        assert!(read(json!(vec![line(1); 40])).is_ok());
        assert!(read(json!([line(500), line(499)])).is_ok());
        for items in [
            json!([]),
            json!(vec![line(1); 41]),
            json!([line(0)]),
            json!([line(1000)]),
            json!([line(-1)]),
            json!([line(500), line(500)]),
        ] {
            assert!(read(items.clone()).is_err(), "{items}");
        }
    }
}
