//! Products in DynamoDB. Only this file contains keys and indexes.
//!
//! - `PRODUCT#<id>`: a [`Product`]. Active products are also in `active-index` and
//!   `category-index`, sorted by name, with the attributes of a [`ListedProduct`]. Archived ones
//!   are in `active-index` under another value, which only backfill runs read.
//! - `SKU#<sku in upper case>`: `{product_id}`. Makes a SKU unique without regard to case. Written
//!   in one transaction with its product, and deleted when the product gets another SKU or is
//!   archived.
//! - `PRICE#<product>#<market or currency>#<time>#<version>`: a change of a price. Written in one
//!   transaction with the version of the product that changes it, and never again.
//! - `BACKFILL_RUN`: progress of the current or last backfill run. `LEASE#resync-products`: the
//!   lease of the sweep.

mod backfill;
mod price_history;

use serde::{Deserialize, Serialize};
use shared::{
    ids::{ProductId, shard_of},
    table::{
        Expression, Item, Key, List, ListPage, Outcome, Table, TableError, TransactionOutcome,
        from_item, to_item,
    },
};

use crate::{
    domain::{Category, ListedProduct, Product, Sku, Status, sort_key},
    error::CatalogError,
};

pub use backfill::Page;

/// Sort key of both indexes.
const NAME_SORT: &str = "name_sort";

#[derive(Clone, Debug)]
pub struct Store {
    /// `PRODUCT#<id>`, `SKU#<sku>`, `PRICE#<product>#…`, `BACKFILL_RUN` and
    /// `LEASE#resync-products`.
    pub products: Table,
    /// Number of partitions over which the indexes spread products with a common value. It may be
    /// raised, and never lowered: products keep their partition until they are written again.
    pub shards: u32,
}

#[derive(Debug)]
pub enum CreateOutcome {
    Created,
    /// The request was already applied. Contains the current product.
    Replayed(Box<Product>),
}

#[derive(Debug)]
pub enum ReplaceOutcome {
    Written,
    /// The stored product has another version.
    VersionConflict(Box<Product>),
    /// Another product has the SKU.
    SkuTaken,
}

/// A product as stored, with its keys.
#[derive(Serialize)]
struct ProductItem<'a> {
    pk: String,
    #[serde(flatten)]
    product: &'a Product,
    #[serde(flatten)]
    index_keys: IndexKeys,
}

/// The index attributes of a product.
#[derive(Serialize)]
struct IndexKeys {
    active_shard: Option<String>,
    category_shard: Option<String>,
    name_sort: Option<String>,
}

/// The product that has a SKU.
#[derive(Serialize, Deserialize)]
struct SkuHolder {
    pk: String,
    product_id: ProductId,
}

impl Store {
    /// Stores a new product, its SKU and its first prices in one transaction. Reads the product
    /// afterwards only if DynamoDB does not report all failed conditions.
    ///
    /// # Errors
    /// If another product has the SKU, another request has the id, or the table fails.
    pub async fn create(&self, product: &Product) -> Result<CreateOutcome, CatalogError> {
        let (id, sku) = (product.product_id, &product.details.sku);
        let holder = to_item(&SkuHolder { pk: sku_key_text(sku), product_id: id });
        let mut writes = vec![
            self.products.transact_put(self.item(product), Expression::not_exists()),
            self.products.transact_put(holder, Expression::not_exists()),
        ];
        writes.extend(self.price_changes(None, product));
        let conflicts = match self.products.transact(writes).await? {
            TransactionOutcome::Written => return Ok(CreateOutcome::Created),
            TransactionOutcome::Cancelled(conflicts) => conflicts,
        };
        let mut items =
            conflicts.into_iter().map(|conflict| conflict.and_then(|conflict| conflict.item));
        let (current, holder) = (items.next().flatten(), items.next().flatten());
        // Check the product first: a repeated request also conflicts with its own SKU.
        let current = match (current, holder) {
            (Some(item), _) => Some(from_item::<Product>(item)?),
            (None, Some(holder)) => {
                let holder: SkuHolder = from_item(holder)?;
                if holder.product_id == id { self.find(id).await? } else { None }
            }
            (None, None) => self.find(id).await?,
        };
        match current {
            None => Err(CatalogError::SkuTaken),
            Some(current) if current.fingerprint == product.fingerprint => {
                Ok(CreateOutcome::Replayed(Box::new(current)))
            }
            Some(_) => Err(CatalogError::KeyReused),
        }
    }

