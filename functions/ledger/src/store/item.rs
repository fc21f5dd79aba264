//! The item of an entry.
//!
//! `lines` maps each unit to its accounts and their amounts, without the parts that the key or the
//! unit contains already: `{"USD": {"provider_clearing": 5998, "customer_funds": -5998}}`,
//! `{"USD": {"customer_funds": 5998, "revenue:goods": -5040, "tax:DE": -958}}`,
//! `{"prd_…": {"on_hand": -2, "shipped_out": 2}}`. So ten products fit into 1 KB, and 40 into 3 KB.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{self, OrderId, PrefixedId, ProductId},
    money::Currency,
    table::{Item, Key, TableError, from_item, to_item},
};

use super::{DAY_SHARDS, day_of};
use crate::domain::{
    Account, Entry, EntryId, Kind, Line, Owner, StockBucket, Unit, audit::record::RecordedEntry,
};

/// Attribute of the item of a closed id.
pub(super) const CLOSED_BY: &str = "closed_by";

/// Partition key of the entries of an order or of a product.
pub(super) fn owner_pk(owner: Owner) -> String {
    match owner {
        Owner::Order(order) => format!("ORDER#{order}"),
        Owner::Product(product) => format!("PRODUCT#{product}"),
    }
}

/// The order of a partition key, if it is one of an order.
pub(super) fn order_of(pk: &str) -> Option<OrderId> {
    OrderId::parse(pk.strip_prefix("ORDER#")?)
}

/// Partition key of the day index.
pub(super) fn day_shard(day: &str, shard: u32) -> String {
    format!("day#{day}#{shard}")
}

#[derive(Debug, Serialize, Deserialize)]
struct EntryItem {
    pk: String,
    sk: EntryId,
    kind: Kind,
    occurred_at: Timestamp,
    /// Unit, account, amount.
    lines: BTreeMap<String, BTreeMap<String, i64>>,
    /// Partition key of the day index: the day on which the entry was recorded.
    day_shard: String,
    /// Sort key of the day index: the time at which the entry was recorded, and its id.
    recorded: String,
}

/// The item of an entry that is recorded now.
pub(super) fn entry_item(entry: &Entry, now: Timestamp) -> Item {
    let mut lines: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for line in entry.lines() {
        let (unit, account) = match line.account {
            Account::CustomerFunds(_) => (line.unit.to_string(), CUSTOMER_FUNDS.to_owned()),
            Account::Stock(product, bucket) => (product.to_string(), bucket.name().to_owned()),
            Account::ProviderClearing
            | Account::RevenueGoods
            | Account::RevenueShipping
            | Account::Tax(_) => (line.unit.to_string(), line.account.to_string()),
        };
        lines.entry(unit).or_default().insert(account, line.amount);
    }
    let shard = ids::shard_of(&entry.id().to_string(), DAY_SHARDS);
    to_item(&EntryItem {
        pk: owner_pk(entry.owner()),
        sk: entry.id(),
        kind: entry.kind().clone(),
        occurred_at: entry.occurred_at(),
        lines,
        day_shard: day_shard(&day_of(now), shard),
        recorded: format!("{now}#{}", entry.id()),
    })
}

const CUSTOMER_FUNDS: &str = "customer_funds";

/// The item that closes an id: no entry can be recorded under it.
pub(super) fn closed_item(order: OrderId, id: EntryId, by: EntryId, now: Timestamp) -> Item {
    #[derive(Serialize)]
    struct ClosedItem {
        pk: String,
        sk: EntryId,
        /// The entry that books the movement instead.
        closed_by: EntryId,
        closed_at: Timestamp,
    }
    to_item(&ClosedItem {
        pk: owner_pk(Owner::Order(order)),
        sk: id,
        closed_by: by,
        closed_at: now,
    })
}

pub(super) fn entry_key(owner: Owner, entry: EntryId) -> Key {
    Key::composite(owner_pk(owner), entry.to_string())
}

/// Reads an entry.
///
/// # Errors
/// If the item is not an entry.
pub(super) fn recorded_entry(item: Item) -> Result<RecordedEntry, TableError> {
    let item: EntryItem = from_item(item)?;
    let order = order_of(&item.pk);
    let mut lines = Vec::new();
    for (unit, accounts) in item.lines {
        for (account, amount) in accounts {
            let line = line(&unit, &account, amount, order).ok_or(TableError::Unreadable {
                expected: std::any::type_name::<RecordedEntry>(),
            })?;
            lines.push(line);
        }
    }
    lines.sort_unstable();
    Ok(RecordedEntry { entry_id: item.sk, occurred_at: item.occurred_at, kind: item.kind, lines })
}

