//! What changes of an order publish, and what they do not.

use serde_json::json;

use super::*;
use crate::domain::{
    buyer::{Buyer, BuyerChange},
    saga::Event,
    tests::{TOTAL, after, events, money, placed, reachable, reachable_free, stock, unshipped},
};

/// The queue, type and data of each published message.
fn sent(old: &Order, new: &Order) -> Vec<(&'static str, &'static str, serde_json::Value)> {
    messages(Some(old), new)
        .unwrap()
        .into_iter()
        .map(|message| (message.queue, message.kind, message.data))
        .collect()
}

#[test]
fn change_to_an_unknown_state_is_rejected() {
    let known = crate::domain::tests::placed();
    let mut unknown = known.clone();
    unknown.progress.stock = crate::domain::StockState::Unknown("picking".to_owned());
    let rejected = messages(Some(&known), &unknown).unwrap_err();
    assert_eq!(rejected.to_string(), "stock has the unknown value picking");
    assert_eq!(sent(&unknown, &known).len(), 1, "its pending command");
}

/// Payments receives one command about a free order: the one that closes the payment of an order
/// that ends before its stock is reserved.
#[test]
fn free_order_publishes_only_the_close_of_its_payment_to_payments() {
    let (mut closed, mut others) = (0, 0);
    for order in reachable_free().values() {
        for event in events() {
            let next = after(order, &event);
            // Events about money are impossible.
            if next.progress.captured_total > 0 {
                continue;
            }
            let ends_early = order.progress.payment == PaymentState::None
                && next.progress.payment == PaymentState::Closed;
            let to_payments: Vec<(&str, serde_json::Value)> = sent(order, &next)
                .into_iter()
                .filter(|(queue, ..)| queue.ends_with("-payment"))
                .map(|(queue, _, data)| (queue, data["amount"]["amount"].clone()))
                .collect();
            let expected: Vec<(&str, serde_json::Value)> =
                if ends_early { vec![("cancel-payment", 0.into())] } else { vec![] };
            assert_eq!(to_payments, expected, "{event:?}");
            closed += u32::from(ends_early);
            others += u32::from(!ends_early && next != *order);
        }
    }
    assert!(closed > 2 && others > 20, "{closed} closed, {others} other changes");
}

#[test]
fn changes_of_the_buyer_publish_no_message() {
    let mut changed = 0;
    for order in reachable().values() {
        for event in events().iter().filter(|event| matches!(event, Event::BuyerChanged(_))) {
            let next = after(order, event);
            changed += u32::from(next != *order);
            assert_eq!(sent(order, &next), [], "{event:?}");
        }
    }
    assert!(changed > 60, "only {changed} changes");
}

#[test]
fn messages_are_independent_of_later_buyer_changes() {
    let contact = crate::domain::buyer::Contact {
        name: "New".to_owned(),
        email: "new@example.com".to_owned(),
        version: 7,
    };
    let changes = [BuyerChange::Changed(contact), BuyerChange::Deleted].map(Event::BuyerChanged);
    let (mut mails, mut withheld, mut by_settling) = (0, 0, 0);
    for order in reachable().values() {
        for change in &changes {
            let recorded = after(order, change);
            for event in events() {
                let plain = sent(order, &after(order, &event));
                let next = after(&recorded, &event);
                let messages = sent(&recorded, &next);
                // The id of an entry contains the version of the order.
                let commands = |all: &[(&'static str, &'static str, serde_json::Value)]| {
                    let others = all.iter().filter(|message| message.0 != "send-notification");
                    let mut others: Vec<_> = others.cloned().collect();
                    others.iter_mut().for_each(|it| it.2["entry_id"] = serde_json::Value::Null);
                    others
                };
                assert_eq!(commands(&messages), commands(&plain), "{event:?}");
                let Buyer::Known(known) = &recorded.customer.buyer else {
                    assert!(
                        messages.iter().all(|message| message.0 != "send-notification"),
                        "{event:?}: a redacted buyer gets no mail"
                    );
                    withheld += plain.len() - messages.len();
                    continue;
                };
                assert_eq!(messages.len(), plain.len(), "{event:?}");
                for mail in messages.iter().filter(|message| message.0 == "send-notification") {
                    assert_eq!(
                        (&mail.2["email"], &mail.2["name"]),
                        (&known.email.clone().into(), &known.name.clone().into())
                    );
                    mails += 1;
                    by_settling += u32::from(next.customer.buyer == Buyer::Redacted);
                }
            }
        }
    }
    assert!(
        mails > 40 && withheld > 2 && by_settling > 10,
        "{mails} mails, {withheld} withheld, {by_settling} by the write that settles"
    );
}

