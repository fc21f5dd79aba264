//! The function `merge-cart`; see [`orders::operations::merge_cart`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::merge_cart()
}
