//! The function `adjust-stock`; see [`inventory::operations::adjust_stock`].

fn main() -> Result<(), lambda_http::Error> {
    inventory::operations::run::adjust_stock()
}
