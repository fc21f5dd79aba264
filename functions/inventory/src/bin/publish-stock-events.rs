//! The function `publish-stock-events`; see [`inventory::operations::publish_stock_events`].

fn main() -> Result<(), lambda_http::Error> {
    inventory::operations::run::publish_stock_events()
}
