//! The operations of the service. Each file is one Lambda function.

pub mod advance_order;
pub mod cancel_order;
mod cart_view;
pub mod change_cart;
pub mod create_cart;
pub mod create_order;
pub mod deliver_order;
pub mod get_cart;
pub mod get_order;
pub mod get_order_timeline;
pub mod list_orders;
pub mod list_shipping_options;
pub mod merge_cart;
pub mod preview_prices;
pub mod publish_order_events;
mod refusal_view;
pub mod replicate_pricing;
pub mod replicate_product;
pub mod resume_orders;
pub mod ship_order;
pub mod update_buyer;
pub mod update_order;
mod view;

shared::operations! {
    Orders:
    http cancel_order(POST "/orders/{order_id}/cancel", Token);
    http change_cart(POST "/carts/{cart_id}/changes", OptionalToken);
    http create_cart(POST "/carts", OptionalToken);
    http create_order(POST "/orders", Token);
    http deliver_order(POST "/orders/{order_id}/deliver", Token);
    http get_cart(GET "/carts/{cart_id}", OptionalToken);
    http get_order(GET "/orders/{order_id}", Token);
    http get_order_timeline(GET "/orders/{order_id}/timeline", Token);
    http list_orders(GET "/orders", Token);
    http list_shipping_options(GET "/carts/{cart_id}/shipping-options", OptionalToken);
    http merge_cart(POST "/carts/{cart_id}/merge", Token);
    http preview_prices(POST "/prices/preview", OptionalToken);
    http ship_order(POST "/orders/{order_id}/ship", Token);
    http update_order(PATCH "/orders/{order_id}", Token);
    queue advance_order("order-events");
    queue replicate_pricing("replicate-pricing");
    queue replicate_product("product-changes");
    queue update_buyer("update-buyer");
    stream publish_order_events("orders", measured);
    invoke resume_orders();
}
