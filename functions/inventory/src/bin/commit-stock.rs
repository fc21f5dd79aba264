//! The function `commit-stock`; see [`inventory::operations::commit_stock`].

fn main() -> Result<(), lambda_http::Error> {
    inventory::operations::run::commit_stock()
}
