//! The paths of the stories, in the order of their list.

use serde_json::json;
use tests::{bank, events, provider::Network, shop::PAY_WITHIN};

use super::IN_STOCK;
use crate::stage::Stage;

/// A customer has ten minutes for 3-D Secure.
const THREE_D_SECURE_SECONDS: u64 = 600;

/// Places an order, and delivers everything.
async fn placed(stage: &mut Stage, token: Option<&str>) {
    stage.place(1, token).await;
    stage.drain().await;
}

pub(super) async fn delivered(stage: &mut Stage) {
    stage.place(2, Some("tok_ok")).await;
    stage.drain().await;
    delivered_from_here(stage).await;
}

/// The order is shipped and delivered.
pub(super) async fn delivered_from_here(stage: &mut Stage) {
    stage.ship().await;
    stage.drain().await;
    stage.step("deliver-order", events::ADMIN, None).await;
    stage.drain().await;
}

pub(super) async fn not_in_stock(stage: &mut Stage) {
    stage.place(IN_STOCK + 1, Some("tok_ok")).await;
    stage.drain().await;
}

pub(super) async fn declined(stage: &mut Stage) {
    placed(stage, Some("tok_declined")).await;
    stage.pay("tok_ok").await;
    stage.drain().await;
}

pub(super) async fn charged_without_answer(stage: &mut Stage) {
    paid_in_time(stage, "tok_timeout_after_charge").await;
}

pub(super) async fn charge_lost(stage: &mut Stage) {
    paid_in_time(stage, "tok_timeout_before_charge").await;
}

pub(super) async fn provider_failed(stage: &mut Stage) {
    paid_in_time(stage, "tok_5xx_then_ok").await;
}

async fn paid_in_time(stage: &mut Stage, token: &str) {
    placed(stage, Some(token)).await;
    for _ in 0..3 {
        stage.later(300).await;
    }
}

pub(super) async fn reported_late(stage: &mut Stage) {
    placed(stage, Some("tok_late_webhook")).await;
    for event in ["evt_1", "evt_2", "evt_2"] {
        stage.payment_webhook(event).await;
    }
    stage.drain().await;
    stage.later(300).await;
}

pub(super) async fn provider_down(stage: &mut Stage) {
    stage.shop.provider.set_network(Network::RequestsLost);
    placed(stage, Some("tok_ok")).await;
    stage.later(300).await;
    stage.shop.provider.set_network(Network::Up);
    for _ in 0..4 {
        stage.later(300).await;
    }
}

pub(super) async fn provider_down_too_long(stage: &mut Stage) {
    stage.shop.provider.set_network(Network::RequestsLost);
    placed(stage, Some("tok_ok")).await;
    stage.later(PAY_WITHIN.as_secs() + 60).await;
    stage.shop.provider.set_network(Network::Up);
    stage.later(3600).await;
    stage.later(3600).await;
}

pub(super) async fn key_rejected(stage: &mut Stage) {
    stage.shop.provider.set_network(Network::Unauthorized);
    placed(stage, Some("tok_ok")).await;
    stage.shop.provider.set_network(Network::Up);
    stage.pay("tok_ok").await;
    stage.drain().await;
}

pub(super) async fn three_d_secure(stage: &mut Stage) {
    stage.place(3, Some("tok_3ds")).await;
    stage.drain().await;
    stage.reshard(3).await;
    stage.payment_webhook("evt_1").await;
    stage.drain().await;
    stage.later(300).await;
}

pub(super) async fn three_d_secure_declined(stage: &mut Stage) {
    placed(stage, Some("tok_3ds_declined")).await;
    stage.payment_webhook("evt_1").await;
    stage.drain().await;
    stage.pay("tok_ok").await;
    stage.drain().await;
}

pub(super) async fn three_d_secure_abandoned(stage: &mut Stage) {
    placed(stage, Some("tok_3ds_abandoned")).await;
    stage.later(THREE_D_SECURE_SECONDS + 60).await;
    stage.later(PAY_WITHIN.as_secs()).await;
}

pub(super) async fn not_paid(stage: &mut Stage) {
    placed(stage, None).await;
    stage.later(PAY_WITHIN.as_secs() + 60).await;
}

