//! Maps each committed change of a reservation, movement or stock item to its messages.

use std::{collections::BTreeMap, sync::LazyLock};

use shared::{
    clock::Timestamp,
    config, ids,
    ids::{OrderId, ProductId},
    queue::{Message, MessageContext},
    stream::UnknownState,
    telemetry::Trace,
};

use crate::{
    domain::{
        movement::{Delta, Movement},
        reservation::{Reservation, State},
    },
    messages::{EntryLine, LowStock, RecordEntry, ReservationUpdate, SendNotification},
    store::{Image, StockImage},
};

/// The recipient of low-stock mails.
#[derive(Clone, Debug)]
pub struct Operator {
    pub email: String,
    /// Default for products without their own threshold.
    pub low_stock_threshold: i64,
}

impl Operator {
    /// Reads the operator from the environment; `None` if no low-stock mails are sent.
    fn from_env() -> Option<Self> {
        let email = config::optional("OPERATOR_ADDRESS")?;
        Some(Self { email, low_stock_threshold: config::parsed("LOW_STOCK_THRESHOLD") })
    }
}

/// Read once, because the environment of a running function never changes.
static OPERATOR: LazyLock<Option<Operator>> = LazyLock::new(Operator::from_env);

/// The messages for a change from `old` (`None` for a new item) to `new`.
///
/// # Errors
/// See [`messages_to`].
pub fn messages(old: Option<&Image>, new: &Image) -> Result<Vec<Message>, UnknownState> {
    messages_to(OPERATOR.as_ref(), old, new)
}

/// The messages for a change, with low-stock mails to `operator`.
///
/// Orders receives the state of a reservation if it changed or if the order re-sent its command.
/// The ledger receives stock movements. The operator is notified when stock falls to the threshold.
///
/// # Errors
/// When a reservation has a state that only a newer release knows.
pub fn messages_to(
    operator: Option<&Operator>,
    old: Option<&Image>,
    new: &Image,
) -> Result<Vec<Message>, UnknownState> {
    Ok(match (old, new) {
        (Some(Image::Reservation(old)), Image::Reservation(new)) => {
            reservation_messages(Some(old), new)?
        }
        (None, Image::Reservation(new)) => reservation_messages(None, new)?,
        (None, Image::Movement(movement)) => movement_message(movement).into_iter().collect(),
        (Some(Image::Stock(old)), Image::Stock(new)) => {
            operator.and_then(|operator| low_stock(operator, old, new)).into_iter().collect()
        }
        // A movement never changes, and a new stock item has not fallen to its threshold.
        _ => Vec::new(),
    })
}

fn reservation_messages(
    old: Option<&Reservation>,
    new: &Reservation,
) -> Result<Vec<Message>, UnknownState> {
    let has_changed = old.is_none_or(|old| old.state != new.state);
    if !has_changed && old.is_some_and(|old| old.answered_attempt >= new.answered_attempt) {
        return Ok(Vec::new());
    }
    let (kind, product_id) = match &new.state {
        State::Held => ("stock_reserved.v1", None),
        State::Rejected => ("stock_rejected.v1", new.rejected_product),
        State::Released => ("stock_released.v1", None),
        State::Committed => ("stock_committed.v1", None),
        State::Unknown(state) => {
            return Err(UnknownState { attribute: "state", state: state.clone() });
        }
    };
    let context = MessageContext {
        service: "inventory",
        id: new.order_id.to_string(),
        version: new.version,
        time: new.updated_at,
        trace: new.traceparent.clone(),
    };
    let update = ReservationUpdate { order_id: new.order_id, version: new.version, product_id };
    let update = Message::new("order-events", kind, &context, &update);
    let moved =
        has_changed.then(|| ledger_transfer(old.map(|old| &old.state), &new.state)).flatten();
    let entry = moved.map(|(kind, from, to)| {
        let quantities = quantities(new);
        let lines = quantities
            .into_iter()
            .flat_map(|(product_id, quantity)| transfer(product_id, from, to, quantity))
            .collect();
        entry(kind, &context, Some(new.order_id), None, lines)
    });
    Ok([update].into_iter().chain(entry).collect())
}

/// The ledger entry of a state change: its kind, source account and target account. A reservation
/// moves no goods until it is committed.
fn ledger_transfer(
    old: Option<&State>,
    new: &State,
) -> Option<(&'static str, &'static str, &'static str)> {
    match (old, new) {
        (Some(State::Held), State::Committed) => Some(("commit", "on_hand", "shipped_out")),
        (Some(State::Committed), State::Released) => Some(("restock", "shipped_out", "on_hand")),
        _ => None,
    }
}

