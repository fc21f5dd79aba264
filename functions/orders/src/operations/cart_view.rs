//! The representation of a cart in the API.

use serde::Serialize;
use shared::{
    address::{Address, AddressLine, CountryCode},
    clock::Timestamp,
    email::Email,
    ids::{CartId, LineId, ProductId, ShippingMethodId},
    market::MarketId,
    money::Money,
};

use super::refusal_view::RefusalView;
use crate::domain::{
    Totals,
    cart::{
        Attributes, Cart, CartContent, CartQuote, CartToken, Locale, Note, Warning,
        quote::CartQuoteLine,
    },
    order_request::TaxId,
    pricing::Price,
};

/// A cart with its prices at the time of the answer. A cart reserves no stock.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = Cart))]
pub struct CartView<'a> {
    id: CartId,
    /// Incremented by every change. An order names the version that the buyer saw.
    version: u64,
    /// Gives access to a guest's cart, in the header `X-Cart-Token`. Only the response that creates
    /// the cart contains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    cart_token: Option<String>,
    /// Null: the goods have the prices of the catalogue, without shipping costs and tax.
    market: Option<&'a MarketId>,
    /// The country of the destination, while there is no shipping address.
    country: Option<&'a CountryCode>,
    region: Option<&'a AddressLine>,
    locale: Option<&'a Locale>,
    email: Option<&'a Email>,
    note: Option<&'a Note>,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Vec<crate::domain::cart::Attribute>>))]
    attributes: Option<&'a Attributes>,
    shipping_address: Option<&'a Address>,
    billing_address: Option<&'a Address>,
    tax_id: Option<&'a TaxId>,
    shipping_method: Option<ShippingMethodId>,
    /// One line per product, sorted by it.
    lines: Vec<CartLineView>,
    /// The total quantity of all lines.
    item_count: u32,
    /// Without lines that have no price, and without shipping while no available method is chosen.
    /// Null if the goods cannot be priced.
    totals: Option<Totals>,
    /// How the totals are computed. Null like `totals`, and without a market.
    price: Option<&'a Price>,
    /// The version of the market's rules.
    pricing_version: Option<u64>,
    /// Why the cart cannot be ordered. Empty if it can be ordered at this total.
    refusals: Vec<RefusalView>,
    /// Changes of the cart that the buyer did not make.
    warnings: Vec<Warning>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// When the cart is deleted, unless it is changed before.
    expires_at: Timestamp,
}

/// A line of a cart. Prices are null if the product cannot be ordered, or has no price.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct CartLineView {
    line_id: LineId,
    product_id: ProductId,
    /// Null if the product does not exist.
    sku: Option<String>,
    /// Null if the product does not exist.
    name: Option<String>,
    quantity: u32,
    unit_price: Option<Money>,
    /// The higher price that is shown next to the unit price.
    compare_at: Option<Money>,
    /// Price times quantity, before discounts.
    line_total: Option<Money>,
}

impl<'a> CartView<'a> {
    pub(super) fn new(cart: &'a Cart, quote: &'a CartQuote) -> Self {
        let CartContent {
            lines: _,
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
        } = &cart.content;
        Self {
            id: cart.cart_id,
            version: cart.version,
            cart_token: None,
            market: market.as_ref(),
            country: country.as_ref(),
            region: region.as_ref(),
            locale: locale.as_ref(),
            email: email.as_ref(),
            note: note.as_ref(),
            attributes: attributes.as_ref(),
            shipping_address: shipping_address.as_ref(),
            billing_address: billing_address.as_ref(),
            tax_id: tax_id.as_ref(),
            shipping_method: *shipping_method,
            lines: quote.lines.iter().map(CartLineView::new).collect(),
            item_count: cart.content.item_count(),
            totals: quote.totals,
            price: quote.price.as_ref(),
            pricing_version: quote.pricing_version,
            refusals: quote.refusals.iter().map(RefusalView::from).collect(),
            warnings: quote.warnings.clone(),
            created_at: cart.created_at,
            updated_at: cart.updated_at,
            expires_at: cart.expires_at,
        }
    }

    /// The view in the answer that creates the cart of a guest.
    pub(super) fn with_token(self, token: &CartToken) -> Self {
        Self { cart_token: Some(token.text()), ..self }
    }

    /// The view with warnings of this request.
    pub(super) fn with_warnings(mut self, warnings: Vec<Warning>) -> Self {
        self.warnings.extend(warnings);
        self
    }
}

impl CartLineView {
    fn new(line: &CartQuoteLine) -> Self {
        let CartQuoteLine { line_id, product_id, quantity, product, price } = line;
        let (sku, name) =
            product.as_ref().map(|product| (product.sku.clone(), product.name.clone())).unzip();
        Self {
            line_id: *line_id,
            product_id: *product_id,
            sku,
            name,
            quantity: *quantity,
            unit_price: price.map(|price| price.unit_price),
            compare_at: price.and_then(|price| price.compare_at),
            line_total: price.map(|price| price.line_total),
        }
    }
}
