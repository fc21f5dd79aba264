//! The function `publish-order-events`; see [`orders::operations::publish_order_events`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::publish_order_events()
}
