//! The commands and reviews that an order waits for now, derived from its stored state.

use shared::clock::Timestamp;

use super::order::Order;

/// The party that has to act before the order continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    Inventory,
    Payments,
    /// The buyer has to pay, or to complete the provider's action (3-D Secure).
    Buyer,
    /// An operator has to review the order.
    Operator,
}

impl Party {
    /// The name of the party in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Payments => "payments",
            Self::Buyer => "buyer",
            Self::Operator => "operator",
        }
    }
}

/// One thing that the order waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting<'a> {
    pub party: Party,
    /// The command without an answer; `None` if the operator has to act.
    pub command: Option<&'static str>,
    /// Why an operator has to review the order.
    pub reason: Option<&'a str>,
    /// Start of the wait for an answer. `None` for the buyer and the operator.
    pub since: Option<Timestamp>,
    /// Scheduled checks that found no answer.
    pub checks: u32,
    /// When the command is sent again.
    pub next_check_at: Option<Timestamp>,
    /// When the wait ends without the party: the buyer's payment deadline.
    pub until: Option<Timestamp>,
}

impl Order {
    /// What the order waits for: its pending commands, then its reviews.
    pub fn waiting(&self) -> Vec<Waiting<'_>> {
        let has_method = self.customer.payment_method.is_some();
        let commands = self.progress.pending_commands().into_iter().map(|command| {
            let (party, unanswered) = if command.is_for_stock() {
                (Party::Inventory, self.schedule.stock_unanswered)
            } else if self.progress.awaits_buyer() {
                (Party::Buyer, None)
            } else {
                (Party::Payments, self.schedule.payment_unanswered)
            };
            Waiting {
                party,
                command: Some(command.name(has_method)),
                reason: None,
                since: unanswered.map(|unanswered| unanswered.since),
                checks: unanswered.map_or(0, |unanswered| unanswered.checks),
                next_check_at: self.schedule.next_check_at,
                until: (party == Party::Buyer).then_some(self.placed.expires_at),
            }
        });
        let reviews = self.progress.review_reasons().map(|reason| Waiting {
            party: Party::Operator,
            command: None,
            reason: Some(reason),
            since: None,
            checks: 0,
            next_check_at: None,
            until: None,
        });
        commands.chain(reviews).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::reachable;

    #[test]
    fn every_reachable_order_waits_for_its_pending_commands_and_reviews() {
        let mut seen = std::collections::BTreeSet::new();
        for order in reachable().values() {
            let waiting = order.waiting();
            let commands = waiting.iter().filter(|waiting| waiting.command.is_some()).count();
            assert_eq!(commands, order.progress.pending_commands().len());
            let reviews: Vec<&str> = waiting.iter().filter_map(|waiting| waiting.reason).collect();
            assert_eq!(reviews, order.progress.review_reasons().collect::<Vec<_>>());
            for Waiting { party, since, next_check_at, until, .. } in waiting {
                seen.insert(party.name());
                // A service has a start, the buyer a deadline, an operator neither.
                let is_service = matches!(party, Party::Inventory | Party::Payments);
                assert_eq!(since.is_some(), is_service, "{party:?}");
                assert_eq!(until.is_some(), party == Party::Buyer);
                assert!(next_check_at.is_some() || party == Party::Operator, "{party:?}");
            }
        }
        assert_eq!(Vec::from_iter(seen), ["buyer", "inventory", "operator", "payments"]);
    }
}
