//! The function `reserve-stock`; see [`inventory::operations::reserve_stock`].

fn main() -> Result<(), lambda_http::Error> {
    inventory::operations::run::reserve_stock()
}
