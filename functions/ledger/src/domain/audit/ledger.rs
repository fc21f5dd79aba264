//! The checks of an order's ledger entries: each entry balances, and their sums match the records
//! of payments, orders and inventory.

use std::collections::BTreeSet;

use shared::ids::ProductId;

use super::{
    Findings, OrderSnapshot,
    order::by_product,
    record::ReservationState,
    sale::{Amounts, Sale, is_of_sale},
};
use crate::domain::{Account, Balances, StockBucket, Unit, entry::sums_by_unit};

impl OrderSnapshot {
    /// Sums the ledger entries, and checks that each one balances.
    pub(super) fn entry_balances(&self, findings: &mut Findings) -> Balances {
        let mut balances = Balances::default();
        for entry in &self.entries {
            for (unit, sum) in sums_by_unit(&entry.lines) {
                let sum = i64::try_from(sum).unwrap_or(i64::MAX);
                findings.expect_for(
                    "entry_balances",
                    format!("{} in {unit}", entry.entry_id),
                    0,
                    sum,
                );
            }
            balances.add(&entry.lines);
        }
        balances
    }

    pub(super) fn payments_in_ledger(&self, balances: &Balances, findings: &mut Findings) {
        let (captured, refunded) = (
            self.captured_sum(false).saturating_add(self.captured_sum(true)),
            self.refunded_sum(false).saturating_add(self.refunded_sum(true)),
        );
        // Reversed refunds and reinstated disputes are inflows; withdrawals for disputes are
        // outflows.
        let reversed = self.reversed_sum(false).saturating_add(self.reversed_sum(true));
        let (withdrawn, reinstated) = self.intent.as_ref().map_or((0, 0), |intent| {
            (intent.dispute_withdrawn_total, intent.dispute_reinstated_total)
        });
        let captured = captured.saturating_add(reversed).saturating_add(reinstated);
        let refunded = refunded.saturating_add(withdrawn);
        let unit = self.unit();
        for foreign in balances.currencies().filter(|found| Some(*found) != unit) {
            let (expected, found) =
                (unit.map(|unit| unit.to_string()).unwrap_or_default(), foreign.to_string());
            findings.expect("currency_in_ledger", expected.as_str(), found.as_str());
        }
        let Some(unit) = unit else { return };
        let (clearing, funds) = (balances.clearing(unit), balances.funds(self.order_id, unit));
        findings.expect("captured_by_ledger", captured, clearing.debits);
        findings.expect("refunded_by_ledger", refunded, clearing.credits);
        let expected = match self.sale() {
            // The sale and its reversal have moved all money of a settled order out of the funds.
            // Only duplicate captures and returned amounts above the total remain.
            Some(sale) if self.is_settled() => {
                sale.over_returned.saturating_sub(self.retained_sum(true))
            }
            Some(sale) => {
                let earned = sale.total().saturating_sub(sale.returned);
                refunded.saturating_sub(captured).saturating_add(earned)
            }
            None => refunded.saturating_sub(captured),
        };
        findings.expect("funds_in_ledger", expected, funds.balance());
    }

    /// Compares the accounts of the sale with the price of the order and the returned amount.
    pub(super) fn sale_in_ledger(&self, balances: &Balances, findings: &mut Findings) {
        let sale = self.sale();
        if let (Some(order), Some(sale)) = (&self.order, &sale) {
            findings.expect("sale_of_order", order.totals.total, sale.total());
        }
        let Some(unit) = self.unit() else { return };
        let mut expected = Amounts::new();
        if let Some(sale) = &sale {
            for (account, part) in &sale.parts {
                expected.insert(*account, part.saturating_neg());
            }
            for (account, reversed) in sale.reversed() {
                *expected.entry(account).or_default() += reversed;
            }
        }
        let booked: BTreeSet<Account> = balances.accounts().filter(|it| is_of_sale(*it)).collect();
        for account in booked {
            expected.entry(account).or_default();
        }
        for (account, expected) in expected {
            findings.expect_for(
                "sale_in_ledger",
                account,
                expected,
                balances.balance(account, unit),
            );
        }
    }

    fn sale(&self) -> Option<Sale> {
        self.order.as_ref().and_then(Sale::of)
    }

    /// The currency of the order; `None` if no record names one.
    fn unit(&self) -> Option<Unit> {
        let order = self.order.iter().map(|order| order.totals.currency);
        let intent = self.intent.iter().map(|intent| intent.currency);
        let attempts = self.attempts.iter().map(|attempt| attempt.currency);
        intent.chain(order).chain(attempts).next().map(Unit::Money)
    }

    /// Compares the ledger's stock movements with the reservation. Goods move when a reservation is
    /// committed, and return when it is released after that.
    pub(super) fn stock_in_ledger(&self, balances: &Balances, findings: &mut Findings) {
        let reservation = self.reservation.as_ref();
        let reserved =
            reservation.map(|reservation| by_product(&reservation.lines)).unwrap_or_default();
        let share = match reservation.map(|reservation| reservation.state) {
            Some(ReservationState::Committed) => 1,
            Some(
                ReservationState::Held | ReservationState::Released | ReservationState::Rejected,
            )
            | None => 0,
            Some(ReservationState::Unknown) => return,
        };
        let mut products: Vec<ProductId> =
            reserved.keys().copied().chain(balances.products()).collect();
        products.sort_unstable();
        products.dedup();
        for product in products {
            let quantity = reserved.get(&product).copied().unwrap_or(0);
            for (bucket, share) in [(StockBucket::OnHand, -share), (StockBucket::ShippedOut, share)]
            {
                let subject = format!("{product} {}", bucket.name());
                findings.expect_for(
                    "committed_in_ledger",
                    subject,
                    quantity.saturating_mul(share),
                    balances.stock(product, bucket),
                );
            }
        }
    }
}
