//! The records of one order in orders, inventory, payments, the provider and the ledger, and the
//! checks that compare them.

use std::{collections::BTreeMap, time::Duration};

use provider::statement::Statement;
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId},
};

use super::{
    Findings, Verdict,
    record::{
        AttemptRecord, Goal, IntentRecord, IntentState, OrderRecord, Outcome, PaymentState,
        Quantity, RecordedEntry, RefundRecord, ReservationRecord, ReservationState, Status,
        StockState,
    },
};

/// All records about one order.
#[derive(Clone, Debug)]
pub struct OrderSnapshot {
    pub order_id: OrderId,
    pub order: Option<OrderRecord>,
    pub reservation: Option<ReservationRecord>,
    /// The payment intent.
    pub intent: Option<IntentRecord>,
    pub attempts: Vec<AttemptRecord>,
    pub refunds: Vec<RefundRecord>,
    /// The provider's statement. If `None`, the provider results that payments recorded are used.
    pub provider: Option<Statement>,
    /// The ledger entries of the order.
    pub entries: Vec<RecordedEntry>,
}

impl OrderSnapshot {
    /// Compares the records. Findings count as mismatches only if no record has changed within
    /// `grace`.
    pub fn reconcile(&self, now: Timestamp, grace: Duration) -> Verdict {
        let mut findings = Findings::default();
        if self.order.is_none() {
            findings.expect("order_exists", "an order", "none");
        }
        let balances = self.entry_balances(&mut findings);
        self.payment_totals(&mut findings);
        self.provider_statement(&mut findings);
        self.payments_in_ledger(&balances, &mut findings);
        self.sale_in_ledger(&balances, &mut findings);
        self.order_status(&mut findings);
        self.free_order(&mut findings);
        self.reservation_lines(&mut findings);
        self.stock_in_ledger(&balances, &mut findings);
        Verdict::of(findings.0, self.is_settled(), self.last_changed_at(), now, grace)
    }

    /// Whether no command is pending, according to the order and payments.
    pub(super) fn is_settled(&self) -> bool {
        let Some(order) = &self.order else { return true };
        let is_final = match order.goal {
            Goal::Fulfil => {
                order.stock == StockState::Committed
                    && matches!(order.payment, PaymentState::Paid | PaymentState::Refunded)
            }
            Goal::Compensate => {
                matches!(order.stock, StockState::Released | StockState::Rejected)
                    && matches!(order.payment, PaymentState::Closed | PaymentState::Refunded)
            }
            Goal::Unknown => false,
        };
        let outcomes = self
            .attempts
            .iter()
            .map(|attempt| attempt.state)
            .chain(self.refunds.iter().map(|refund| refund.state));
        is_final && outcomes.into_iter().all(|state| state != Outcome::Open)
    }

    /// The time of the latest change of any of the records.
    fn last_changed_at(&self) -> Option<Timestamp> {
        let order = self.order.iter().filter_map(OrderRecord::changed_at);
        let reservation = self.reservation.iter().map(|reservation| reservation.updated_at);
        let intent = self.intent.iter().map(|intent| intent.updated_at);
        let attempts = self.attempts.iter().map(|attempt| attempt.updated_at);
        let refunds = self.refunds.iter().map(|refund| refund.updated_at);
        order.chain(reservation).chain(intent).chain(attempts).chain(refunds).max()
    }

    /// The captures that succeeded: the duplicates, or only the others.
    fn captured(&self, duplicate: bool) -> impl Iterator<Item = &AttemptRecord> {
        self.attempts.iter().filter(move |attempt| {
            attempt.state == Outcome::Succeeded && attempt.duplicate_capture == duplicate
        })
    }

    /// The refunded amount of these captures, including refunds that failed later.
    pub(super) fn refunded_sum(&self, duplicate: bool) -> i64 {
        let is_refunded =
            |refund: &&RefundRecord| matches!(refund.state, Outcome::Succeeded | Outcome::Reversed);
        total(
            self.refunds
                .iter()
                .filter(is_refunded)
                .filter(|refund| refund.is_duplicate_capture() == duplicate)
                .map(|refund| refund.amount),
        )
    }

