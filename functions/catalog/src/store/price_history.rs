//! The history of prices: one item for each change of a price.

use serde::Serialize;
use shared::{
    clock::Timestamp,
    ids::ProductId,
    money::Money,
    table::{Expression, Write, to_item},
};

use super::Store;
use crate::domain::{PriceChange, Product};

/// A change of a price. No operation reads it yet. `price_of` and `changed_at` are the keys of an
/// index that lists the changes of one price: DynamoDB fills it from these items when a release
/// adds it.
#[derive(Serialize)]
struct PriceChangeItem {
    pk: String,
    price_of: String,
    product_id: ProductId,
    /// The market, or the currency for all other markets.
    scope: String,
    /// Absent if the price was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Money>,
    changed_at: Timestamp,
    product_version: u64,
}

impl Store {
    /// Writes that record the changes of prices from `before` to `after`, for the transaction that
    /// stores `after`: at most 42, if 21 prices are replaced by 21 others.
    pub(super) fn price_changes(&self, before: Option<&Product>, after: &Product) -> Vec<Write> {
        let changes =
            PriceChange::between(before.map(|before| &before.details), &after.details).into_iter();
        changes.map(|change| self.price_change(change, after)).collect()
    }

    fn price_change(&self, change: PriceChange, after: &Product) -> Write {
        let PriceChange { scope, price } = change;
        let (product_id, changed_at, product_version) =
            (after.product_id, after.updated_at, after.version);
        let price_of = format!("{product_id}#{scope}");
        let item = PriceChangeItem {
            // The version separates changes of one millisecond.
            pk: format!("PRICE#{price_of}#{changed_at}#{product_version}"),
            price_of,
            product_id,
            scope,
            price,
            changed_at,
            product_version,
        };
        self.products.transact_put(to_item(&item), Expression::not_exists())
    }
}
