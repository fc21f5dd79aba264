//! Changes of markets and rules. Each is one transaction, in which every market that it concerns
//! gets its next version.

use serde::{Deserialize, Serialize};
use shared::{
    address::CountryCode,
    ids::Uuid,
    market::MarketId,
    table::{Expression, Key, TableError, TransactionOutcome, Write, to_item, to_patch},
};

use super::{
    CREATED, Creation, HEAD, PROMOTIONS, RULE, Store, StoredRule, list_of, market_key,
    promotion_key, request_key,
};
use crate::domain::{Market, Promotion, WholeMarket};

/// The writes of one transaction.
#[derive(Debug, Default)]
pub struct Commit {
    writes: Vec<Write>,
    /// Countries that a market begins to serve. Their writes come last.
    claims: Vec<(CountryCode, Write)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    Written,
    /// A market or rule has changed since it was read.
    Conflict,
    /// Another market serves the country.
    CountryTaken(CountryCode),
}

/// A market as stored, with its keys.
#[derive(Serialize)]
struct MarketItem<'a> {
    pk: String,
    sk: &'static str,
    list: Option<&'static str>,
    list_sort: &'a str,
    #[serde(flatten)]
    market: &'a Market,
}

/// A rule as stored, with its keys.
#[derive(Serialize)]
struct RuleItem<'a, R> {
    pk: String,
    sk: String,
    #[serde(flatten)]
    rule: &'a R,
}

/// A promotion as stored, with its keys.
#[derive(Serialize)]
struct PromotionItem<'a> {
    pk: String,
    sk: &'static str,
    list: &'static str,
    list_sort: String,
    #[serde(flatten)]
    promotion: &'a Promotion,
}

/// The creation of a record, with its keys.
#[derive(Serialize)]
struct CreationItem<'a, R> {
    pk: String,
    sk: &'static str,
    #[serde(flatten)]
    creation: &'a Creation<R>,
}

/// The market that serves a country.
#[derive(Serialize, Deserialize)]
struct CountryItem {
    pk: String,
    sk: String,
    market: MarketId,
}

impl Store {
    /// Writes a change as a whole.
    pub async fn commit(&self, commit: Commit) -> Result<CommitOutcome, TableError> {
        let Commit { mut writes, claims } = commit;
        let first_claim = writes.len();
        let (countries, claims): (Vec<_>, Vec<_>) = claims.into_iter().unzip();
        writes.extend(claims);
        let conflicts = match self.pricing.transact(writes).await? {
            TransactionOutcome::Written => return Ok(CommitOutcome::Written),
            TransactionOutcome::Cancelled(conflicts) => conflicts,
        };
        let (of_records, of_claims) = conflicts.split_at(first_claim.min(conflicts.len()));
        if of_records.iter().any(Option::is_some) {
            return Ok(CommitOutcome::Conflict);
        }
        let mut taken = countries.into_iter().zip(of_claims).filter(|(_, claim)| claim.is_some());
        Ok(taken
            .next()
            .map_or(CommitOutcome::Conflict, |(country, _)| CommitOutcome::CountryTaken(country)))
    }

    /// The next version of a market over `before`; `None` if it does not exist. Attributes of a
    /// later release are preserved.
    pub fn write_market(&self, commit: &mut Commit, before: Option<&Market>, after: &Market) {
        let patch = to_patch(&MarketItem {
            pk: market_key(&after.market),
            sk: HEAD,
            list: list_of(&after.status),
            list_sort: after.market.as_str(),
            market: after,
        });
        let unchanged = before
            .map_or_else(Expression::not_exists, |before| Expression::version(before.version));
        commit.writes.push(self.pricing.transact_merge(patch, unchanged));
        let (had, has) = (served(before), served(Some(after)));
        for country in has.iter().filter(|country| !had.contains(country)) {
            commit.claims.push((country.clone(), self.claim(country, &after.market)));
        }
        for country in had.iter().filter(|country| !has.contains(country)) {
            commit.writes.push(self.release(country, &after.market));
        }
    }

    /// A rule in the partition of a market, in its next version over `seen`; `None` if it does not
    /// exist there. Attributes of a later release are preserved.
    pub fn write_rule<R: StoredRule>(
        &self,
        commit: &mut Commit,
        market: &WholeMarket,
        rule: &R,
        seen: Option<u64>,
    ) {
        let (pk, sk) = rule_key(market, rule);
        let patch = to_patch(&RuleItem { pk, sk, rule });
        commit.writes.push(self.pricing.transact_merge(patch, version_or_none(seen)));
    }

    /// Deletes version `seen` of a rule from the partition of a market.
    pub fn delete_rule<R: StoredRule>(
        &self,
        commit: &mut Commit,
        market: &WholeMarket,
        rule: &R,
        seen: u64,
    ) {
        let (pk, sk) = rule_key(market, rule);
        let delete =
            self.pricing.transact_delete(Key::composite(pk, sk), Expression::version(seen));
        commit.writes.push(delete);
    }

    /// A promotion outside its markets, in its next version over `seen`.
    pub fn write_promotion(&self, commit: &mut Commit, promotion: &Promotion, seen: Option<u64>) {
        let patch = to_patch(&PromotionItem {
            pk: format!("PROMOTION#{}", promotion.id),
            sk: RULE,
            list: PROMOTIONS,
            list_sort: format!("{}#{}", promotion.created_at, promotion.id),
            promotion,
        });
        commit.writes.push(self.pricing.transact_merge(patch, version_or_none(seen)));
    }

    pub fn delete_promotion(&self, commit: &mut Commit, promotion: &Promotion) {
        let unchanged = Expression::version(promotion.version);
        let delete = self.pricing.transact_delete(promotion_key(promotion.id), unchanged);
        commit.writes.push(delete);
    }

    /// What this request creates.
    pub fn write_creation<R: Serialize>(
        &self,
        commit: &mut Commit,
        request: Uuid,
        creation: &Creation<R>,
    ) {
        let pk = request_key(request);
        let item = to_item(&CreationItem { pk, sk: CREATED, creation });
        commit.writes.push(self.pricing.transact_put(item, Expression::not_exists()));
    }

    fn claim(&self, country: &CountryCode, market: &MarketId) -> Write {
        let (pk, sk) = country_key(country);
        let free = Expression::new("attribute_not_exists(#pk) OR #market = :market");
        let item = to_item(&CountryItem { pk, sk, market: market.clone() });
        self.pricing.transact_put(item, free.value("market", market))
    }

    fn release(&self, country: &CountryCode, market: &MarketId) -> Write {
        let (pk, sk) = country_key(country);
        let its_own = Expression::new("#market = :market").value("market", market);
        self.pricing.transact_delete(Key::composite(pk, sk), its_own)
    }
}

fn served(market: Option<&Market>) -> Vec<CountryCode> {
    market.into_iter().flat_map(Market::served).cloned().collect()
}

fn version_or_none(seen: Option<u64>) -> Expression {
    seen.map_or_else(Expression::not_exists, Expression::version)
}

fn rule_key<R: StoredRule>(market: &WholeMarket, rule: &R) -> (String, String) {
    (market_key(&market.market.market), format!("{}{}", R::PREFIX, rule.place()))
}

fn country_key(country: &CountryCode) -> (String, String) {
    (format!("COUNTRY#{country}"), "MARKET".to_owned())
}