    /// The part of [`Self::refunded_sum`] that was returned because the refund failed later.
    pub(super) fn reversed_sum(&self, duplicate: bool) -> i64 {
        let reversed = self.refunds.iter().filter(|refund| {
            refund.state == Outcome::Reversed && refund.is_duplicate_capture() == duplicate
        });
        total(reversed.map(|refund| refund.amount))
    }

    /// The captured amount that the provider still holds after refunds, before disputes.
    pub(super) fn retained_sum(&self, duplicate: bool) -> i64 {
        self.captured_sum(duplicate)
            .saturating_sub(self.refunded_sum(duplicate))
            .saturating_add(self.reversed_sum(duplicate))
    }

    pub(super) fn captured_sum(&self, duplicate: bool) -> i64 {
        total(self.captured(duplicate).map(|attempt| attempt.amount))
    }

    /// Compares the totals of order and intent with the attempts and refunds.
    fn payment_totals(&self, findings: &mut Findings) {
        let (captured, refunded) = self
            .intent
            .as_ref()
            .map_or((0, 0), |intent| (intent.captured_total, intent.refunded_total));
        if let Some(order) = &self.order {
            findings.expect("captured_by_order", captured, order.captured_total);
            findings.expect("refunded_by_order", refunded, order.refunded_total);
            let of_intent = self.intent.as_ref().map_or([0; 3], |intent| {
                [
                    intent.refunds_reversed_total,
                    intent.dispute_withdrawn_total,
                    intent.dispute_reinstated_total,
                ]
            });
            findings.expect("reversed_by_order", of_intent[0], order.refunds_reversed_total);
            findings.expect_for(
                "disputed_by_order",
                "withdrawn",
                of_intent[1],
                order.dispute_withdrawn_total,
            );
            findings.expect_for(
                "disputed_by_order",
                "reinstated",
                of_intent[2],
                order.dispute_reinstated_total,
            );
        }
        findings.expect("captured_by_payments", self.captured_sum(false), captured);
        findings.expect("refunded_by_payments", self.refunded_sum(false), refunded);
        if let Some(intent) = &self.intent {
            findings.expect(
                "reversed_by_payments",
                self.reversed_sum(false),
                intent.refunds_reversed_total,
            );
            findings.expect_for(
                "reversed_by_payments",
                "duplicate_capture",
                self.reversed_sum(true),
                intent.duplicate_refunds_reversed_total,
            );
            findings.expect(
                "disputed_by_payments",
                total(intent.disputes.iter().map(|dispute| dispute.held_amount)),
                intent.disputed_amount(),
            );
        }
        let duplicates = self.intent.iter().flat_map(|intent| {
            let counted = [
                ("duplicate_captured_total", intent.duplicate_captured_total),
                ("duplicate_refunded_total", intent.duplicate_refunded_total),
            ];
            counted.into_iter().zip([self.captured_sum(true), self.refunded_sum(true)])
        });
        for ((subject, counted), sum) in duplicates {
            findings.expect_for(
                "duplicate_captures_by_payments",
                subject,
                sum,
                counted.unwrap_or(sum),
            );
        }
        if let (Some(order), Some(intent)) = (&self.order, &self.intent) {
            let due = order.totals;
            findings.expect("amount_due", due.total, intent.amount);
            findings.expect("amount_due", due.currency.code(), intent.currency.code());
        }
        if let Some(intent) = &self.intent {
            let holds = |refund: &&RefundRecord| {
                !matches!(refund.state, Outcome::Failed | Outcome::Reversed)
            };
            let taken = total(
                self.refunds
                    .iter()
                    .filter(holds)
                    .filter(|refund| !refund.is_duplicate_capture())
                    .map(|refund| refund.amount),
            );
            let left = captured.saturating_sub(taken).saturating_sub(intent.disputed_amount());
            findings.expect("refundable", left.max(0), intent.refundable);
        }
        for attempt in self.attempts.iter().filter(|attempt| attempt.state == Outcome::Succeeded) {
            let refunds = self.refunds.iter().filter(|refund| refund.state == Outcome::Succeeded);
            let of_it = refunds
                .filter(|refund| refund.payment_id == attempt.payment_id)
                .map(|refund| refund.amount);
            findings.expect_for(
                "refunded_of_payment",
                &attempt.payment_id,
                total(of_it),
                attempt.refunded,
            );
        }
        let attempts = self.attempts.iter().map(|attempt| (&attempt.payment_id, attempt.state));
        for (subject, state) in
            attempts.chain(self.refunds.iter().map(|refund| (&refund.refund_id, refund.state)))
        {
            if state == Outcome::NeedsReview {
                findings.expect_for("under_review", subject, "an end that fits", "needs_review");
            }
        }
    }

