//! The consumer of each queue, with its own parser.

use serde_json::Value;
use shared::queue::{FromMessage, InvalidMessage};

type Read = fn(&str, Value) -> Result<(), InvalidMessage>;

/// Consumers of messages that AWS services send.
pub const FOREIGN: [&str; 1] = ["record-mail-feedback"];

fn reads<M: FromMessage>(kind: &str, data: Value) -> Result<(), InvalidMessage> {
    M::from_message(kind, data).map(|_| ())
}

/// The parser of a queue's consumer.
pub fn of(queue: &str) -> Option<Read> {
    Some(match queue {
        "cancel-payment" => reads::<payments::messages::CancelPayment>,
        "charge-payment" => reads::<payments::messages::ChargePayment>,
        "commit-stock" => reads::<inventory::operations::commit_stock::CommitStock>,
        "compile-market" => reads::<pricing::operations::compile_market::CompileMarket>,
        "forget-recipient" => reads::<notifications::operations::forget_recipient::UserDeleted>,
        "open-payment" => reads::<payments::messages::OpenPayment>,
        "order-events" => reads::<orders::operations::advance_order::OrderEvent>,
        "product-changes" => reads::<orders::operations::replicate_product::ProductChanged>,
        "replicate-pricing" => reads::<orders::operations::replicate_pricing::PricingChanged>,
        "record-entry" => reads::<ledger::operations::record_entry::RecordEntry>,
        "record-mail-feedback" => {
            reads::<notifications::operations::record_mail_feedback::MailFeedback>
        }
        "refund-payment" => reads::<payments::messages::RefundPayment>,
        "release-stock" => reads::<inventory::operations::release_stock::ReleaseStock>,
        "reserve-stock" => reads::<inventory::operations::reserve_stock::ReserveStock>,
        "send-account-notification" | "send-notification" => {
            reads::<notifications::messages::SendNotification>
        }
        "update-buyer" => reads::<orders::operations::update_buyer::AccountChange>,
        _ => return None,
    })
}