/// The quantity of each product, summed over its shards.
fn quantities(reservation: &Reservation) -> BTreeMap<ProductId, i64> {
    let mut quantities = BTreeMap::new();
    for line in &reservation.lines {
        *quantities.entry(line.product_id).or_default() += i64::from(line.quantity);
    }
    quantities
}

fn movement_message(movement: &Movement) -> Option<Message> {
    let delta = movement.delta.map(Delta::count)?;
    let trace = movement.traceparent.clone();
    let context = message_context(movement.movement_id.to_string(), 1, movement.created_at, trace);
    let lines = transfer(movement.product_id, "outside", "on_hand", delta).into();
    Some(entry("adjustment", &context, None, Some(movement.product_id), lines))
}

/// The two lines that move `quantity` from one account to another.
fn transfer(product_id: ProductId, from: &str, to: &str, quantity: i64) -> [EntryLine; 2] {
    let line = |bucket: &str, amount| EntryLine {
        account: format!("stock:{product_id}:{bucket}"),
        unit: format!("pcs:{product_id}"),
        amount,
    };
    [line(to, quantity), line(from, -quantity)]
}

fn entry(
    kind: &'static str,
    context: &MessageContext,
    order_id: Option<OrderId>,
    product_id: Option<ProductId>,
    lines: Vec<EntryLine>,
) -> Message {
    let entry_id = ids::derive(&["inventory", &context.id, &context.version.to_string(), kind]);
    let data =
        RecordEntry { entry_id, occurred_at: context.time, kind, order_id, product_id, lines };
    Message::new("record-entry", "record_entry.v1", context, &data)
}

/// The low-stock mail to the operator, when a product falls to its threshold.
///
/// For an unsharded product the available quantity decides. A product that is or was sharded has
/// several items, and each change shows only one of them. The writer of the change therefore reads
/// the others and counts in shard 0 how often the product fell to its threshold.
fn low_stock(operator: &Operator, old: &StockImage, new: &StockImage) -> Option<Message> {
    let threshold = new.low_stock_threshold.unwrap_or(operator.low_stock_threshold);
    let available = match new.layout().was_sharded() {
        _ if new.shard > 0 => None,
        true => (new.low_stock_count > old.low_stock_count).then_some(new.low_stock_available),
        false => (old.available > threshold && new.available <= threshold).then_some(new.available),
    }?;
    let product_id = new.product_id;
    let notification = SendNotification {
        notification_id: ids::derive(&[
            "inventory",
            &product_id.to_string(),
            "low_stock",
            &new.version.to_string(),
        ]),
        user_id: ids::derive(&["operator"]),
        email: operator.email.clone(),
        name: "Operator".to_owned(),
        template: "low_stock",
        occurred_at: new.updated_at,
        data: LowStock { product_id, available, threshold },
    };
    let context = message_context(
        product_id.to_string(),
        new.version,
        new.updated_at,
        new.traceparent.clone(),
    );
    Some(Message::new("send-notification", "send_notification.v1", &context, &notification))
}

