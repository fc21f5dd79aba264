//! One file for each operation.

pub mod cancel_payment;
pub mod charge_payment;
pub mod create_payment;
pub mod create_refund;
pub mod get_payment;
pub mod list_payments;
pub mod open_payment;
pub mod publish_payment_events;
pub mod receive_payment_webhook;
pub mod reconcile_payments;
pub mod refund_payment;

/// What the API document says of this service.
#[cfg(feature = "api-document")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    create_payment::create_payment,
    create_refund::create_refund,
    get_payment::get_payment,
    list_payments::list_payments,
    receive_payment_webhook::receive_payment_webhook
))]
pub struct ApiDocument;
