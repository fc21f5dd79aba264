//! One file for each function of the service.

pub mod advance_order;
pub mod cancel_order;
pub mod create_order;
pub mod deliver_order;
pub mod get_order;
pub mod list_orders;
pub mod publish_order_events;
pub mod replicate_product;
pub mod resume_orders;
pub mod ship_order;
pub mod update_buyer;
mod view;

/// What the API document says of this service.
#[cfg(feature = "api-document")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    create_order::create_order,
    get_order::get_order,
    list_orders::list_orders,
    cancel_order::cancel_order,
    ship_order::ship_order,
    deliver_order::deliver_order,
))]
pub struct ApiDocument;
