//! The function `update-shipping-method`; see [`pricing::operations::update_shipping_method`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::update_shipping_method()
}
