//! Markets and their rules in DynamoDB. Only this module contains keys and indexes.
//!
//! | partition key | sort key | item |
//! |---|---|---|
//! | `MARKET#<id>` | `HEAD` | a [`Market`], with the version of all its rules |
//! | | `SHIPPING#<id>` | a [`ShippingMethod`] |
//! | | `TAX#<country>#<region>#<class>#<valid_from>` | a [`TaxRate`] |
//! | | `PROMOTION#<id>` | the market's copy of a [`Promotion`] |
//! | | `DOCUMENT#<country>` | a [`CompiledDocument`] |
//! | `PROMOTION#<id>` | `RULE` | the promotion that the copies are equal to |
//! | `COUNTRY#<code>` | `MARKET` | the market that serves a country |
//! | `REQUEST#<uuid>` | `CREATED` | what a request created, for a repeated `Idempotency-Key` |
//!
//! Markets and promotions are also in `list-index`.

mod write;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use shared::{
    ids::{PromotionId, ShippingMethodId, Uuid},
    market::MarketId,
    table::{
        Expression, Item, Key, List, ListPage, Outcome, Query, Table, TableError, from_item,
        to_patch,
    },
};

use crate::domain::{
    CompiledDocument, ListedMarket, Market, MarketRule, MarketStatus, Promotion, ShippingMethod,
    TaxRate, WholeMarket,
};

pub use write::{Commit, CommitOutcome};

#[derive(Clone, Debug)]
pub struct Store {
    pub pricing: Table,
}

/// What a request created, and its fingerprint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Creation<R> {
    pub fingerprint: String,
    pub created: R,
}

/// A rule of one market with its place in the partition.
pub trait StoredRule: MarketRule + Serialize + DeserializeOwned + Send + Sync + 'static {
    const PREFIX: &'static str;

    /// The sort key without the prefix.
    fn place(&self) -> String;
}

impl StoredRule for ShippingMethod {
    const PREFIX: &'static str = "SHIPPING#";

    fn place(&self) -> String {
        self.id.to_string()
    }
}

impl StoredRule for TaxRate {
    const PREFIX: &'static str = "TAX#";

    fn place(&self) -> String {
        let details = &self.details;
        let region = details.region.as_ref().map_or("", |region| region.as_str());
        format!("{}#{region}#{}#{}", details.country, details.tax_class, details.valid_from)
    }
}

impl StoredRule for Promotion {
    const PREFIX: &'static str = "PROMOTION#";

    fn place(&self) -> String {
        self.id.to_string()
    }
}

/// What a resync reads from an index entry.
#[derive(Deserialize)]
struct IndexEntry {
    pk: String,
    #[serde(default)]
    market: String,
}

/// A page of markets, and where a resync continues.
#[derive(Debug)]
pub struct ResyncPage {
    pub markets: Vec<MarketId>,
    /// Keys of index entries that cannot be read as markets.
    pub unreadable: Vec<String>,
    /// The position after this page; `None` after the last one.
    pub next: Option<ResyncPosition>,
}

/// A list of markets, and the sort key after which it continues.
#[derive(Clone, Debug, Default)]
pub struct ResyncPosition {
    list: usize,
    after: Option<String>,
}

impl Store {
    /// What an earlier request with this id created.
    pub async fn creation<R: DeserializeOwned>(
        &self,
        request: Uuid,
    ) -> Result<Option<Creation<R>>, TableError> {
        self.read(Key::composite(request_key(request), CREATED)).await
    }

    /// The market without its rules, also if deleted.
    pub async fn market(&self, market: &MarketId) -> Result<Option<Market>, TableError> {
        self.read(Key::composite(market_key(market), HEAD)).await
    }

    /// The market with all its rules, read with strong consistency; also if deleted.
    pub async fn whole(&self, market: &MarketId) -> Result<Option<WholeMarket>, TableError> {
        // Documents sort before the head, and are not read.
        let condition = Expression::new("#sk >= :head").value("head", HEAD);
        let items = self.partition(market, condition).await?;
        let (mut head, mut rules) = (None, Vec::new());
        for item in items {
            if text(&item, "sk") == HEAD {
                head = Some(from_item::<Market>(item)?);
            } else {
                rules.push(item);
            }
        }
        let Some(head) = head else { return Ok(None) };
        let mut market = WholeMarket::new(head);
        for item in rules {
            market = with_rule(market, item)?;
        }
        Ok(Some(market))
    }

    /// The rules of one kind of a market, in the order of their sort keys, which come with them.
    pub async fn rules<R: StoredRule>(
        &self,
        market: &MarketId,
    ) -> Result<Vec<(String, R)>, TableError> {
        let condition = Expression::new("begins_with(#sk, :prefix)").value("prefix", R::PREFIX);
        let items = self.partition(market, condition).await?;
        let rule = |item: Item| Ok((text(&item, "sk").to_owned(), from_item(item)?));
        items.into_iter().map(rule).collect()
    }

    pub async fn shipping_method(
        &self,
        market: &MarketId,
        id: ShippingMethodId,
    ) -> Result<Option<ShippingMethod>, TableError> {
        let place = format!("{}{id}", ShippingMethod::PREFIX);
        self.read(Key::composite(market_key(market), place)).await
    }

    pub async fn promotion(&self, id: PromotionId) -> Result<Option<Promotion>, TableError> {
        self.read(promotion_key(id)).await
    }

    /// A page of the markets that exist, by id.
    pub async fn list_markets(
        &self,
        after: Option<String>,
        limit: u32,
    ) -> Result<ListPage<ListedMarket>, TableError> {
        self.list(MARKETS, after, limit).await
    }