pub(super) async fn expired(stage: &mut Stage) {
    stage.shop.provider.set_network(Network::ChargesDelayed);
    placed(stage, Some("tok_ok")).await;
    stage.later(PAY_WITHIN.as_secs() + 60).await;
    stage.deliver_late_charges().await;
    stage.shop.provider.set_network(Network::Up);
    stage.later(300).await;
    stage.later(3600).await;
}

pub(super) async fn cancelled_at_once(stage: &mut Stage) {
    stage.place(1, Some("tok_ok")).await;
    stage.step("cancel-order", events::USER, None).await;
    stage.drain().await;
}

pub(super) async fn cancelled_unpaid(stage: &mut Stage) {
    placed(stage, None).await;
    stage.step("cancel-order", events::USER, None).await;
    stage.drain().await;
}

pub(super) async fn cancelled_before_charge(stage: &mut Stage) {
    overtaken(stage, Some("tok_ok"), "charge-payment").await;
}

pub(super) async fn cancelled_before_opening(stage: &mut Stage) {
    overtaken(stage, None, "open-payment").await;
}

/// The commands of a cancellation arrive before those of this queue.
async fn overtaken(stage: &mut Stage, token: Option<&str>, delayed: &str) {
    stage.place(1, token).await;
    stage.drain_without(delayed).await;
    stage.step("cancel-order", events::USER, None).await;
    stage.drain_without(delayed).await;
    stage.drain().await;
    stage.later(300).await;
}

pub(super) async fn cancelled_during_three_d_secure(stage: &mut Stage) {
    placed(stage, Some("tok_3ds")).await;
    stage.step("cancel-order", events::USER, None).await;
    stage.drain().await;
    stage.later(300).await;
}

pub(super) async fn cancelled(stage: &mut Stage) {
    stage.shop.provider.set_network(Network::ChargesDelayed);
    placed(stage, Some("tok_ok")).await;
    stage.step("cancel-order", events::USER, None).await;
    stage.drain().await;
    stage.deliver_late_charges().await;
    stage.shop.provider.set_network(Network::Up);
    stage.later(300).await;
    stage.later(3600).await;
}

pub(super) async fn cancelled_without_provider(stage: &mut Stage) {
    stage.shop.provider.set_network(Network::RequestsLost);
    placed(stage, Some("tok_ok")).await;
    stage.step("cancel-order", events::USER, None).await;
    stage.drain().await;
    stage.later(300).await;
    stage.shop.provider.set_network(Network::Up);
    stage.later(3600).await;
    stage.later(3600).await;
}

pub(super) async fn cancelled_after_payment(stage: &mut Stage) {
    placed(stage, Some("tok_ok")).await;
    stage.step("cancel-order", events::ADMIN, None).await;
    stage.drain().await;
    stage.later(300).await;
}

pub(super) async fn cancelled_after_shipment(stage: &mut Stage) {
    placed(stage, Some("tok_ok")).await;
    stage.ship().await;
    stage.step("cancel-order", events::ADMIN, None).await;
    stage.drain().await;
}

pub(super) async fn refunded(stage: &mut Stage) {
    placed(stage, Some("tok_ok")).await;
    let part = stage.refund("part", Some(1000)).await;
    stage.drain().await;
    stage.refund("rest", None).await;
    stage.drain().await;
    // Another refund under the same key. If a fault delays the capture past all three requests,
    // each is rejected with 409 and its key stays unused.
    let another = stage.refund("part", Some(2000)).await;
    let expected = if part.status() == 409 { 409 } else { 422 };
    stage.ensure(another.status() == expected, || format!("create-refund: {:?}", another.answer));
}

pub(super) async fn refunded_by_provider(stage: &mut Stage) {
    placed(stage, Some("tok_ok")).await;
    let charge = stage.charge();
    if charge.is_empty() {
        return;
    }
    let id = bank::refund_by_hand(&stage.shop.aws, &charge, "re_dashboard", 1000);
    let object = json!({ "object": "refund", "id": id, "payment_intent": charge, "metadata": {} });
    for event in ["evt_1", "evt_2"] {
        stage.webhook(event, "refund.created", &object).await;
    }
    stage.drain().await;
}

