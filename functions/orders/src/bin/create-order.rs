//! The function `create-order`; see [`orders::operations::create_order`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::create_order()
}
