//! Changes of promotions. A promotion is written outside its markets, and as a copy in each of
//! them, in one transaction with the next versions of these markets.

use shared::{
    ids::{PromotionId, Uuid},
    market::MarketId,
    telemetry::Trace,
};

use super::{
    MAX_ATTEMPTS,
    rule_change::{Created, active},
};
use crate::{
    Pricing,
    domain::{Promotion, PromotionDetails, WholeMarket},
    error::PricingError,
    store::{Commit, CommitOutcome, Creation},
    validation::validate,
};

pub(super) async fn create(
    pricing: &Pricing,
    request: Uuid,
    fingerprint: String,
    promotion: Promotion,
    trace: &Trace,
) -> Result<Created<Promotion>, PricingError> {
    let creation = Creation { fingerprint, created: promotion };
    for _ in 0..MAX_ATTEMPTS {
        if let Some(earlier) = pricing.store.creation(request).await? {
            return Created::replayed(earlier, &creation.fingerprint);
        }
        let promotion = &creation.created;
        promotion.details.validate(pricing.clock.now())?;
        let markets = markets(pricing, &[&promotion.details]).await?;
        let mut commit = Commit::default();
        pricing.replace_copies(&mut commit, &markets, None, Some(promotion), trace)?;
        pricing.store.write_promotion(&mut commit, promotion, None);
        pricing.store.write_creation(&mut commit, request, &creation);
        if pricing.store.commit(commit).await? == CommitOutcome::Written {
            return Ok(Created::New(creation.created));
        }
    }
    Err(PricingError::Contended)
}

/// Changes version `seen` of a promotion. A repeated request changes nothing.
pub(super) async fn update(
    pricing: &Pricing,
    id: PromotionId,
    seen: u64,
    change: impl Fn(&PromotionDetails) -> PromotionDetails,
    trace: &Trace,
) -> Result<Promotion, PricingError> {
    for _ in 0..MAX_ATTEMPTS {
        let before = pricing.store.promotion(id).await?.ok_or(PricingError::PromotionNotFound)?;
        let wanted = change(&before.details);
        if before.is_result_of(seen, &wanted) {
            return Ok(before);
        }
        if before.version != seen {
            return Err(PricingError::Stale { current: before.version });
        }
        if before.details == wanted {
            return Ok(before);
        }
        let now = pricing.clock.now();
        wanted.validate(now)?;
        let after = before.updated(wanted, now);
        let markets = markets(pricing, &[&before.details, &after.details]).await?;
        let mut commit = Commit::default();
        pricing.replace_copies(&mut commit, &markets, Some(&before), Some(&after), trace)?;
        pricing.store.write_promotion(&mut commit, &after, Some(seen));
        if pricing.store.commit(commit).await? == CommitOutcome::Written {
            return Ok(after);
        }
    }
    Err(PricingError::Contended)
}

pub(super) async fn delete(
    pricing: &Pricing,
    id: PromotionId,
    seen: u64,
    trace: &Trace,
) -> Result<(), PricingError> {
    for _ in 0..MAX_ATTEMPTS {
        let before = pricing.store.promotion(id).await?.ok_or(PricingError::PromotionNotFound)?;
        if before.version != seen {
            return Err(PricingError::Stale { current: before.version });
        }
        let markets = markets(pricing, &[&before.details]).await?;
        let mut commit = Commit::default();
        pricing.replace_copies(&mut commit, &markets, Some(&before), None, trace)?;
        pricing.store.delete_promotion(&mut commit, &before);
        if pricing.store.commit(commit).await? == CommitOutcome::Written {
            return Ok(());
        }
    }
    Err(PricingError::Contended)
}

/// The markets that any of these details names, each once.
async fn markets(
    pricing: &Pricing,
    details: &[&PromotionDetails],
) -> Result<Vec<WholeMarket>, PricingError> {
    let mut ids: Vec<&MarketId> = details.iter().flat_map(|one| one.markets.iter()).collect();
    ids.sort_by_key(|id| id.as_str());
    ids.dedup();
    let mut markets = Vec::new();
    for id in ids {
        let market = active(pricing, id).await.map_err(|error| match error {
            PricingError::MarketNotFound => PricingError::UnknownMarket(id.clone()),
            other => other,
        });
        markets.push(market?);
    }
    Ok(markets)
}

impl Pricing {
    /// Replaces the copies of a promotion in these markets. Validates each market.
    fn replace_copies(
        &self,
        commit: &mut Commit,
        markets: &[WholeMarket],
        before: Option<&Promotion>,
        after: Option<&Promotion>,
        trace: &Trace,
    ) -> Result<(), PricingError> {
        for market in markets {
            let is_in =
                |promotion: &&Promotion| promotion.details.markets.contains(&market.market.market);
            self.touch(commit, market, trace);
            match (before.filter(is_in), after.filter(is_in)) {
                (had, Some(has)) => {
                    validate(&market.clone().with(has.clone()))?;
                    self.store.write_rule(commit, market, has, had.map(|had| had.version));
                }
                (Some(had), None) => self.store.delete_rule(commit, market, had, had.version),
                (None, None) => {}
            }
        }
        Ok(())
    }
}
