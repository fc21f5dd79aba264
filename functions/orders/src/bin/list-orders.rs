//! The function `list-orders`; see [`orders::operations::list_orders`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::list_orders()
}
