//! The operations of this service, one module per function.

pub mod compile_market;
pub mod create_market;
pub mod create_promotion;
pub mod create_shipping_method;
pub mod create_tax_rate;
pub mod delete_market;
pub mod delete_promotion;
pub mod delete_shipping_method;
pub mod delete_tax_rate;
pub mod get_market;
pub mod get_promotion;
pub mod get_shipping_method;
pub mod get_tax_rate;
pub mod list_markets;
pub mod list_promotions;
pub mod list_shipping_methods;
pub mod list_tax_rates;
pub mod publish_pricing_events;
pub mod resync_pricing;
pub mod update_market;
pub mod update_promotion;
pub mod update_shipping_method;
pub mod update_tax_rate;

mod input;
mod market_change;
mod path;
mod promotion_change;
mod rule_change;
mod view;

pub use view::{MarketView, PromotionView, ShippingMethodView, TaxRateView};

/// Maximum number of attempts of a change. An attempt fails if another change of the same market is
/// written between its read and its write.
const MAX_ATTEMPTS: u32 = 5;

shared::operations! {
    Pricing:
    http create_market(POST "/markets", Token);
    http create_promotion(POST "/promotions", Token);
    http create_shipping_method(POST "/markets/{market}/shipping-methods", Token);
    http create_tax_rate(POST "/markets/{market}/tax-rates", Token);
    http delete_market(DELETE "/markets/{market}", Token);
    http delete_promotion(DELETE "/promotions/{promotion_id}", Token);
    http delete_shipping_method(DELETE "/markets/{market}/shipping-methods/{shipping_method_id}", Token);
    http delete_tax_rate(DELETE "/markets/{market}/tax-rates/{tax_rate_id}", Token);
    http get_market(GET "/markets/{market}", Token);
    http get_promotion(GET "/promotions/{promotion_id}", Token);
    http get_shipping_method(GET "/markets/{market}/shipping-methods/{shipping_method_id}", Token);
    http get_tax_rate(GET "/markets/{market}/tax-rates/{tax_rate_id}", Token);
    http list_markets(GET "/markets", Token);
    http list_promotions(GET "/promotions", Token);
    http list_shipping_methods(GET "/markets/{market}/shipping-methods", Token);
    http list_tax_rates(GET "/markets/{market}/tax-rates", Token);
    http update_market(PATCH "/markets/{market}", Token);
    http update_promotion(PATCH "/promotions/{promotion_id}", Token);
    http update_shipping_method(PATCH "/markets/{market}/shipping-methods/{shipping_method_id}", Token);
    http update_tax_rate(PATCH "/markets/{market}/tax-rates/{tax_rate_id}", Token);
    queue compile_market("compile-market");
    stream publish_pricing_events("pricing");
    invoke resync_pricing();
}