pub(super) async fn refund_failed(stage: &mut Stage) {
    placed(stage, Some("tok_ok")).await;
    stage.step("cancel-order", events::ADMIN, None).await;
    stage.drain().await;
    let Some((ours, theirs)) = stage.first_refund().filter(|(_, theirs)| !theirs.is_empty()) else {
        return;
    };
    bank::fail_refund(&stage.shop.aws, &ours);
    let metadata = json!({ "payment_id": stage.payment(), "refund_id": ours });
    let object = json!({ "object": "refund", "id": theirs, "metadata": metadata });
    stage.webhook("evt_1", "refund.failed", &object).await;
    stage.drain().await;
    for _ in 0..3 {
        stage.later(3600).await;
    }
}

pub(super) async fn dispute_won(stage: &mut Stage) {
    disputed(stage, "won").await;
}

pub(super) async fn dispute_lost(stage: &mut Stage) {
    stage.may_need_review = "dispute_lost";
    disputed(stage, "lost").await;
}

async fn disputed(stage: &mut Stage, end: &str) {
    placed(stage, Some("tok_ok")).await;
    let charge = stage.charge();
    if charge.is_empty() {
        return;
    }
    let object = json!({ "object": "dispute", "id": "dp_1", "payment_intent": charge });
    for (state, kind) in [("open", "created"), ("withdrawn", "funds_withdrawn"), (end, "closed")] {
        bank::dispute(&stage.shop.aws, "dp_1", &charge, state);
        stage.webhook(&format!("evt_{state}"), &format!("charge.dispute.{kind}"), &object).await;
        stage.drain().await;
    }
}

pub(super) async fn account_deleted(stage: &mut Stage) {
    placed(stage, Some("tok_ok")).await;
    stage.keep_addresses().await;
    stage.leave_cart().await;
    stage.delete_account().await;
    stage.drain().await;
    delivered_from_here(stage).await;
}

/// The messages of the ledger arrive again after their entries are posted.
pub(super) async fn posted(stage: &mut Stage) {
    stage.place(1, Some("tok_ok")).await;
    stage.drain_without("record-entry").await;
    let messages = stage.shop.aws.queues().waiting("record-entry");
    stage.drain().await;
    stage.settle().await;
    stage.wait_for_posting();
    for _ in 0..3 {
        if stage.step_audit().await {
            break;
        }
    }
    for message in messages {
        stage.shop.aws.queues().make_visible("record-entry", message);
    }
    stage.drain().await;
    stage.wait_for_posting();
}

/// A buyer without a verified e-mail address may have one unpaid order.
pub(super) async fn too_many_unpaid(stage: &mut Stage) {
    let called = stage.place_unverified("order").await;
    stage.ensure(called.status() == 201, || format!("create-order: {:?}", called.answer));
    let id = called.json()["id"].as_str().unwrap_or_default().to_owned();
    stage.placed(id, events::USER.to_owned());
    let called = stage.place_unverified("another").await;
    stage.ensure(called.status() == 409, || format!("create-order: {:?}", called.answer));
    stage.drain().await;
    stage.step("cancel-order", events::USER, None).await;
    stage.drain().await;
}

/// The order costs nothing: its card is not charged, and it cannot be paid.
pub(super) async fn free(stage: &mut Stage) {
    stage.reprice(0);
    placed(stage, Some("tok_ok")).await;
    stage.pay("tok_ok").await;
    delivered_from_here(stage).await;
}

/// Nothing is shipped: the order is delivered once its stock is committed.
pub(super) async fn download(stage: &mut Stage) {
    stage.sell_as_download();
    stage.place_download("tok_ok").await;
    stage.drain().await;
    stage.ship().await;
    stage.step("deliver-order", events::ADMIN, None).await;
    stage.drain().await;
}

pub(super) async fn download_cancelled(stage: &mut Stage) {
    stage.sell_as_download();
    stage.place_download("tok_ok").await;
    stage.drain().await;
    stage.step("cancel-order", events::USER, None).await;
    stage.step("deliver-order", events::ADMIN, None).await;
    stage.drain().await;
}

pub(super) async fn free_cancelled(stage: &mut Stage) {
    stage.reprice(0);
    placed(stage, None).await;
    stage.step("cancel-order", events::USER, None).await;
    stage.drain().await;
}

pub(super) async fn free_cancelled_at_once(stage: &mut Stage) {
    stage.reprice(0);
    cancelled_at_once(stage).await;
}
