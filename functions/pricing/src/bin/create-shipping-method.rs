//! The function `create-shipping-method`; see [`pricing::operations::create_shipping_method`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::create_shipping_method()
}
