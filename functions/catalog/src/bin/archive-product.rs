//! The function `archive-product`; see [`catalog::operations::archive_product`].

fn main() -> Result<(), lambda_http::Error> {
    catalog::operations::archive_product::main()
}
