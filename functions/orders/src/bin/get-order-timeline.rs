//! The function `get-order-timeline`; see [`orders::operations::get_order_timeline`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::get_order_timeline()
}
