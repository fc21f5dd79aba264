//! The function `create-cart`; see [`orders::operations::create_cart`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::create_cart()
}
