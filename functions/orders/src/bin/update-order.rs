//! The function `update-order`; see [`orders::operations::update_order`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::update_order()
}
