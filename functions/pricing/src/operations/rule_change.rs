//! Changes of shipping methods and tax rates. Each attempt reads the market with all its
//! rules, validates the result of the change, and writes rule and market under the versions that it
//! has read.

use shared::{ids::Uuid, market::MarketId, telemetry::Trace};

use super::MAX_ATTEMPTS;
use crate::{
    Pricing,
    domain::{Rule, WholeMarket},
    error::PricingError,
    store::{Commit, CommitOutcome, Creation, StoredRule},
    validation::validate,
};

/// A record that a request created, now or when it was sent first.
pub(super) enum Created<R> {
    New(R),
    Replayed(R),
}

impl<R> Created<R> {
    /// The record that an earlier request with the same key created.
    pub(super) fn replayed(earlier: Creation<R>, fingerprint: &str) -> Result<Self, PricingError> {
        if earlier.fingerprint == fingerprint {
            Ok(Self::Replayed(earlier.created))
        } else {
            Err(PricingError::KeyReused)
        }
    }
}

pub(super) async fn create_rule<R: StoredRule>(
    pricing: &Pricing,
    request: Uuid,
    fingerprint: String,
    market: &MarketId,
    rule: R,
    trace: &Trace,
) -> Result<Created<R>, PricingError> {
    let creation = Creation { fingerprint, created: rule };
    for _ in 0..MAX_ATTEMPTS {
        if let Some(earlier) = pricing.store.creation::<R>(request).await? {
            return Created::replayed(earlier, &creation.fingerprint);
        }
        let before = active(pricing, market).await?;
        let rule = &creation.created;
        validate(&before.clone().with(rule.clone()))?;
        let mut commit = Commit::default();
        pricing.touch(&mut commit, &before, trace);
        pricing.store.write_rule(&mut commit, &before, rule, None);
        pricing.store.write_creation(&mut commit, request, &creation);
        if pricing.store.commit(commit).await? == CommitOutcome::Written {
            return Ok(Created::New(creation.created));
        }
    }
    Err(PricingError::Contended)
}

/// Changes version `seen` of a rule. A repeated request changes nothing.
pub(super) async fn update_rule<I, D>(
    pricing: &Pricing,
    market: &MarketId,
    id: I,
    not_found: fn() -> PricingError,
    seen: u64,
    change: impl Fn(&D) -> Result<D, PricingError>,
    trace: &Trace,
) -> Result<Rule<I, D>, PricingError>
where
    I: Copy,
    D: Clone + PartialEq,
    Rule<I, D>: StoredRule<Id = I>,
{
    for _ in 0..MAX_ATTEMPTS {
        let before = active(pricing, market).await?;
        let rule = before.rule::<Rule<I, D>>(&id).ok_or_else(not_found)?.clone();
        let wanted = change(&rule.details)?;
        if rule.is_result_of(seen, &wanted) {
            return Ok(rule);
        }
        if rule.version != seen {
            return Err(PricingError::Stale { current: rule.version });
        }
        if rule.details == wanted {
            return Ok(rule);
        }
        let changed = rule.updated(wanted, pricing.clock.now());
        validate(&before.clone().with(changed.clone()))?;
        let mut commit = Commit::default();
        pricing.touch(&mut commit, &before, trace);
        pricing.store.write_rule(&mut commit, &before, &changed, Some(seen));
        if pricing.store.commit(commit).await? == CommitOutcome::Written {
            return Ok(changed);
        }
    }
    Err(PricingError::Contended)
}

pub(super) async fn delete_rule<I, D>(
    pricing: &Pricing,
    market: &MarketId,
    id: I,
    not_found: fn() -> PricingError,
    seen: u64,
    trace: &Trace,
) -> Result<(), PricingError>
where
    I: Copy,
    D: Clone + PartialEq,
    Rule<I, D>: StoredRule<Id = I>,
{
    for _ in 0..MAX_ATTEMPTS {
        let before = active(pricing, market).await?;
        let rule = before.rule::<Rule<I, D>>(&id).ok_or_else(not_found)?;
        if rule.version != seen {
            return Err(PricingError::Stale { current: rule.version });
        }
        let mut commit = Commit::default();
        pricing.touch(&mut commit, &before, trace);
        pricing.store.delete_rule(&mut commit, &before, rule, seen);
        if pricing.store.commit(commit).await? == CommitOutcome::Written {
            return Ok(());
        }
    }
    Err(PricingError::Contended)
}

/// The market with all its rules.
pub(super) async fn active(
    pricing: &Pricing,
    market: &MarketId,
) -> Result<WholeMarket, PricingError> {
    let found = pricing.store.whole(market).await?.filter(|whole| whole.market.is_active());
    found.ok_or(PricingError::MarketNotFound)
}

impl Pricing {
    /// Gives a market its next version, because one of its rules changes.
    pub(super) fn touch(&self, commit: &mut Commit, before: &WholeMarket, trace: &Trace) {
        let after = before.market.touched(self.clock.now(), trace.clone());
        self.store.write_market(commit, Some(&before.market), &after);
    }
}
