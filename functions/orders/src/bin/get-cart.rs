//! The function `get-cart`; see [`orders::operations::get_cart`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::get_cart()
}
