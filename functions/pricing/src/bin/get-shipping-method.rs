//! The function `get-shipping-method`; see [`pricing::operations::get_shipping_method`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::get_shipping_method()
}
