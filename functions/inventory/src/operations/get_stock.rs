//! `GET /inventory/{product_id}`: returns whether a product is in stock; admins get quantities.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    auth::Caller,
    http::{self, Request, Response},
    ids::ProductId,
    problem::Problem,
};

use crate::{
    Inventory,
    domain::{Stock, shards::ShardedStock},
};

/// Stock of a product. Only admins get the quantities and settings.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct StockView {
    product_id: ProductId,
    /// Whether the product can be ordered.
    in_stock: bool,
    /// The quantities, for admins only.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    levels: Option<StockLevels>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct StockLevels {
    /// The quantity in stock, including the held quantity.
    on_hand: i64,
    /// The quantity that can be ordered.
    available: i64,
    /// The quantity held for orders.
    held: i64,
    /// The operator is notified at this available quantity or below.
    low_stock_threshold: i64,
    /// Number of shards of the stock; 1 means that it is unsharded. It does not affect orders.
    shard_count: u32,
}

/// Returns `200`, for admins with quantities. A product without a stock record is out of stock.
///
/// # Errors
/// 404 for an invalid product id, 401 for an expired token.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/inventory/{product_id}",
    params(("product_id" = ProductId, Path, description = "The product.")),
    responses((status = 200, description = "Whether the product is in stock; for admins also the quantities.", body = StockView)),
    security((), ("bearer" = [])),
    extensions(("x-roles" = json!(["anonymous", "admin"])), ("x-problems" = json!(["product_not_found"]))),
))]
pub async fn get_stock(inventory: Arc<Inventory>, request: Request) -> Result<Response, Problem> {
    let caller = request.optional_caller()?;
    let product_id = request.path_id("product_id", "product")?;
    let sharded_stock = inventory.store.stock_snapshot(product_id).await?.sharded_stock;

    let is_admin = caller.as_ref().is_some_and(Caller::is_admin);
    let public = StockView::from(&sharded_stock.total());
    Ok(http::ok(&if is_admin {
        public.with_levels(&sharded_stock, inventory.threshold_of(&sharded_stock))
    } else {
        public
    }))
}

impl From<&Stock> for StockView {
    fn from(stock: &Stock) -> Self {
        Self { product_id: stock.product_id, in_stock: stock.is_in_stock(), levels: None }
    }
}

impl StockView {
    fn with_levels(self, sharded_stock: &ShardedStock, low_stock_threshold: i64) -> Self {
        let (stock, shard_count) = (sharded_stock.total(), sharded_stock.layout.shard_count);
        let levels = StockLevels {
            on_hand: stock.on_hand,
            available: stock.available,
            held: stock.held(),
            low_stock_threshold,
            shard_count,
        };
        Self { levels: Some(levels), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::shards::{ShardLayout, ShardStock};
    use serde_json::{json, to_value};
    use shared::ids::derive;

    #[test]
    fn only_admins_get_quantities() {
        let product_id = derive(&["lamp"]);
        let shard_stock = |shard, available, on_hand| ShardStock { shard, available, on_hand };
        let shards = vec![shard_stock(0, 0, 1), shard_stock(1, 3, 3), shard_stock(2, 0, 1)];
        let sharded_stock = ShardedStock {
            layout: ShardLayout { shard_count: 2, last_shard: 2 },
            shards,
            ..ShardedStock::empty(product_id)
        };
        let view = || StockView::from(&sharded_stock.total());
        assert_eq!(
            to_value(view()).unwrap(),
            json!({ "product_id": product_id, "in_stock": true })
        );
        let levels = json!({
            "product_id": product_id, "in_stock": true, "on_hand": 5, "available": 3, "held": 2, "low_stock_threshold": 10, "shard_count": 2,
        });
        assert_eq!(to_value(view().with_levels(&sharded_stock, 10)).unwrap(), levels);
        let none = json!({ "product_id": product_id, "in_stock": false });
        assert_eq!(
            to_value(StockView::from(&ShardedStock::empty(product_id).total())).unwrap(),
            none
        );
    }
}
