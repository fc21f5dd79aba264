//! `GET /inventory/{product_id}`: says whether a product can be had; to those who run the shop, how many there are.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    auth::Caller,
    http::{self, Request, Response},
    ids::ProductId,
    problem::Problem,
};

use crate::{Inventory, domain::Stock};

/// How many there are of a product.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct StockView {
    product_id: ProductId,
    /// Whether one can be ordered.
    in_stock: bool,
    /// For admins.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct Figures {
    /// So many are on the shelves.
    on_hand: i64,
    /// So many of them can be ordered.
    available: i64,
    /// So many of them are held for orders.
    held: i64,
}

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    http::run(Inventory::from_env, get_stock)
}

/// Answers `200`, with figures for admins. A product that inventory has never seen is out of stock.
///
/// # Errors
/// 404 for what is no product's id, 401 for a token that has expired.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/inventory/{product_id}",
    params(("product_id" = ProductId, Path, description = "The product.")),
    responses((status = 200, description = "Whether there is one; for admins how many there are.", body = StockView)),
    security((), ("bearer" = [])),
    extensions(("x-roles" = json!(["anonymous", "admin"])), ("x-problems" = json!(["product_not_found"]))),
))]
pub async fn get_stock(inventory: Arc<Inventory>, request: Request) -> Result<Response, Problem> {
    let visitor = request.visitor()?;
    let product_id = request.path_id("product_id", "product")?;
    let stock = inventory.store.stock_of(product_id).await?;

    let is_admin = visitor.as_ref().is_some_and(Caller::is_admin);
    Ok(http::ok(&if is_admin { StockView::with_figures(&stock) } else { StockView::from(&stock) }))
}

impl From<&Stock> for StockView {
    fn from(stock: &Stock) -> Self {
        Self { product_id: stock.product_id, in_stock: stock.is_in_stock(), figures: None }
    }
}

impl StockView {
    fn with_figures(stock: &Stock) -> Self {
        let figures = Figures { on_hand: stock.on_hand, available: stock.available, held: stock.held() };
        Self { figures: Some(figures), ..Self::from(stock) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, to_value};
    use shared::ids::derive;

    #[test]
    fn the_public_learns_only_whether_there_is_one() {
        let product_id = derive(&["lamp"]);
        let stock = Stock { product_id, available: 3, on_hand: 5 };
        let public = json!({ "product_id": product_id, "in_stock": true });
        assert_eq!(to_value(StockView::from(&stock)).unwrap(), public);
        let figures = json!({ "product_id": product_id, "in_stock": true, "on_hand": 5, "available": 3, "held": 2 });
        assert_eq!(to_value(StockView::with_figures(&stock)).unwrap(), figures);
        let none = json!({ "product_id": product_id, "in_stock": false });
        assert_eq!(to_value(StockView::from(&Stock::none(product_id))).unwrap(), none);
    }
}
