//! The function `publish-pricing-events`; see [`pricing::operations::publish_pricing_events`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::publish_pricing_events()
}
