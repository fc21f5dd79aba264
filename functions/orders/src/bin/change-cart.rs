//! The function `change-cart`; see [`orders::operations::change_cart`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::change_cart()
}
