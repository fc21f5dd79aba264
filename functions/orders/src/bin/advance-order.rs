//! The function `advance-order`; see [`orders::operations::advance_order`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::advance_order()
}