#[test]
fn each_refund_is_mailed_once() {
    let mails = |old: &Order, new: &Order| {
        let mails = sent(old, new).into_iter().filter(|message| message.0 == "send-notification");
        let amount = |data: &serde_json::Value, name: &str| data["data"][name]["amount"].as_i64();
        mails
            .map(|(_, _, data)| {
                (data["template"].clone(), amount(&data, "refunded"), amount(&data, "refund"))
            })
            .collect::<Vec<_>>()
    };
    let (mut recorded, mut with_another) = (0, 0);
    for order in reachable().values() {
        for event in events() {
            let next = after(order, &event);
            let growth = next.progress.refunded_net() > order.progress.refunded_net();
            let mails = mails(order, &next);
            let of_refund: Vec<_> =
                mails.iter().filter(|mail| mail.0 == "order_refunded").collect();
            assert_eq!(of_refund.len(), usize::from(growth), "{event:?}");
            let sums = (
                Some(next.progress.refunded_net()),
                Some(next.progress.refunded_net() - order.progress.refunded_net()),
            );
            assert!(of_refund.iter().all(|mail| (mail.1, mail.2) == sums));
            assert!(
                mails
                    .iter()
                    .all(|mail| mail.0 == "order_refunded" || (mail.1, mail.2) == (None, None))
            );
            recorded += of_refund.len();
            with_another += usize::from(growth && mails.len() == 2);
            let messages = messages(Some(order), &next).unwrap();
            let ids: std::collections::BTreeSet<_> =
                messages.iter().map(|message| message.id.as_str()).collect();
            assert_eq!(ids.len(), messages.len(), "each message has its own id");
        }
    }
    assert!(recorded > 30 && with_another > 2, "{recorded}, {with_another}");
}

#[test]
fn mail_about_an_out_of_stock_order_names_the_product() {
    let mut named = 0;
    for order in reachable().values() {
        for event in events() {
            let next = after(order, &event);
            for (_, _, data) in
                sent(order, &next).into_iter().filter(|message| message.0 == "send-notification")
            {
                let failed_for_stock = data["data"]["reason"] == "out_of_stock";
                let expected = if failed_for_stock {
                    next.placed.lines[0].name.as_str().into()
                } else {
                    serde_json::Value::Null
                };
                assert_eq!(data["data"]["unavailable"], expected, "{event:?}");
                named += u32::from(failed_for_stock);
            }
        }
    }
    assert!(named > 0);
}

#[test]
fn mails_announce_no_shipment_of_an_order_that_ships_nothing() {
    let mail = |old: &Order, new: &Order| {
        let messages = messages(Some(old), new).unwrap();
        let mut mails = messages.into_iter().filter(|message| message.queue == "send-notification");
        let data = mails.next().unwrap().data;
        assert!(mails.next().is_none());
        (data["template"].clone(), data["data"]["requires_shipping"].clone())
    };
    let reserved = after(&unshipped::placed_unshipped(), &Event::StockReserved(stock(9)));
    let expected = |template: &str| (json!(template), json!(false));
    assert_eq!(mail(&reserved, &unshipped::confirmed()), expected("order_confirmed"));
    let delivered = after(&unshipped::committed(), &Event::Deliver);
    assert_eq!(mail(&unshipped::committed(), &delivered), expected("order_delivered"));
    let shipped = after(&placed(), &Event::StockReserved(stock(9)));
    let paid = after(&shipped, &Event::PaymentSucceeded(money(TOTAL, 0)));
    assert_eq!(mail(&shipped, &paid), (json!("order_confirmed"), json!(null)));
}