    /// A page of the promotions, by creation.
    pub async fn list_promotions(
        &self,
        after: Option<String>,
        limit: u32,
    ) -> Result<ListPage<Promotion>, TableError> {
        self.list(PROMOTIONS, after, limit).await
    }

    /// At most 100 markets after a position: first those that exist, then deleted ones.
    pub async fn markets_to_resync(
        &self,
        position: ResyncPosition,
    ) -> Result<ResyncPage, TableError> {
        let lists = [MARKETS, DELETED_MARKETS];
        let ResyncPosition { list, after } = position;
        let page: ListPage<IndexEntry> = self.list(lists[list], after, 100).await?;
        let next = match page.next {
            Some(last) => Some(ResyncPosition { list, after: Some(last) }),
            None => {
                (list + 1 < lists.len()).then_some(ResyncPosition { list: list + 1, after: None })
            }
        };
        let (mut markets, mut unreadable) = (Vec::new(), Vec::new());
        for entry in page.items {
            match MarketId::parse(&entry.market) {
                Ok(market) => markets.push(market),
                Err(_) => unreadable.push(entry.pk),
            }
        }
        Ok(ResyncPage { markets, unreadable, next })
    }

    /// Marks a market so that its current version is compiled and published again; `false` if a
    /// later run has marked it.
    pub async fn mark_for_resync(&self, market: &MarketId, run: u64) -> Result<bool, TableError> {
        let change = Expression::new("SET #resync_run = :run").value("run", run);
        let not_yet = Expression::new("attribute_exists(#pk) AND #resync_run < :this_run");
        let key = Key::composite(market_key(market), HEAD);
        let outcome = self.pricing.update(key, change, not_yet.value("this_run", run)).await?;
        Ok(outcome == Outcome::Written)
    }

    /// Stores a document, unless a document of this version, or of a newer one, is stored. A resync
    /// stores the same version again. Attributes of a later release are preserved.
    pub async fn put_document(&self, compiled: &CompiledDocument) -> Result<bool, TableError> {
        let patch = to_patch(&DocumentItem {
            pk: market_key(&compiled.market),
            sk: format!("{DOCUMENT}{}", compiled.country),
            compiled,
        });
        let is_newer = Expression::new(
            "attribute_not_exists(#pk) OR #version < :this_version OR (#version = :this_version AND #resync_run < :this_run)",
        );
        let is_newer =
            is_newer.value("this_version", compiled.version).value("this_run", compiled.resync_run);
        Ok(self.pricing.merge(patch, is_newer).await? == Outcome::Written)
    }

    async fn read<T: DeserializeOwned>(&self, key: Key) -> Result<Option<T>, TableError> {
        self.pricing.get(key).await?.map(from_item).transpose()
    }

    async fn list<T: DeserializeOwned + Send + 'static>(
        &self,
        list: &'static str,
        after: Option<String>,
        limit: u32,
    ) -> Result<ListPage<T>, TableError> {
        let list = List::new(Some("list-index"), "list", list, "list_sort").after(after);
        self.pricing.list(list, limit, |_| true).await
    }

    async fn partition(
        &self,
        market: &MarketId,
        condition: Expression,
    ) -> Result<Vec<Item>, TableError> {
        let query = Query::new(None, "pk", market_key(market), MAX_ITEMS);
        self.pricing.query(query.sort(condition).consistent()).await
    }
}

/// Adds the rule that an item contains. Items of other kinds, which a later release may write, are
/// ignored.
fn with_rule(market: WholeMarket, item: Item) -> Result<WholeMarket, TableError> {
    let place = text(&item, "sk").to_owned();
    if place.starts_with(ShippingMethod::PREFIX) {
        return Ok(market.with(from_item::<ShippingMethod>(item)?));
    }
    if place.starts_with(TaxRate::PREFIX) {
        return Ok(market.with(from_item::<TaxRate>(item)?));
    }
    if place.starts_with(Promotion::PREFIX) {
        return Ok(market.with(from_item::<Promotion>(item)?));
    }
    Ok(market)
}

/// A document as stored, with its keys.
#[derive(Serialize)]
struct DocumentItem<'a> {
    pk: String,
    sk: String,
    #[serde(flatten)]
    compiled: &'a CompiledDocument,
}

/// More than the number of rules that a market may have.
const MAX_ITEMS: u32 = 1000;

const HEAD: &str = "HEAD";
const DOCUMENT: &str = "DOCUMENT#";
const RULE: &str = "RULE";
const CREATED: &str = "CREATED";

/// Values of `list`.
const MARKETS: &str = "market";
const DELETED_MARKETS: &str = "deleted-market";
const PROMOTIONS: &str = "promotion";

fn market_key(market: &MarketId) -> String {
    format!("MARKET#{market}")
}

fn request_key(request: Uuid) -> String {
    format!("REQUEST#{request}")
}

fn promotion_key(id: PromotionId) -> Key {
    Key::composite(format!("PROMOTION#{id}"), RULE)
}

/// The list of markets with this status.
fn list_of(status: &MarketStatus) -> Option<&'static str> {
    match status {
        MarketStatus::Active => Some(MARKETS),
        MarketStatus::Deleted => Some(DELETED_MARKETS),
        MarketStatus::Unknown(_) => None,
    }
}

fn text<'a>(item: &'a Item, attribute: &str) -> &'a str {
    item.get(attribute).and_then(|value| value.as_s().ok()).map(String::as_str).unwrap_or_default()
}
