//! The invariants after each write, under any fault.

use std::collections::BTreeMap;

use tests::{
    dynamodb::{DynamoDb, number, text},
    template::STACK,
};

/// Checks that no version is overwritten, the stock, the charges at the provider and the refundable
/// amounts.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn check(tables: &DynamoDb) -> Result<(), String> {
    // A new account may replace the record of an e-mail address.
    let mut lost = tables.lost_updates().into_iter();
    if let Some((table, key)) = lost.find(|(_, key)| !key.starts_with("EMAIL#")) {
        return Err(format!("a later version is overwritten: {table} {key}"));
    }
    let items = |table: &str| tables.items(&format!("{STACK}-{table}"));
    for shard in items("stock").iter().filter(|item| text(item, "pk").starts_with("STOCK#")) {
        let (on_hand, available) = (number(shard, "on_hand"), number(shard, "available"));
        if available < 0 || on_hand < available {
            let shard = text(shard, "pk");
            return Err(format!("{shard} has {on_hand} on hand and {available} available"));
        }
    }
    let mut charges: BTreeMap<String, u32> = BTreeMap::new();
    let provider = items("payment-simulator");
    for charge in provider.iter().filter(|item| text(item, "pk").starts_with("CHARGE#")) {
        let (amount, refundable) = (number(charge, "amount"), number(charge, "refundable"));
        if !(0..=amount).contains(&refundable) {
            let charge = text(charge, "pk");
            return Err(format!("{charge}: {refundable} of {amount} are refundable"));
        }
        let of_order = charges.entry(text(charge, "order_id").to_owned()).or_default();
        *of_order += 1;
        if *of_order > 1 {
            return Err(format!("{} is charged twice", text(charge, "order_id")));
        }
    }
    Ok(())
}