fn line(unit: &str, account: &str, amount: i64, order: Option<OrderId>) -> Option<Line> {
    if let Some(product) = ProductId::parse(unit) {
        let account = Account::Stock(product, StockBucket::named(account)?);
        return Some(Line { account, unit: Unit::Pieces(product), amount });
    }
    let account = match account {
        CUSTOMER_FUNDS => Account::CustomerFunds(order?),
        name => Account::parse(name).ok().filter(|it| !matches!(it, Account::CustomerFunds(_)))?,
    };
    let unit = Unit::Money(Currency::parse(unit).ok()?);
    account.accepts(unit).then_some(Line { account, unit, amount })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::{ids::derive, table::AttributeValue};

    use super::*;

    const NOW: Timestamp = Timestamp::from_milliseconds(1_795_255_200_000);

    fn entry(order: Option<OrderId>, kind: &str, lines: Vec<Line>) -> Entry {
        let kind = kind.to_owned().try_into().unwrap();
        Entry::balanced(derive(&["entry"]), NOW, kind, order, lines).unwrap()
    }

    fn moved(products: usize, from: StockBucket, to: StockBucket) -> Vec<Line> {
        let lines = |number: usize| {
            let product = derive(&["product", &number.to_string()]);
            let line = |bucket, amount| Line {
                account: Account::Stock(product, bucket),
                unit: Unit::Pieces(product),
                amount,
            };
            [line(from, -12), line(to, 12)]
        };
        (0..products).flat_map(lines).collect()
    }

    fn capture(order: OrderId) -> Entry {
        let usd = Unit::parse("USD").unwrap();
        let line = |account, amount| Line { account, unit: usd, amount };
        let lines =
            vec![line(Account::ProviderClearing, 5998), line(Account::CustomerFunds(order), -5998)];
        entry(Some(order), "capture", lines)
    }

    fn sale(order: OrderId) -> Entry {
        let usd = Unit::parse("USD").unwrap();
        let lines = [
            (&*format!("customer_funds:{order}"), 5998),
            ("revenue:goods", -4500),
            ("revenue:shipping", -540),
            ("tax:US", -458),
            ("tax:US-CA", -500),
        ];
        let line =
            |(name, amount)| Line { account: Account::parse(name).unwrap(), unit: usd, amount };
        entry(Some(order), "sale", lines.map(line).to_vec())
    }

    #[test]
    fn stored_entry_is_read_unchanged() {
        let order: OrderId = derive(&["order"]);
        for entry in [
            capture(order),
            sale(order),
            entry(Some(order), "commit", moved(2, StockBucket::OnHand, StockBucket::ShippedOut)),
            entry(None, "adjustment", moved(1, StockBucket::Outside, StockBucket::OnHand)),
        ] {
            let recorded = recorded_entry(entry_item(&entry, NOW)).unwrap();
            assert!(recorded.is(&entry), "{recorded:?}");
        }
    }

    #[test]
    fn unknown_units_and_accounts_are_unreadable() {
        let (order, product): (OrderId, ProductId) = (derive(&["order"]), derive(&["spoon"]));
        for lines in [
            json!({ "USD": { "petty_cash": 5 } }),
            json!({ "USD": { (format!("customer_funds:{order}")): 5 } }),
            json!({ "USD": { (format!("stock:{product}:on_hand")): 5 } }),
            json!({ "USD": { "tax:de": 5 } }),
            json!({ "XXX": { "provider_clearing": 5 } }),
            json!({ (product.to_string()): { "stolen": 5 } }),
            json!({ "USD": 5 }),
            Value::Null,
        ] {
            let mut item = entry_item(&capture(order), NOW);
            item.insert("lines".to_owned(), serde_dynamo_value(&lines));
            assert!(recorded_entry(item).is_err(), "{lines}");
        }
        let mut of_product = entry_item(&capture(order), NOW);
        of_product.insert("pk".to_owned(), AttributeValue::S(format!("PRODUCT#{product}")));
        assert!(recorded_entry(of_product).is_err(), "funds of no order");
    }

    fn serde_dynamo_value(value: &Value) -> AttributeValue {
        to_item(&json!({ "value": value })).remove("value").unwrap_or(AttributeValue::Null(true))
    }

    /// The size of an item as DynamoDB counts it ("DynamoDB item sizes and formats", Developer
    /// Guide). A number has a byte for every two digits, one more, and one for its sign.
    fn size(item: &Item) -> usize {
        fn of_value(value: &AttributeValue) -> usize {
            match value {
                AttributeValue::S(text) => text.len(),
                AttributeValue::N(number) => {
                    let digits = number.trim_start_matches('-').len();
                    digits.div_ceil(2) + 1 + usize::from(number.starts_with('-'))
                }
                AttributeValue::M(map) => {
                    let member = |(name, value): (&String, _)| name.len() + of_value(value) + 1;
                    3 + map.iter().map(member).sum::<usize>()
                }
                _ => panic!("an entry has no {value:?}"),
            }
        }
        item.iter().map(|(name, value)| name.len() + of_value(value)).sum()
    }

    #[test]
    fn ten_products_fit_into_one_write_unit_and_forty_into_three() {
        let order = derive(&["order"]);
        let kilobytes = |entry: &Entry| size(&entry_item(entry, NOW)).div_ceil(1024);
        let commit = |products| {
            let lines = moved(products, StockBucket::OnHand, StockBucket::ShippedOut);
            kilobytes(&entry(Some(order), "commit", lines))
        };
        assert_eq!((kilobytes(&capture(order)), commit(1), commit(10), commit(40)), (1, 1, 1, 3));
        assert_eq!(kilobytes(&sale(order)), 1);
        assert_eq!(commit(crate::domain::entry::MAX_LINES / 2), 4);
    }
}
