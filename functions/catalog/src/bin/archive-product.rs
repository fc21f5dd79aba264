//! The function `archive-product`; see [`catalog::operations::archive_product`].

fn main() -> Result<(), lambda_http::Error> {
    catalog::operations::run::archive_product()
}
