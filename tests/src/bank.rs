//! What the simulated provider's staff and the buyers' banks do, written straight to the provider's
//! table.

use serde_json::{Value, json};

use crate::aws::Aws;

const BOOKS: &str = "payment-simulator";

fn item(aws: &Aws, pk: &str) -> Value {
    aws.items(BOOKS)
        .into_iter()
        .find(|item| item["pk"]["S"] == pk)
        .unwrap_or_else(|| panic!("{pk} is not in the provider's books"))
}

fn number(item: &Value, name: &str) -> i64 {
    item[name]["N"].as_str().unwrap_or_default().parse().unwrap_or_default()
}

/// Changes how much of a charge can still be refunded.
fn change_refundable(aws: &Aws, transaction_id: &str, by: i64) -> Value {
    let mut charge = item(aws, &format!("CHARGE#{transaction_id}"));
    charge["refundable"] = json!({ "N": (number(&charge, "refundable") + by).to_string() });
    aws.put(BOOKS, &charge);
    charge
}

/// Refunds a charge at the provider's dashboard, under this name.
pub fn refund_by_hand(aws: &Aws, transaction_id: &str, name: &str, amount: i64) -> String {
    let charge = change_refundable(aws, transaction_id, -amount);
    let refund = json!({
        "pk": { "S": format!("REFUND#{name}") }, "order_id": charge["order_id"], "charge_id": { "S": transaction_id },
        "amount": { "N": amount.to_string() }, "currency": charge["currency"],
    });
    aws.put(BOOKS, &refund);
    name.to_owned()
}

/// A refund that succeeded fails: the provider holds the money again. `id` is ours, or the
/// provider's name for one that was made by hand.
pub fn fail_refund(aws: &Aws, id: &str) {
    let mut refund = item(aws, &format!("REFUND#{id}"));
    refund["failure_reason"] = json!({ "S": "expired_or_canceled_card" });
    aws.put(BOOKS, &refund);
    change_refundable(
        aws,
        refund["charge_id"]["S"].as_str().unwrap_or_default(),
        number(&refund, "amount"),
    );
}

/// A bank disputes a charge, or its dispute comes to this state. The provider refuses refunds until
/// the dispute is won.
pub fn dispute(aws: &Aws, dispute_id: &str, transaction_id: &str, state: &str) {
    let mut charge = item(aws, &format!("CHARGE#{transaction_id}"));
    let dispute = json!({
        "pk": { "S": format!("DISPUTE#{dispute_id}") }, "charge_id": { "S": transaction_id }, "amount": charge["amount"],
        "currency": charge["currency"], "state": { "S": state },
    });
    aws.put(BOOKS, &dispute);
    let members = charge.as_object_mut().expect("an item");
    match state {
        "won" | "inquiry_closed" => members.remove("disputed"),
        _ => members.insert("disputed".to_owned(), json!({ "BOOL": true })),
    };
    aws.put(BOOKS, &charge);
}
