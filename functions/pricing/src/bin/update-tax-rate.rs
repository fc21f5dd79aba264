//! The function `update-tax-rate`; see [`pricing::operations::update_tax_rate`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::update_tax_rate()
}