/// A message context; its trace is empty for items written before traces were stored.
fn message_context(
    id: String,
    version: u64,
    time: Timestamp,
    trace: Option<Trace>,
) -> MessageContext {
    MessageContext {
        service: "inventory",
        id,
        version,
        time,
        trace: trace.unwrap_or_else(|| Trace::from(String::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reservation::tests::held;
    use serde_json::{Value, from_value, json};
    use shared::ids::derive;

    fn published(old: Option<&Reservation>, new: &Reservation) -> Vec<Message> {
        let old = old.cloned().map(Image::Reservation);
        messages(old.as_ref(), &Image::Reservation(new.clone())).unwrap()
    }

    #[test]
    fn every_state_is_published_with_its_message_type() {
        let held = held();
        let short = derive(&["lamp"]);
        for (state, kind) in [
            (State::Held, "stock_reserved.v1"),
            (State::Rejected, "stock_rejected.v1"),
            (State::Released, "stock_released.v1"),
            (State::Committed, "stock_committed.v1"),
        ] {
            let rejected_product = (state == State::Rejected).then_some(short);
            let sent = published(None, &Reservation { state, rejected_product, ..held.clone() });
            assert_eq!((sent[0].queue, sent[0].kind), ("order-events", kind));
            let mut expected = json!({ "order_id": held.order_id, "version": 1 });
            if let Some(product_id) = rejected_product {
                expected["product_id"] = json!(product_id);
            }
            assert_eq!(sent[0].data, expected);
        }
    }

    #[test]
    fn only_changes_and_repeated_commands_are_published() {
        let held = held();
        let resent =
            Reservation { version: 2, answered_attempt: held.answered_attempt + 1, ..held.clone() };
        let sold = Reservation { version: 2, state: State::Committed, ..held.clone() };
        let backfilled = Reservation { version: 2, ..held.clone() };
        assert_eq!(
            published(Some(&held), &resent).iter().map(|message| message.kind).collect::<Vec<_>>(),
            ["stock_reserved.v1"]
        );
        assert_ne!(published(Some(&held), &resent)[0].id, published(None, &held)[0].id);
        assert_eq!(published(Some(&held), &sold)[0].kind, "stock_committed.v1");
        assert!(published(Some(&held), &backfilled).is_empty());
    }

    #[test]
    fn unknown_state_is_rejected_instead_of_skipped() {
        let parcelled = Reservation { state: State::Unknown("parcelled".to_owned()), ..held() };
        let rejected = messages(None, &Image::Reservation(parcelled)).unwrap_err();
        assert_eq!(rejected.to_string(), "state has the unknown value parcelled");
    }

    /// Kind of the ledger entry, and its lines for the lamp by account.
    fn ledger_entry(messages: &[Message]) -> Option<(String, Vec<(String, i64)>)> {
        let entry = messages.iter().find(|message| message.queue == "record-entry")?;
        let lines = entry.data["lines"].as_array().unwrap();
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for line in lines {
            *sums.entry(line["unit"].as_str().unwrap()).or_default() +=
                line["amount"].as_i64().unwrap();
        }
        assert!(sums.values().all(|sum| *sum == 0), "{}", entry.data);
        let lamp: ProductId = derive(&["lamp"]);
        let prefix = format!("stock:{lamp}:");
        let of_lamp = lines.iter().filter_map(|line| {
            Some((
                line["account"].as_str()?.strip_prefix(&prefix)?.to_owned(),
                line["amount"].as_i64()?,
            ))
        });
        Some((entry.data["kind"].as_str().unwrap().to_owned(), of_lamp.collect()))
    }

    #[test]
    fn state_changes_are_posted_to_the_ledger_accounts() {
        let held = held();
        let becomes = |state: State| Reservation { version: 2, state, ..held.clone() };
        let lines = |to: &str, from: &str| vec![(to.to_owned(), 2), (from.to_owned(), -2)];
        let committed = becomes(State::Committed);
        for (old, new, kind, moved) in [
            (Some(&held), committed.clone(), "commit", lines("shipped_out", "on_hand")),
            (
                Some(&committed),
                becomes(State::Released),
                "restock",
                lines("on_hand", "shipped_out"),
            ),
        ] {
            assert_eq!(ledger_entry(&published(old, &new)), Some((kind.to_owned(), moved)));
        }
        let rejected = becomes(State::Rejected);
        for (old, new) in [
            (None, &held),
            (None, &rejected),
            (None, &becomes(State::Released)),
            (Some(&held), &becomes(State::Released)),
            (Some(&rejected), &becomes(State::Released)),
        ] {
            assert_eq!(ledger_entry(&published(old, new)), None, "no goods moved");
        }
        let restocked = Reservation { version: 3, ..becomes(State::Released) };
        assert_ne!(
            published(Some(&held), &committed)[1].data["entry_id"],
            published(Some(&committed), &restocked)[1].data["entry_id"]
        );
    }

    #[test]
    fn allocation_from_several_shards_is_one_movement() {
        let mut held = held();
        let mut other = held.lines[0];
        other.shard = 3;
        let quantity = i64::from(other.quantity);
        held.lines.push(other);
        let committed = Reservation { version: 2, state: State::Committed, ..held.clone() };
        let sent = published(Some(&held), &committed);
        let lines = sent[1].data["lines"].as_array().unwrap();
        assert_eq!(lines.len(), 4);
        let account = format!("stock:{}:shipped_out", other.product_id);
        assert!(lines.contains(&json!({ "account": account, "unit": format!("pcs:{}", other.product_id), "amount": 2 * quantity })));
    }

    #[test]
    fn adjustments_are_published_to_the_ledger_and_settings_are_not() {
        let product_id: ProductId = derive(&["lamp"]);
        let movement = |delta: Value| {
            let stored = json!({
                "movement_id": "mov_0199c2a8-0000-7000-8000-0000000000c1", "product_id": product_id, "reason": "Broken", "fingerprint": "f",
                "user_id": "usr_0199c2a8-0000-7000-8000-000000000002", "created_at": "2026-11-21T09:48:49.123Z", "delta": delta, "shard_count": 4,
            });
            Image::Movement(from_value(stored).unwrap())
        };
        let sent = messages(None, &movement(json!(-3))).unwrap();
        let moved = vec![("on_hand".to_owned(), -3), ("outside".to_owned(), 3)];
        assert_eq!(ledger_entry(&sent), Some(("adjustment".to_owned(), moved)));
        assert_eq!(sent[0].data["product_id"], json!(product_id));
        assert!(messages(None, &movement(Value::Null)).unwrap().is_empty());
        assert!(messages(Some(&movement(json!(-3))), &movement(json!(-3))).unwrap().is_empty());
    }

    fn stock(change: Value) -> Image {
        let mut stored = json!({
            "product_id": derive::<ProductId>(&["lamp"]), "available": 20, "on_hand": 20, "version": 1, "updated_at": "2026-11-21T09:48:49.123Z",
        });
        for (name, value) in change.as_object().unwrap() {
            stored[name] = value.clone();
        }
        Image::Stock(from_value(stored).unwrap())
    }

    #[test]
    fn low_stock_mail_is_sent_once_per_crossing() {
        let operator =
            Operator { email: "operator@example.com".to_owned(), low_stock_threshold: 10 };
        let published = |old: Option<Value>, new: Value| {
            let old = old.map(stock);
            let sent = messages_to(Some(&operator), old.as_ref(), &stock(new.clone())).unwrap();
            assert!(
                messages_to(None, old.as_ref(), &stock(new)).unwrap().is_empty(),
                "no operator is configured"
            );
            sent.first().map(|message| {
                (
                    message.data["data"]["available"].as_i64().unwrap(),
                    message.data["data"]["threshold"].as_i64().unwrap(),
                )
            })
        };
        let available = |count: i64| json!({ "available": count });
        assert_eq!(published(Some(available(11)), available(10)), Some((10, 10)));
        assert_eq!(published(Some(available(11)), available(0)), Some((0, 10)));
        for (old, new) in [(12, 11), (10, 9), (9, 11), (10, 10)] {
            assert_eq!(published(Some(available(old)), available(new)), None, "{old} to {new}");
        }
        assert_eq!(
            published(None, available(3)),
            None,
            "a new item has not fallen to its threshold"
        );
        let own = |count: i64| json!({ "available": count, "low_stock_threshold": 3 });
        assert_eq!(
            (published(Some(own(11)), own(10)), published(Some(own(4)), own(3))),
            (None, Some((3, 3)))
        );
        assert_eq!(published(Some(available(7)), own(7)), None, "only the threshold has changed");
        // For a sharded product only the count in shard 0 decides.
        let sharded = |available: i64, low_stock_count: u64| json!({ "available": available, "shard_count": 4, "last_shard": 4, "low_stock_count": low_stock_count, "low_stock_available": 9 });
        assert_eq!(published(Some(available(20)), sharded(0, 0)), None);
        assert_eq!(published(Some(sharded(0, 0)), sharded(0, 1)), Some((9, 10)));
        assert_eq!(published(Some(sharded(0, 1)), sharded(0, 1)), None);
        let further_shard = |available: i64| json!({ "available": available, "shard": 2 });
        assert_eq!(published(Some(further_shard(11)), further_shard(1)), None);
    }

    #[test]
    fn low_stock_notification_matches_the_snapshot() {
        let operator =
            Operator { email: "operator@example.com".to_owned(), low_stock_threshold: 10 };
        let sent = messages_to(
            Some(&operator),
            Some(&stock(json!({}))),
            &stock(json!({ "available": 4, "version": 7 })),
        )
        .unwrap()
        .remove(0);
        assert_eq!((sent.queue, sent.kind), ("send-notification", "send_notification.v1"));
        let product_id: ProductId = derive(&["lamp"]);
        let expected = json!({
            "notification_id": derive::<ids::NotificationId>(&["inventory", &product_id.to_string(), "low_stock", "7"]),
            "user_id": derive::<ids::UserId>(&["operator"]), "email": "operator@example.com", "name": "Operator", "template": "low_stock",
            "occurred_at": "2026-11-21T09:48:49.123Z", "data": { "product_id": product_id, "available": 4, "threshold": 10 },
        });
        assert_eq!(sent.data, expected);
    }
}