    /// The product, also if archived.
    pub async fn find(&self, product_id: ProductId) -> Result<Option<Product>, TableError> {
        self.products.get(Key::new(product_key_text(product_id))).await?.map(from_item).transpose()
    }

    /// A page of the products that are sold, by name: of one category or of all.
    pub async fn list(
        &self,
        category: Option<&Category>,
        after: Option<String>,
        limit: u32,
    ) -> Result<ListPage<ListedProduct>, TableError> {
        let (index, attribute, value) = match category {
            Some(category) => ("category-index", "category_shard", category.as_str()),
            None => ("active-index", "active_shard", ACTIVE),
        };
        let list = List::sharded(index, attribute, value, self.shards, NAME_SORT).after(after);
        self.products.list(list, limit, |_| true).await
    }

    /// Writes the next version of a product over `before`. In the same transaction, takes a new
    /// SKU, releases one that is no longer needed, and records changed prices. Attributes of a
    /// later release are preserved.
    ///
    /// # Errors
    /// If the table fails, or the product does not exist.
    pub async fn replace(
        &self,
        before: &Product,
        after: &Product,
    ) -> Result<ReplaceOutcome, CatalogError> {
        let (id, key) = (after.product_id, || Key::new(product_key_text(after.product_id)));
        let (change, unchanged) = (self.next_version(after), Expression::version(before.version));
        let (had, has) = (before.sku_held().map(sku_key_text), after.sku_held().map(sku_key_text));
        let price_changes = self.price_changes(Some(before), after);
        if had == has && price_changes.is_empty() {
            return match self.products.update(key(), change, unchanged).await? {
                Outcome::Written => Ok(ReplaceOutcome::Written),
                Outcome::ConditionFailed(current) => self.version_conflict(after, current).await,
            };
        }
        let is_moved = had != has;
        let taken_sku = has.filter(|_| is_moved).map(|sku| {
            let holder = to_item(&SkuHolder { pk: sku, product_id: id });
            self.products.transact_put(holder, Expression::not_exists())
        });
        let released_sku = had.filter(|_| is_moved).map(|sku| {
            let its_own = Expression::new("attribute_not_exists(#pk) OR #product_id = :product_id")
                .value("product_id", id);
            self.products.transact_delete(Key::new(sku), its_own)
        });
        let writes = [self.products.transact_update(key(), change, unchanged)]
            .into_iter()
            .chain(taken_sku)
            .chain(released_sku)
            .chain(price_changes)
            .collect();
        let conflicts = match self.products.transact(writes).await? {
            TransactionOutcome::Written => return Ok(ReplaceOutcome::Written),
            TransactionOutcome::Cancelled(conflicts) => conflicts,
        };
        // Check the product first: a repeated write also conflicts with its own SKU.
        let current = conflicts.into_iter().next().flatten().and_then(|conflict| conflict.item);
        match self.version_conflict(after, current).await? {
            ReplaceOutcome::VersionConflict(current) if current.version == before.version => {
                Ok(ReplaceOutcome::SkuTaken)
            }
            other => Ok(other),
        }
    }

    /// Compares the stored product with `after`: if equal, our own write succeeded.
    async fn version_conflict(
        &self,
        after: &Product,
        current: Option<Item>,
    ) -> Result<ReplaceOutcome, CatalogError> {
        let current = match current {
            Some(item) => Some(from_item(item)?),
            None => self.find(after.product_id).await?,
        };
        let current: Product = current.ok_or(CatalogError::NotFound)?;
        // Our own write, whose response was lost.
        Ok(if current == *after {
            ReplaceOutcome::Written
        } else {
            ReplaceOutcome::VersionConflict(Box::new(current))
        })
    }

