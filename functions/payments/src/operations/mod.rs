//! The operations of payments, one file each.

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

shared::operations! {
    Payments:
    http create_payment(POST "/payments", Token);
    http create_refund(POST "/payments/{payment_id}/refunds", Token);
    http get_payment(GET "/payments/{payment_id}", Token);
    http list_payments(GET "/payments", Token);
    http receive_payment_webhook(POST "/webhooks/payments/{provider}", Public);
    queue cancel_payment("cancel-payment");
    queue charge_payment("charge-payment");
    queue open_payment("open-payment");
    queue refund_payment("refund-payment");
    stream publish_payment_events("payments", measured);
    invoke reconcile_payments();
}
