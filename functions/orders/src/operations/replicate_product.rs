//! Queue `product-changes`: keeps orders' own copy of the catalogue, so that placing an order asks
//! nobody.

use std::sync::Arc;

use serde_json::Value;
use shared::{
    queue::{self, FromMessage, InvalidMessage, Received},
    table::TableError,
};

use crate::{Orders, domain::Product};

/// `product_changed.v1`: a product as the catalogue has it now.
#[derive(Clone, Debug)]
pub struct ProductChanged(Product);

impl FromMessage for ProductChanged {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        queue::read_as("product_changed.v1", kind, data).map(Self)
    }
}

/// Keeps the product. What is older than the copy changes nothing; a product that is no longer sold
/// stays as inactive, so that a late message cannot bring it back.
pub async fn replicate_product(
    orders: Arc<Orders>,
    received: Received<ProductChanged>,
) -> Result<(), TableError> {
    let ProductChanged(product) = received.message;
    orders.store.store_product(&product).await.map(drop)
}
