//! The function `preview-prices`; see [`orders::operations::preview_prices`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::preview_prices()
}
