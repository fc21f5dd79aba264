//! The operations of inventory, one file each.

pub mod adjust_stock;
pub mod check_reservations;
pub mod commit_stock;
pub mod get_stock;
pub mod publish_stock_events;
pub mod release_stock;
pub mod reserve_stock;

shared::operations! {
    Inventory:
    http adjust_stock(POST "/inventory/{product_id}/adjustments", Token);
    http get_stock(GET "/inventory/{product_id}", OptionalToken);
    queue commit_stock("commit-stock");
    queue release_stock("release-stock");
    queue reserve_stock("reserve-stock");
    stream publish_stock_events("stock", measured);
    invoke check_reservations();
}
