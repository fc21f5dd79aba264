//! Queue `product-changes`: updates the copy of a product that orders are priced from.
//!
//! With its own copy of the catalogue, orders places an order without a call to another service.

use std::sync::Arc;

use serde_json::Value;
use shared::{
    queue::{self, FromMessage, InvalidMessage, Received},
    table::TableError,
};

use crate::{Orders, domain::Product};

/// `product_changed.v1`: the present state of a product in the catalogue.
#[derive(Clone, Debug)]
pub struct ProductChanged(Product);

impl FromMessage for ProductChanged {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        queue::read_as("product_changed.v1", kind, data).map(Self)
    }
}

/// Stores the product, unless a newer version is stored. A product that is no longer sold stays as
/// inactive, so a late message cannot make it orderable again.
pub async fn replicate_product(
    orders: Arc<Orders>,
    received: Received<ProductChanged>,
) -> Result<(), TableError> {
    let ProductChanged(product) = received.message;
    orders.store.store_product(&product).await.map(drop)
}