    /// The attributes that change with the version.
    fn next_version(&self, after: &Product) -> Expression {
        let IndexKeys { active_shard, category_shard, name_sort } = self.index_keys(after);
        let index_keys = [
            ("active_shard", active_shard),
            ("category_shard", category_shard),
            (NAME_SORT, name_sort),
        ];
        let mut set =
            "SET #status = :status, #details = :details, #version = :version, #updated_at = :updated_at, #traceparent = :traceparent"
                .to_owned();
        let mut removed = Vec::new();
        for (name, value) in &index_keys {
            match value {
                Some(_) => set.push_str(&format!(", #{name} = :{name}")),
                None => removed.push(format!("#{name}")),
            }
        }
        let text =
            if removed.is_empty() { set } else { format!("{set} REMOVE {}", removed.join(", ")) };
        let change = Expression::new(text)
            .value("status", &after.status)
            .value("details", &after.details)
            .value("version", after.version)
            .value("updated_at", after.updated_at)
            .value("traceparent", &after.traceparent);
        index_keys.into_iter().fold(change, |change, (name, value)| match value {
            Some(value) => change.value(name, value),
            None => change,
        })
    }

    fn item(&self, product: &Product) -> Item {
        to_item(&ProductItem {
            pk: product_key_text(product.product_id),
            product,
            index_keys: self.index_keys(product),
        })
    }

    fn index_keys(&self, product: &Product) -> IndexKeys {
        let shard = shard_of(&product.product_id.to_string(), self.shards);
        let list = match product.status {
            Status::Active => Some(ACTIVE),
            Status::Archived => Some(ARCHIVED),
            Status::Unknown(_) => None,
        };
        IndexKeys {
            active_shard: list.map(|kind| format!("{kind}#{shard}")),
            category_shard: product
                .is_active()
                .then(|| format!("{}#{shard}", product.details.category.as_str())),
            name_sort: list.map(|_| name_sort(product)),
        }
    }
}

/// Prefix of active products in `active-index`.
const ACTIVE: &str = "active";
/// Prefix of archived products in `active-index`.
const ARCHIVED: &str = "archived";

fn product_key_text(product_id: ProductId) -> String {
    format!("PRODUCT#{product_id}")
}

fn sku_key_text(sku: &Sku) -> String {
    format!("SKU#{}", sku.unique_text())
}

fn name_sort(product: &Product) -> String {
    sort_key(product.details.name.as_str(), &product.product_id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::lamp;
    use shared::table::AttributeValue;

    fn store() -> Store {
        let config = aws_sdk_dynamodb::Config::builder().behavior_version_latest().build();
        Store {
            products: Table::new(aws_sdk_dynamodb::Client::from_conf(config), "products"),
            shards: 8,
        }
    }

    #[test]
    fn stored_product_round_trips() {
        let product = lamp();
        assert_eq!(from_item::<Product>(store().item(&product)).ok(), Some(product));
    }

    #[test]
    fn only_active_products_are_listed() {
        let mut product = lamp();
        let sold = store().item(&product);
        let shard = shard_of(&product.product_id.to_string(), 8);
        assert_eq!(sold["category_shard"], AttributeValue::S(format!("lamps#{shard}")));
        assert_eq!(sold["active_shard"], AttributeValue::S(format!("active#{shard}")));
        assert_eq!(sold["name_sort"], AttributeValue::S(name_sort(&product)));
        product.status = Status::Archived;
        let archived = store().item(&product);
        assert_eq!(archived["active_shard"], AttributeValue::S(format!("archived#{shard}")));
        assert!(!archived.contains_key("category_shard"));
        product.status = Status::Unknown("announced".to_owned());
        let hidden = store().item(&product);
        assert!(
            ["category_shard", "active_shard", "name_sort"]
                .iter()
                .all(|name| !hidden.contains_key(*name))
        );
    }
}
