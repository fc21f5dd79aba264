//! The function `cancel-order`; see [`orders::operations::cancel_order`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::cancel_order()
}
