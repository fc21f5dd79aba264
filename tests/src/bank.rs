//! Actions of the simulated provider's staff and of the buyers' banks, written directly to the
//! provider's table.

use serde_json::{Value, json};

use crate::aws::Aws;

const BOOKS: &str = "payment-simulator";

fn item(aws: &Aws, pk: &str) -> Value {
    aws.items(BOOKS)
        .into_iter()
        .find(|item| item["pk"]["S"] == pk)
        .unwrap_or_else(|| panic!("{pk} is not in the provider's table"))
}

fn number(item: &Value, name: &str) -> i64 {
    item[name]["N"].as_str().unwrap_or_default().parse().unwrap_or_default()
}

/// Changes the refundable amount of a charge.
fn change_refundable(aws: &Aws, transaction_id: &str, by: i64) -> Value {
    let mut charge = item(aws, &format!("CHARGE#{transaction_id}"));
    charge["refundable"] = json!({ "N": (number(&charge, "refundable") + by).to_string() });
    aws.put(BOOKS, &charge);
    charge
}

/// Creates a refund in the provider's dashboard, with `name` as its id.
pub fn refund_by_hand(aws: &Aws, transaction_id: &str, name: &str, amount: i64) -> String {
    let charge = change_refundable(aws, transaction_id, -amount);
    let refund = json!({
        "pk": { "S": format!("REFUND#{name}") }, "order_id": charge["order_id"], "charge_id": { "S": transaction_id },
        "amount": { "N": amount.to_string() }, "currency": charge["currency"],
    });
    aws.put(BOOKS, &refund);
    name.to_owned()
}

/// Fails a refund that had succeeded: the provider holds the money again. `id` is our refund id, or
/// the provider's id of a dashboard refund.
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

/// Opens a dispute of a charge, or moves it to this state. The provider rejects refunds until the
/// dispute is won.
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
