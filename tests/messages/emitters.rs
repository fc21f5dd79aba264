//! The emitters of each message type, with the struct of its data.

use crate::schemas::{Emitted, of};

/// Every message type, with the data of each of its emitters.
pub fn all() -> Vec<(&'static str, Vec<Emitted>)> {
    let reservation = || vec![of::<inventory::messages::ReservationUpdate>("inventory")];
    let payment = || vec![of::<payments::messages::PaymentEvent>("payments")];
    let command = || vec![of::<orders::messages::OrderCommand>("orders")];
    vec![
        ("product_changed.v1", vec![of::<catalog::messages::ProductChanged>("catalog")]),
        ("compile_market.v1", vec![of::<pricing::messages::CompileMarket>("pricing")]),
        ("pricing_changed.v1", vec![of::<pricing::messages::PricingChanged>("pricing")]),
        ("reserve_stock.v1", vec![of::<orders::messages::ReserveStock>("orders")]),
        ("release_stock.v1", command()),
        ("commit_stock.v1", command()),
        ("open_payment.v1", vec![of::<orders::messages::OpenPayment>("orders")]),
        ("charge_payment.v1", vec![of::<orders::messages::OpenPayment>("orders")]),
        ("cancel_payment.v1", vec![of::<orders::messages::CancelPayment>("orders")]),
        ("refund_payment.v1", command()),
        ("stock_reserved.v1", reservation()),
        ("stock_rejected.v1", reservation()),
        ("stock_released.v1", reservation()),
        ("stock_committed.v1", reservation()),
        ("payment_opened.v1", payment()),
        ("payment_started.v1", payment()),
        ("payment_declined.v1", payment()),
        ("payment_unknown.v1", payment()),
        ("payment_succeeded.v1", payment()),
        ("payment_closed.v1", payment()),
        ("payment_refunded.v1", payment()),
        ("payment_refund_failed.v1", payment()),
        ("payment_disputed.v1", payment()),
        (
            "record_entry.v1",
            vec![
                of::<payments::messages::RecordEntry>("payments"),
                of::<inventory::messages::RecordEntry>("inventory"),
                of::<orders::messages::RecordEntry>("orders"),
            ],
        ),
        (
            "send_notification.v1",
            vec![
                of::<users::messages::SendNotification>("users"),
                of::<orders::messages::SendNotification>("orders"),
                of::<inventory::messages::SendNotification>("inventory"),
            ],
        ),
        ("user_changed.v1", vec![of::<users::messages::UserChanged>("users")]),
        ("user_deleted.v1", vec![of::<users::messages::UserDeleted>("users")]),
    ]
}
