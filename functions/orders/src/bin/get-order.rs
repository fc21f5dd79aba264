//! The function `get-order`; see [`orders::operations::get_order`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::get_order()
}
