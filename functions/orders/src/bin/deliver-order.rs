//! The function `deliver-order`; see [`orders::operations::deliver_order`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::deliver_order()
}