    /// Compares settled attempts, refunds and disputes with the provider's statement. Open ones are
    /// skipped.
    fn provider_statement(&self, findings: &mut Findings) {
        let Some(provider) = &self.provider else { return };
        let ended = |state: Outcome| state != Outcome::Open;
        for attempt in self.attempts.iter().filter(|attempt| ended(attempt.state)) {
            let charged =
                provider.charges.get(&attempt.payment_id).map_or(0, |charge| charge.amount);
            let recorded = if attempt.state == Outcome::Succeeded { attempt.amount } else { 0 };
            findings.expect_for("charge_at_provider", &attempt.payment_id, charged, recorded);
        }
        let by_name = |refund: &RefundRecord| {
            refund.provider_refund_id.as_ref().and_then(|name| provider.refunds.get(name))
        };
        for refund in self.refunds.iter().filter(|refund| ended(refund.state)) {
            let found = provider.refunds.get(&refund.refund_id).or_else(|| by_name(refund));
            let refunded = found.map_or(0, |refund| refund.amount);
            let recorded = if refund.state == Outcome::Succeeded { refund.amount } else { 0 };
            findings.expect_for("refund_at_provider", &refund.refund_id, refunded, recorded);
        }
        // Refunds at the provider that payments has not recorded.
        for (name, refunded) in &provider.refunds {
            let is_known = |refund: &RefundRecord| {
                refund.refund_id == *name || refund.provider_refund_id.as_ref() == Some(name)
            };
            if !self.refunds.iter().any(is_known) {
                findings.expect_for("refund_at_provider", name, refunded.amount, 0);
            }
        }
        let recorded = self
            .intent
            .iter()
            .flat_map(|intent| &intent.disputes)
            .filter(|dispute| self.is_of_order(&dispute.payment_id));
        let recorded: BTreeMap<&String, i64> =
            recorded.map(|dispute| (&dispute.dispute_id, dispute.held_amount)).collect();
        for name in provider
            .disputes
            .keys()
            .chain(recorded.keys().copied().filter(|name| !provider.disputes.contains_key(*name)))
        {
            let (theirs, ours) = (
                provider.disputes.get(name).copied().unwrap_or(0),
                recorded.get(name).copied().unwrap_or(0),
            );
            findings.expect_for("dispute_at_provider", name, theirs, ours);
        }
        for charge in provider.charges.values() {
            let refunds =
                provider.refunds.values().filter(|refund| refund.charge_id == charge.charge_id);
            let left = charge.amount.saturating_sub(total(refunds.map(|refund| refund.amount)));
            findings.expect_for(
                "refundable_at_provider",
                &charge.charge_id,
                left,
                charge.refundable,
            );
            let (ours, theirs) = (
                self.order_id.to_string(),
                charge.order_id.map_or_else(|| "none".to_owned(), |id| id.to_string()),
            );
            findings.expect_for(
                "order_at_provider",
                &charge.charge_id,
                ours.as_str(),
                theirs.as_str(),
            );
        }
    }

    /// Whether this is the regular capture of the order. Only its disputes move money of the order.
    fn is_of_order(&self, payment_id: &str) -> bool {
        self.captured(false).any(|attempt| attempt.payment_id == payment_id)
    }

