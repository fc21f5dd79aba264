//! The requests that create and change a cart. Deserializing these types checks every rule that
//! needs no stored data.

use std::collections::BTreeSet;

use serde::Deserialize;
use shared::{
    address::{Address, AddressLine, CountryCode},
    email::Email,
    ids::{OrderId, ProductId, ShippingMethodId},
    market::MarketId,
    validation::Violation,
};

use super::{
    Attributes, Cart, CartContent, CartError, CartLine, CartState, KEPT_MUTATIONS, Locale,
    MAX_LINES, MutationId, Note, QuantityLimits, Stamp,
};
use crate::domain::order_request::{MAX_QUANTITY, Quantity, TaxId};

/// The optional body of a request for a cart.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateCart {
    /// The market whose rules decide prices, shipping and tax. Without one, the goods have the
    /// prices of the catalogue.
    #[serde(default)]
    pub market: Option<MarketId>,
    /// The country of the destination, while there is no address.
    #[serde(default)]
    pub country: Option<CountryCode>,
    /// The region of the destination, with `country`.
    #[serde(default)]
    pub region: Option<AddressLine>,
    #[serde(default)]
    pub locale: Option<Locale>,
    /// An order of the user, whose lines, market, addresses and shipping method the cart takes. It
    /// needs an access token.
    #[serde(default)]
    pub from_order: Option<OrderId>,
}

impl From<CreateCart> for CartContent {
    fn from(create: CreateCart) -> Self {
        let CreateCart { market, country, region, locale, from_order: _ } = create;
        Self { market, country, region, locale, ..Self::default() }
    }
}

