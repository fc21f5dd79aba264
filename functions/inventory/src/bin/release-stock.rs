//! The function `release-stock`; see [`inventory::operations::release_stock`].

fn main() -> Result<(), lambda_http::Error> {
    inventory::operations::run::release_stock()
}
