//! Changes of markets. A market is written in one transaction with the countries that it begins or
//! ceases to serve.

use shared::{ids::Uuid, market::MarketId, telemetry::Trace};

use super::{
    MAX_ATTEMPTS,
    rule_change::{Created, active},
};
use crate::{
    Pricing,
    domain::{Market, MarketDetails, MarketStatus, WholeMarket},
    error::PricingError,
    store::{Commit, CommitOutcome, Creation},
    validation::validate,
};

pub(super) async fn create(
    pricing: &Pricing,
    request: Uuid,
    fingerprint: String,
    market: &MarketId,
    details: MarketDetails,
    trace: &Trace,
) -> Result<Created<Market>, PricingError> {
    for _ in 0..MAX_ATTEMPTS {
        if let Some(earlier) = pricing.store.creation(request).await? {
            return Created::replayed(earlier, &fingerprint);
        }
        let before = pricing.store.market(market).await?;
        if before.as_ref().is_some_and(|before| before.status != MarketStatus::Deleted) {
            return Err(PricingError::MarketExists);
        }
        let (now, trace) = (pricing.clock.now(), trace.clone());
        let created = Market::create(market.clone(), details.clone(), before.as_ref(), now, trace);
        let creation = Creation { fingerprint: fingerprint.clone(), created };
        let mut commit = Commit::default();
        pricing.store.write_market(&mut commit, before.as_ref(), &creation.created);
        pricing.store.write_creation(&mut commit, request, &creation);
        if is_written(pricing, commit).await? {
            return Ok(Created::New(creation.created));
        }
    }
    Err(PricingError::Contended)
}

/// Changes version `seen` of a market. A repeated request changes nothing.
pub(super) async fn update(
    pricing: &Pricing,
    market: &MarketId,
    seen: u64,
    change: impl Fn(&MarketDetails) -> MarketDetails,
    trace: &Trace,
) -> Result<Market, PricingError> {
    for _ in 0..MAX_ATTEMPTS {
        let whole = active(pricing, market).await?;
        let before = &whole.market;
        let wanted = change(&before.details);
        if before.is_result_of(seen, &wanted) {
            return Ok(whole.market);
        }
        if before.version != seen {
            return Err(PricingError::Stale { current: before.version });
        }
        if before.details == wanted {
            return Ok(whole.market);
        }
        let after = before.updated(wanted, pricing.clock.now(), trace.clone());
        validate(&WholeMarket { market: after.clone(), ..whole.clone() })?;
        let mut commit = Commit::default();
        pricing.store.write_market(&mut commit, Some(before), &after);
        if is_written(pricing, commit).await? {
            return Ok(after);
        }
    }
    Err(PricingError::Contended)
}

pub(super) async fn delete(
    pricing: &Pricing,
    market: &MarketId,
    seen: u64,
    trace: &Trace,
) -> Result<(), PricingError> {
    for _ in 0..MAX_ATTEMPTS {
        let whole = active(pricing, market).await?;
        if whole.market.version != seen {
            return Err(PricingError::Stale { current: whole.market.version });
        }
        if whole.has_rules() {
            return Err(PricingError::MarketNotEmpty);
        }
        let after = whole.market.deleted(pricing.clock.now(), trace.clone());
        let mut commit = Commit::default();
        pricing.store.write_market(&mut commit, Some(&whole.market), &after);
        if is_written(pricing, commit).await? {
            return Ok(());
        }
    }
    Err(PricingError::Contended)
}

async fn is_written(pricing: &Pricing, commit: Commit) -> Result<bool, PricingError> {
    match pricing.store.commit(commit).await? {
        CommitOutcome::Written => Ok(true),
        CommitOutcome::Conflict => Ok(false),
        CommitOutcome::CountryTaken(country) => Err(PricingError::CountryTaken(country)),
    }
}