/// Changes to a cart. Absent fields stay unchanged, and null removes a value.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CartChange {
    /// Products and their new quantities. 0 removes the line.
    #[cfg_attr(feature = "api-document", schema(nullable = false, value_type = Vec<SetLine>, max_items = 40, required = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    set: Option<Lines<SetLine>>,
    /// Products and the quantities that are added.
    #[cfg_attr(feature = "api-document", schema(nullable = false, value_type = Vec<AddLine>, max_items = 40, required = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    add: Option<Lines<AddLine>>,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Email>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    email: Option<Option<Email>>,
    /// Where the goods are shipped to and taxed.
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Address>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    shipping_address: Option<Option<Address>>,
    /// The address on the invoice, if it differs from the shipping address. Goods that are not
    /// shipped are taxed there.
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Address>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    billing_address: Option<Option<Address>>,
    /// The tax number of the buyer. It is stored and printed, and does not affect the price.
    #[cfg_attr(feature = "api-document", schema(value_type = Option<TaxId>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    tax_id: Option<Option<TaxId>>,
    /// One of the shipping options of the cart.
    #[cfg_attr(feature = "api-document", schema(value_type = Option<ShippingMethodId>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    shipping_method: Option<Option<ShippingMethodId>>,
    /// The market whose rules decide prices, shipping and tax.
    #[cfg_attr(feature = "api-document", schema(value_type = Option<MarketId>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    market: Option<Option<MarketId>>,
    /// The country of the destination, while there is no address.
    #[cfg_attr(feature = "api-document", schema(value_type = Option<CountryCode>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    country: Option<Option<CountryCode>>,
    /// The region of the destination, with `country`.
    #[cfg_attr(feature = "api-document", schema(value_type = Option<AddressLine>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    region: Option<Option<AddressLine>>,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Locale>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    locale: Option<Option<Locale>>,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Note>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    note: Option<Option<Note>>,
    /// Replaces all attributes.
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Vec<super::Attribute>>, min_items = 0, max_items = 20))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    attributes: Option<Option<Attributes>>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    mutation_id: Option<MutationId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct SetLine {
    product_id: ProductId,
    #[cfg_attr(feature = "api-document", schema(inline))]
    quantity: SetQuantity,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct AddLine {
    product_id: ProductId,
    #[cfg_attr(feature = "api-document", schema(inline))]
    quantity: Quantity,
}

/// A quantity that replaces the former one.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "u32")]
struct SetQuantity(u32);

shared::describe!(
    SetQuantity,
    number("The new quantity of the product. 0 removes it.", 2).within(0..=i64::from(MAX_QUANTITY))
);

impl TryFrom<u32> for SetQuantity {
    type Error = Violation;

    fn try_from(quantity: u32) -> Result<Self, Violation> {
        let is_within = (0..=MAX_QUANTITY).contains(&quantity);
        is_within.then_some(Self(quantity)).ok_or_else(|| {
            Violation::out_of_range(format!(
                "A quantity is a whole number from 0 to {MAX_QUANTITY}."
            ))
        })
    }
}

/// A list of at most as many lines as a cart.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Vec<T>")]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Lines<T>(Vec<T>);

impl<T> TryFrom<Vec<T>> for Lines<T> {
    type Error = Violation;

    fn try_from(lines: Vec<T>) -> Result<Self, Violation> {
        if lines.len() > MAX_LINES {
            let detail = format!("A request has at most {MAX_LINES} products in a list.");
            return Err(Violation::out_of_range(detail));
        }
        Ok(Self(lines))
    }
}

/// A line of a request, with its list and its index in it.
#[derive(Clone, Copy)]
struct LineChange {
    list: &'static str,
    position: usize,
    product_id: ProductId,
    quantity: u32,
}

impl CartChange {
    /// Checks the rules that need no stored data and concern several fields.
    ///
    /// # Errors
    /// If the request changes nothing, or names a product twice.
    pub fn check(&self) -> Result<(), CartError> {
        let is_empty = Self { mutation_id: None, ..self.clone() } == Self::default();
        if is_empty {
            return Err(CartError::NothingToChange);
        }
        let mut named = BTreeSet::new();
        match self.lines().find(|line| !named.insert(line.product_id)) {
            Some(LineChange { list, position, .. }) => {
                Err(CartError::RepeatedProduct { list, position })
            }
            None => Ok(()),
        }
    }

    /// The products of the request.
    pub fn products(&self) -> impl Iterator<Item = ProductId> {
        self.lines().map(|line| line.product_id)
    }

    /// The content of a cart after the change of its fields, with its lines unchanged.
    pub fn fields_after(&self, before: &CartContent) -> CartContent {
        let mut content = before.clone();
        set(&mut content.email, &self.email);
        set(&mut content.shipping_address, &self.shipping_address);
        set(&mut content.billing_address, &self.billing_address);
        set(&mut content.tax_id, &self.tax_id);
        set(&mut content.shipping_method, &self.shipping_method);
        set(&mut content.market, &self.market);
        set(&mut content.country, &self.country);
        set(&mut content.region, &self.region);
        set(&mut content.locale, &self.locale);
        set(&mut content.note, &self.note);
        set(&mut content.attributes, &self.attributes);
        content.attributes = content.attributes.filter(|attributes| !attributes.is_empty());
        content
    }

    fn lines(&self) -> impl Iterator<Item = LineChange> {
        let set = self.set.iter().flat_map(|lines| &lines.0).enumerate().map(|(position, line)| {
            let SetLine { product_id, quantity: SetQuantity(quantity) } = *line;
            LineChange { list: "set", position, product_id, quantity }
        });
        let add = self.add.iter().flat_map(|lines| &lines.0).enumerate().map(|(position, line)| {
            let AddLine { product_id, quantity: Quantity(quantity) } = *line;
            LineChange { list: "add", position, product_id, quantity }
        });
        set.chain(add)
    }

    fn lines_after(
        &self,
        before: &CartContent,
        limits: QuantityLimits<'_>,
    ) -> Result<Vec<CartLine>, CartError> {
        let mut lines = before.lines_by_product();
        for LineChange { list, position, product_id, quantity } in self.lines() {
            let known = lines.remove(&product_id);
            let former = known.as_ref().map_or(0, |line| line.quantity);
            let quantity = if list == "add" { former + quantity } else { quantity };
            if quantity == 0 {
                continue;
            }
            if limits.on_sale(product_id).is_none() {
                return Err(CartError::UnknownProduct { list, position });
            }
            let maximum = limits.maximum(product_id).min(MAX_QUANTITY);
            if quantity > maximum {
                return Err(CartError::TooManyOfProduct { list, position, maximum });
            }
            let seen_price = known.and_then(|line| line.seen_price);
            lines.insert(product_id, CartLine { product_id, quantity, seen_price });
        }
        if lines.len() > MAX_LINES {
            return Err(CartError::TooManyLines);
        }
        Ok(lines.into_values().collect())
    }
}

impl Cart {
    /// Returns the cart after a change; `None` if the change was applied before.
    ///
    /// # Errors
    /// If a product is not on sale, or a limit is exceeded.
    pub fn change(
        &self,
        change: &CartChange,
        limits: QuantityLimits<'_>,
        stamp: Stamp,
    ) -> Result<Option<Self>, CartError> {
        debug_assert_eq!(self.state, CartState::Open);
        if change.mutation_id.as_ref().is_some_and(|id| self.mutations.contains(id)) {
            return Ok(None);
        }
        let mut content = change.fields_after(&self.content);
        content.lines = change.lines_after(&self.content, limits)?;
        // A price of another market is not a change of the price.
        if content.market != self.content.market {
            for line in &mut content.lines {
                line.seen_price = None;
            }
        }
        let mut next = self.with_content(content, stamp);
        next.mutations.extend(change.mutation_id.clone());
        let forgotten = next.mutations.len().saturating_sub(KEPT_MUTATIONS);
        next.mutations.drain(..forgotten);
        Ok(Some(next))
    }
}

fn set<T: Clone>(field: &mut Option<T>, change: &Option<Option<T>>) {
    if let Some(value) = change {
        field.clone_from(value);
    }
}
