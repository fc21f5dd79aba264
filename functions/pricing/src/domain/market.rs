//! A market: the countries that share a currency and a basis of prices.

use serde::{Deserialize, Serialize};
use shared::{
    address::CountryCode, clock::Timestamp, market::MarketId, money::Currency, telemetry::Trace,
};

use super::values::{Countries, MarketName, MinorUnits};

shared::stored_enum!(
    /// Whether a market sells.
    MarketStatus {
        Active = "active",
        /// Kept, so that the versions of a new market with this id continue.
        Deleted = "deleted",
    }
);

/// What admins set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketDetails {
    pub name: MarketName,
    pub currency: Currency,
    /// Whether prices, discounts and thresholds include tax.
    pub prices_include_tax: bool,
    /// The least total above 0 that is accepted.
    #[serde(default)]
    pub minimum_charge: MinorUnits,
    pub countries: Countries,
}

/// A market with the version of all its rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Market {
    pub market: MarketId,
    /// Increases with every change of the market or of one of its rules.
    pub version: u64,
    pub status: MarketStatus,
    pub details: MarketDetails,
    /// Countries that the market no longer serves. Each has a document that says so.
    #[serde(default)]
    pub former_countries: Vec<CountryCode>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub traceparent: Trace,
    /// The last resync that published the market without a change; zero if none did.
    #[serde(default)]
    pub resync_run: u64,
}

/// A market, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ListedMarket {
    pub market: MarketId,
    pub details: MarketDetails,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Market {
    /// A new market. `before` is a deleted market with the same id.
    pub fn create(
        market: MarketId,
        details: MarketDetails,
        before: Option<&Self>,
        now: Timestamp,
        trace: Trace,
    ) -> Self {
        let created = Self {
            market,
            version: before.map_or(1, |before| before.version + 1),
            status: MarketStatus::Active,
            former_countries: before
                .map_or_else(Vec::new, |before| before.former_countries.clone()),
            details,
            created_at: now,
            updated_at: now,
            traceparent: trace,
            resync_run: 0,
        };
        let countries = created.details.countries.clone();
        created.without_former(&countries)
    }

    pub fn is_active(&self) -> bool {
        self.status == MarketStatus::Active
    }

    /// The countries that the market serves: none if it is deleted.
    pub fn served(&self) -> impl Iterator<Item = &CountryCode> {
        self.details.countries.iter().filter(|_| self.is_active())
    }

    /// The next version, after a change of one of its rules.
    #[must_use]
    pub fn touched(&self, now: Timestamp, trace: Trace) -> Self {
        Self { version: self.version + 1, updated_at: now, traceparent: trace, ..self.clone() }
    }

    /// The next version, with other details.
    #[must_use]
    pub fn updated(&self, details: MarketDetails, now: Timestamp, trace: Trace) -> Self {
        let countries = details.countries.clone();
        let next = self.with_all_countries_former().touched(now, trace);
        Self { details, ..next }.without_former(&countries)
    }

    /// The next version, which serves no country.
    #[must_use]
    pub fn deleted(&self, now: Timestamp, trace: Trace) -> Self {
        let next = self.with_all_countries_former().touched(now, trace);
        Self { status: MarketStatus::Deleted, ..next }
    }

    /// Whether this version is the result of changing version `seen` to `details`. If so, a
    /// repeated request is already applied.
    pub fn is_result_of(&self, seen: u64, details: &MarketDetails) -> bool {
        seen.checked_add(1) == Some(self.version) && self.details == *details
    }

    fn with_all_countries_former(&self) -> Self {
        let mut former = self.former_countries.clone();
        former.extend(self.served().cloned());
        former.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        former.dedup();
        Self { former_countries: former, ..self.clone() }
    }

    fn without_former(mut self, served: &Countries) -> Self {
        self.former_countries.retain(|country| !served.contains(country));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::{country, germany, later, trace};

    fn former(market: &Market) -> Vec<&str> {
        market.former_countries.iter().map(CountryCode::as_str).collect()
    }

    fn with_countries(market: &Market, codes: &[&str]) -> MarketDetails {
        let codes: Vec<CountryCode> = codes.iter().map(|code| country(code)).collect();
        MarketDetails { countries: Countries::try_from(codes).unwrap(), ..market.details.clone() }
    }

    #[test]
    fn country_that_is_no_longer_served_is_remembered() {
        let first = germany();
        let second = first.updated(with_countries(&first, &["AT", "CH"]), later(), trace());
        assert_eq!((second.version, former(&second)), (2, vec!["DE"]));
        let third = second.updated(with_countries(&first, &["CH", "DE"]), later(), trace());
        assert_eq!((third.version, former(&third)), (3, vec!["AT"]));
        assert!(third.is_result_of(2, &third.details) && !third.is_result_of(1, &third.details));
    }

    #[test]
    fn deleted_market_serves_no_country_and_its_versions_continue() {
        let first = germany();
        let deleted = first.deleted(later(), trace());
        assert_eq!((deleted.version, deleted.is_active()), (2, false));
        assert_eq!((deleted.served().count(), former(&deleted)), (0, vec!["DE"]));
        let id = first.market.clone();
        let again =
            Market::create(id, with_countries(&first, &["AT"]), Some(&deleted), later(), trace());
        assert_eq!((again.version, former(&again)), (3, vec!["DE"]));
        let deleted_again = again.deleted(later(), trace());
        assert_eq!(former(&deleted_again), ["AT", "DE"]);
    }

    #[test]
    fn change_of_a_rule_only_increments_the_version() {
        let (market, now, trace) = (germany(), later(), trace());
        let touched = market.touched(now, trace.clone());
        let expected = Market { version: 2, updated_at: now, traceparent: trace, ..market };
        assert_eq!(touched, expected);
    }

    #[test]
    fn status_of_a_later_release_serves_no_country() {
        let closed = MarketStatus::from("closed".to_owned());
        assert_eq!(String::from(closed.clone()), "closed");
        assert_eq!(Market { status: closed, ..germany() }.served().count(), 0);
    }
}
