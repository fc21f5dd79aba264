//! The function `get-stock`; see [`inventory::operations::get_stock`].

fn main() -> Result<(), lambda_http::Error> {
    inventory::operations::run::get_stock()
}
