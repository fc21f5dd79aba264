//! Pricing documents that an instance has read recently.
//!
//! All estimates for one market and country read the same item, and one partition serves a limited
//! number of reads. Therefore an instance caches a document for a few seconds. An estimate may be
//! that old. Orders do not use the cache: they read the rules.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use shared::{address::CountryCode, clock::Timestamp, market::MarketId};

use crate::domain::pricing::Pricing;

/// A market and a country.
type Key = (String, String);
/// Rules, and the time after which they are read again.
type Cached = (Timestamp, Arc<Pricing>);

pub struct PricingCache {
    lifetime: Duration,
    documents: Mutex<HashMap<Key, Cached>>,
}

impl PricingCache {
    /// Caches each document for `lifetime`; zero caches none.
    pub fn new(lifetime: Duration) -> Self {
        Self { lifetime, documents: Mutex::default() }
    }

    /// Returns the rules of a market for a country, if they were read recently.
    pub fn get(
        &self,
        market: &MarketId,
        country: &CountryCode,
        now: Timestamp,
    ) -> Option<Arc<Pricing>> {
        let documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, pricing) = documents.get(&key(market, country))?;
        (now < *until).then(|| pricing.clone())
    }

    /// Caches rules that were read at `now`, and removes those whose lifetime is over.
    pub fn insert(&self, pricing: Pricing, now: Timestamp) -> Arc<Pricing> {
        let pricing = Arc::new(pricing);
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        documents.retain(|_, (until, _)| now < *until);
        let until = now.plus(self.lifetime);
        documents.insert(key(&pricing.market, &pricing.country), (until, pricing.clone()));
        pricing
    }
}

fn key(market: &MarketId, country: &CountryCode) -> Key {
    (market.to_string(), country.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pricing(country: &str, version: u64) -> Pricing {
        let rules = json!({ "currency": "EUR", "prices_include_tax": true, "served": true });
        let pricing =
            json!({ "market": "de", "country": country, "version": version, "document": rules });
        serde_json::from_value(pricing).unwrap()
    }

    #[test]
    fn document_is_cached_for_its_lifetime() {
        let cache = PricingCache::new(Duration::from_secs(10));
        let at = Timestamp::from_milliseconds;
        let (germany, austria) = (pricing("DE", 7), pricing("AT", 1));
        cache.insert(germany.clone(), at(0));
        let version = |now| {
            cache.get(&germany.market, &germany.country, at(now)).map(|pricing| pricing.version)
        };
        assert_eq!((version(9_999), version(10_000)), (Some(7), None));
        assert!(cache.get(&austria.market, &austria.country, at(0)).is_none());
        cache.insert(pricing("DE", 8), at(5_000));
        assert_eq!((version(5_000), version(14_999)), (Some(8), Some(8)));
        cache.insert(austria, at(15_000));
        assert_eq!(cache.documents.lock().unwrap().len(), 1);
    }

    #[test]
    fn lifetime_of_zero_caches_nothing() {
        let cache = PricingCache::new(Duration::ZERO);
        let germany = pricing("DE", 7);
        let now = Timestamp::from_milliseconds(0);
        cache.insert(germany.clone(), now);
        assert!(cache.get(&germany.market, &germany.country, now).is_none());
    }
}
