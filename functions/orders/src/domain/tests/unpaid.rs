//! Limits on unpaid orders, and the events that release them.

use shared::{ids::OrderId, throttle::Limit};

use super::{
    super::unpaid::{BuyerLimit, LimitUsage, Limits, Uncounted, UnpaidOrders},
    *,
};

const LIMITS: Limits = Limits {
    verified: BuyerLimit { orders: 5, pay_within: Duration::from_secs(1800) },
    unverified: BuyerLimit { orders: 1, pay_within: Duration::from_secs(600) },
    network: Limit::within(3, Duration::from_secs(1800)),
    max_per_order: 20,
    requires_market: false,
};

/// A buyer's list with this number of unpaid orders. Each counts for another minute.
fn usage(orders: u64) -> LimitUsage {
    let id = |number: u64| ids::derive::<OrderId>(&[&number.to_string()]);
    let deadlines =
        (0..orders).map(|number| (id(number), START.plus(Duration::from_secs(60)))).collect();
    LimitUsage { unpaid: UnpaidOrders { version: Some(orders), deadlines }, network: None }
}

#[test]
fn verified_account_may_have_more_unpaid_orders_for_longer() {
    assert_eq!(LIMITS.terms(true).pay_within, Duration::from_secs(1800));
    assert_eq!(LIMITS.terms(false).pay_within, Duration::from_secs(600));
    for (verified, orders, expected) in [
        (true, 4, None),
        (true, 5, Some((5, None))),
        (true, 9, Some((5, None))),
        (false, 0, None),
        (false, 1, Some((1, Some(5)))),
    ] {
        let outcome = match LIMITS.check(verified, &usage(orders), START) {
            Ok(()) => None,
            Err(PlacementError::TooManyUnpaid { maximum, if_verified }) => {
                Some((maximum, if_verified))
            }
            Err(other) => panic!("{other}"),
        };
        assert_eq!(outcome, expected, "{verified} {orders}");
    }
}

#[test]
fn verification_is_suggested_only_if_it_raises_the_limit() {
    let equal = Limits { unverified: LIMITS.verified, ..LIMITS };
    assert_eq!(
        equal.check(false, &usage(5), START),
        Err(PlacementError::TooManyUnpaid { maximum: 5, if_verified: None })
    );
}

#[test]
fn unpaid_order_stops_counting_at_its_deadline() {
    let full = usage(5);
    let deadline = START.plus(Duration::from_secs(60));
    let just_before = Timestamp::from_milliseconds(deadline.milliseconds() - 1);
    assert!(LIMITS.check(true, &full, just_before).is_err());
    assert!(LIMITS.check(true, &full, deadline).is_ok());
    assert_eq!(
        (full.unpaid.expired_at(just_before).count(), full.unpaid.expired_at(deadline).count()),
        (0, 5)
    );
}

#[test]
fn network_over_its_limit_waits_for_retry_after() {
    let full = LimitUsage { network: Some(LIMITS.network.full(START)), ..LimitUsage::default() };
    let Err(PlacementError::NetworkLimitReached { retry_after }) = LIMITS.check(true, &full, START)
    else {
        panic!("the order is admitted")
    };
    assert_eq!(retry_after, Duration::from_secs(600));
    assert!(LIMITS.check(true, &full, START.plus(retry_after)).is_ok());
}

#[test]
fn order_counts_as_unpaid_until_paid_or_cancelled() {
    let reserved = after(&placed(), &Event::StockReserved(stock(9)));
    let started = after(&reserved, &Event::PaymentStarted(money(0, 0)));
    assert!([&placed(), &reserved, &started].iter().all(|order| order.counts_as_unpaid(LATER)));
    let refunded = Some("a network");
    for (event, counts, network) in [
        (Event::PaymentSucceeded(money(TOTAL, 0)), false, refunded),
        (Event::PaymentClosed(money(0, 0)), false, None),
        (cancel(), false, None),
        (Event::Deadline, false, None),
        (Event::PaymentDeclined(money(0, 0)), true, None),
        (Event::PaymentUnknown(money(0, 0)), true, None),
        (Event::Retry, true, None),
    ] {
        let next = after(&started, &event);
        assert_eq!(
            (next.is_unpaid(), started.refunded_network(&next)),
            (counts, network),
            "{event:?}"
        );
        assert_eq!(next.customer.network.is_some(), next.is_unpaid(), "{event:?}");
    }
}

#[test]
fn list_without_uncounted_orders_keeps_the_others() {
    let unpaid = usage(5).unpaid;
    let mut listed = unpaid.deadlines.keys().copied();
    let ended = listed.by_ref().take(2).collect();
    let waiting_for_shop = listed.by_ref().take(1).collect();
    let rest = unpaid.without(&Uncounted { ended, waiting_for_shop });
    assert_eq!(rest.deadlines.into_keys().collect::<Vec<_>>(), listed.collect::<Vec<_>>());
}

#[test]
fn charge_is_refunded_from_half_of_the_networks_limit_on() {
    let mut usage = LimitUsage::default();
    for refunded in [None, Some("a network".to_owned()), Some("a network".to_owned())] {
        assert_eq!(LIMITS.refunded_network("a network", &usage, START), refunded);
        usage.network = LIMITS.network.check(usage.network, START).ok();
    }
}

#[test]
fn every_settled_order_has_released_its_limits() {
    let mut released = 0;
    for order in reachable().values() {
        for event in events() {
            let next = after(order, &event);
            let network = order.refunded_network(&next);
            assert!(
                network.is_none() || next.progress.captured_total > next.progress.returned_total(),
                "{event:?}: {}",
                state_key(&next)
            );
            assert!(
                !next.progress.is_settled()
                    || (!next.is_unpaid() && next.customer.network.is_none()),
                "{}",
                state_key(&next)
            );
            released += u32::from(order.is_unpaid() && !next.is_unpaid());
        }
    }
    assert!(released > 10, "{released}");
}

/// An order that waits for the shop does not count. It counts again once it waits for its buyer.
#[test]
fn payment_in_flight_counts_as_unpaid_while_its_call_may_run() {
    let reserved = after(&placed(), &Event::StockReserved(stock(9)));
    let started = after(&reserved, &Event::PaymentStarted(money(0, 0)));
    let later = |seconds: u64| LATER.plus(Duration::from_secs(seconds));
    assert!(started.counts_as_unpaid(later(29)) && !started.counts_as_unpaid(later(30)));
    let repeated = started
        .apply(
            &Event::PaymentStarted(PaymentUpdate { version: 10, ..money(0, 0) }),
            later(20),
            TIMING,
        )
        .unwrap()
        .unwrap();
    assert!(!repeated.counts_as_unpaid(later(30)), "the time is that of the first event");

    let awaiting_bank = after(
        &started,
        &Event::PaymentStarted(PaymentUpdate { version: 10, requires_action: true, ..money(0, 0) }),
    );
    assert!(awaiting_bank.counts_as_unpaid(later(600)));
    let unknown = after(&started, &Event::PaymentUnknown(money(0, 0)));
    assert!(!unknown.counts_as_unpaid(LATER));
    for order in [&started, &awaiting_bank, &unknown] {
        let declined =
            after(order, &Event::PaymentDeclined(PaymentUpdate { version: 11, ..money(0, 0) }));
        assert!(
            declined.counts_as_unpaid(later(3600))
                && declined.progress.payment_in_flight_since.is_none()
        );
        assert!(!after(order, &cancel()).counts_as_unpaid(LATER));
    }
}
