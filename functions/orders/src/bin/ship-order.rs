//! The function `ship-order`; see [`orders::operations::ship_order`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::ship_order()
}