    /// Compares the order's status with its captures and refunds.
    fn order_status(&self, findings: &mut Findings) {
        let Some(order) = &self.order else { return };
        let due = order.totals.total;
        let captures: Vec<i64> = self.captured(false).map(|attempt| attempt.amount).collect();
        match order.status {
            // `free_order` checks an order of total 0.
            _ if due == 0 => {}
            Status::Confirmed | Status::Shipped | Status::Delivered if captures != [due] => {
                let found =
                    format!("{} of {} in all", captures.len(), total(captures.iter().copied()));
                findings.expect(
                    "one_full_capture",
                    format!("1 of {due} in all").as_str(),
                    found.as_str(),
                );
            }
            Status::Pending if order.goal == Goal::Fulfil && captures == [due] => {
                findings.expect("confirmed", Status::Confirmed.name(), order.status.name());
            }
            Status::Cancelled | Status::Failed if self.is_settled() => {
                // A lost dispute takes the retained amount. It may take more than that, which is
                // the shop's loss.
                let retained = self.retained_sum(false);
                let lost = self.intent.as_ref().map_or(0, IntentRecord::disputed_amount);
                findings.expect(
                    "net_zero",
                    0,
                    if retained > 0 { retained.saturating_sub(lost).max(0) } else { retained },
                );
            }
            _ => {}
        }
        let duplicate_refund_is_pending = self
            .refunds
            .iter()
            .any(|refund| refund.is_duplicate_capture() && refund.state == Outcome::Open);
        if !duplicate_refund_is_pending {
            findings.expect("duplicate_captures_refunded", 0, self.retained_sum(true));
        }
    }

    /// Checks that an order of total 0 has no payment: no attempt, and no intent that could be
    /// charged.
    fn free_order(&self, findings: &mut Findings) {
        if self.order.as_ref().is_none_or(|order| order.totals.total != 0) {
            return;
        }
        for attempt in &self.attempts {
            findings.expect_for("no_payment", &attempt.payment_id, "no attempt", "an attempt");
        }
        let is_open = self.intent.as_ref().is_some_and(|it| it.state != IntentState::Closed);
        let found = if is_open { "an open intent" } else { "no open intent" };
        findings.expect("no_payment", "no open intent", found);
    }

    /// Compares the reservation with the order's stock state and lines.
    fn reservation_lines(&self, findings: &mut Findings) {
        let Some(order) = &self.order else { return };
        use ReservationState::{Committed, Held, Rejected, Released};
        let fits: &[ReservationState] = match order.stock {
            StockState::Reserved => &[Held],
            StockState::Committing => &[Held, Committed],
            StockState::Committed => &[Committed],
            StockState::Rejected | StockState::Released => &[Rejected, Released],
            StockState::Reserving | StockState::Releasing | StockState::Unknown => &[],
        };
        let state = self.reservation.as_ref().map(|reservation| reservation.state);
        if !fits.is_empty() && !state.is_some_and(|state| fits.contains(&state)) {
            let expected: Vec<&str> = fits.iter().map(|state| state.name()).collect();
            findings.expect(
                "reservation_state",
                expected.join(" or ").as_str(),
                state.map_or("none", ReservationState::name),
            );
        }
        // A reservation that was released before it was created has no lines.
        let Some(reservation) =
            self.reservation.as_ref().filter(|it| !(it.lines.is_empty() && it.state == Released))
        else {
            return;
        };
        let (wanted, reserved) = (by_product(&order.lines), by_product(&reservation.lines));
        for product in
            wanted.keys().chain(reserved.keys().filter(|product| !wanted.contains_key(*product)))
        {
            let of = |quantities: &BTreeMap<ProductId, i64>| {
                quantities.get(product).copied().unwrap_or(0)
            };
            findings.expect_for("reserved_quantity", product, of(&wanted), of(&reserved));
        }
    }
}

fn total(amounts: impl Iterator<Item = i64>) -> i64 {
    amounts.fold(0, i64::saturating_add)
}

/// The total quantity of each product.
pub fn by_product(lines: &[Quantity]) -> BTreeMap<ProductId, i64> {
    let mut quantities: BTreeMap<ProductId, i64> = BTreeMap::new();
    for line in lines {
        let sum = quantities.entry(line.product_id).or_default();
        *sum = sum.saturating_add(line.quantity);
    }
    quantities
}
