//! Validation of a market with all its rules. Every change is validated before it is written.

use shared::{clock::Timestamp, market::MarketId, money::Currency};

use super::{
    WholeMarket,
    rule::{Promotion, PromotionDetails},
};

/// Maximum number of shipping methods of a market.
pub const MAX_SHIPPING_METHODS: usize = 20;
/// Maximum number of tax rates of a market.
pub const MAX_TAX_RATES: usize = 200;
/// Maximum number of promotions of a market.
pub const MAX_PROMOTIONS: usize = 50;

/// Why a market rejects a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the market {market} has more than {limit} {kind}")]
    TooManyRules { market: MarketId, kind: &'static str, limit: usize },
    /// Another rule taxes the same goods at the same place from the same moment.
    #[error("another tax rate is for the same case")]
    SameTaxCase,
    /// A rule has no amount in the currency of a market.
    #[error("an amount in {} is missing in the market {market}", currency.code())]
    CurrencyMissing { market: MarketId, currency: Currency },
}

/// Why the details of a promotion are rejected, regardless of its markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromotionRefusal {
    /// The promotion has neither a percentage nor amounts, or both.
    #[error("a promotion has either a percentage or amounts")]
    Effect,
    /// The promotion has ended, or takes nothing.
    #[error("the promotion can never apply")]
    NeverApplies,
}

impl WholeMarket {
    /// # Errors
    /// If the rules exceed a limit, contradict each other or lack an amount in the currency.
    pub fn validate(&self) -> Result<(), Refusal> {
        let market = || self.market.market.clone();
        let too_many = |kind, limit| Refusal::TooManyRules { market: market(), kind, limit };
        for (count, kind, limit) in [
            (self.shipping_methods.len(), "shipping methods", MAX_SHIPPING_METHODS),
            (self.tax_rates.len(), "tax rates", MAX_TAX_RATES),
            (self.promotions.len(), "promotions", MAX_PROMOTIONS),
        ] {
            if count > limit {
                return Err(too_many(kind, limit));
            }
        }
        for (position, rate) in self.tax_rates.iter().enumerate() {
            let others = &self.tax_rates[position + 1..];
            if others.iter().any(|other| other.details.is_same_case(&rate.details)) {
                return Err(Refusal::SameTaxCase);
            }
        }
        if self.has_all_amounts() {
            return Ok(());
        }
        Err(Refusal::CurrencyMissing { market: market(), currency: self.market.details.currency })
    }

    /// Whether every rule has its amounts in the currency of the market.
    fn has_all_amounts(&self) -> bool {
        let currency = self.market.details.currency;
        let mut prices = self
            .shipping_methods
            .iter()
            .flat_map(|method| [Some(method.details.price), method.details.free_from])
            .flatten();
        let has_amounts = |promotion: &Promotion| {
            let PromotionDetails { fixed, min_subtotal, .. } = &promotion.details;
            [fixed, min_subtotal]
                .iter()
                .all(|amounts| amounts.is_empty() || amounts.of(currency).is_some())
        };
        prices.all(|price| price.currency == currency) && self.promotions.iter().all(has_amounts)
    }
}

impl PromotionDetails {
    /// # Errors
    /// If no market could apply the promotion at `now` or later.
    pub fn validate(&self, now: Timestamp) -> Result<(), PromotionRefusal> {
        if !self.has_one_effect() {
            return Err(PromotionRefusal::Effect);
        }
        if self.can_apply_from(now) { Ok(()) } else { Err(PromotionRefusal::NeverApplies) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{
        Rule,
        tests::{currency, later, percent, sale, vat, whole},
        values::Amounts,
    };

    #[test]
    fn market_with_all_its_amounts_is_accepted() {
        assert_eq!(whole().validate(), Ok(()));
        let mut market = whole();
        market.promotions = vec![sale(&[("EUR", 500), ("USD", 700)])];
        assert_eq!(market.validate(), Ok(()));
    }

    #[test]
    fn missing_currency_is_refused() {
        let missing = |code| {
            let market = whole().market.market;
            Err(Refusal::CurrencyMissing { market, currency: currency(code) })
        };
        let mut market = whole();
        market.promotions = vec![sale(&[("USD", 700)])];
        assert_eq!(market.validate(), missing("EUR"), "of a promotion");
        let mut market = whole();
        market.market.details.currency = currency("USD");
        market.promotions.clear();
        assert_eq!(market.validate(), missing("USD"), "of a shipping method");
    }

    #[test]
    fn number_of_rules_is_limited() {
        let mut market = whole();
        let promotion = market.promotions[0].clone();
        market.promotions = vec![promotion.clone(); MAX_PROMOTIONS];
        assert_eq!(market.validate(), Ok(()));
        market.promotions.push(promotion);
        let too_many = market.validate().unwrap_err();
        assert_eq!(too_many.to_string(), "the market de has more than 50 promotions");
    }

    #[test]
    fn second_tax_rate_for_a_case_is_refused() {
        let mut market = whole();
        market.tax_rates.push(vat("AT", 200_000));
        assert_eq!(market.validate(), Ok(()));
        market.tax_rates.push(vat("DE", 160_000));
        assert_eq!(market.validate(), Err(Refusal::SameTaxCase));
    }

    #[test]
    fn promotion_without_exactly_one_effect_is_refused() {
        let mut details = percent();
        assert_eq!(details.validate(later()), Ok(()));
        details.fixed = sale(&[("EUR", 500)]).details.fixed;
        assert_eq!(details.validate(later()), Err(PromotionRefusal::Effect));
        details.percent_bp = None;
        assert_eq!(details.validate(later()), Ok(()));
        details.fixed = Amounts::default();
        assert_eq!(details.validate(later()), Err(PromotionRefusal::Effect));
    }

    #[test]
    fn promotion_that_can_never_apply_is_refused() {
        let never = Err(PromotionRefusal::NeverApplies);
        let second = Duration::from_secs(1);
        let mut details = percent();
        details.ends_at = Some(later());
        assert_eq!(details.validate(later()), never, "it has ended");
        details.ends_at = Some(later().plus(second));
        assert_eq!(details.validate(later()), Ok(()));
        details.starts_at = details.ends_at;
        assert_eq!(details.validate(later()), never, "it ends when it starts");
        let Rule { details: free, .. } = sale(&[("EUR", 0)]);
        assert_eq!(free.validate(later()), never, "it takes nothing");
    }
}
