//! Products in DynamoDB: the only file that knows keys and indexes.
//!
//! - `PRODUCT#<id>`: a [`Product`]. While it is sold it also stands in `active-index` and `category-index`, by name.
//! - `SKU#<sku>`: `{product_id}`. It is what makes a SKU unique: written and deleted together with the product that has it.

use serde::{Deserialize, Serialize};
use shared::{
    ids::{ProductId, shard_of},
    table::{Expression, Item, Key, Query, Table, TableError, Transacted, from_item, to_item},
};

use crate::{
    domain::{Category, Product, Sku},
    error::CatalogError,
};

/// The attribute that both indexes sort by.
const NAME_SORT: &str = "name_sort";

/// The table of this service.
#[derive(Clone, Debug)]
pub struct Store {
    /// `PRODUCT#<id>` and `SKU#<sku>`.
    pub products: Table,
    /// Over how many partitions an index spreads a value that many products share.
    pub shards: u32,
}

/// What became of a product that was to be created.
#[derive(Debug)]
pub enum Created {
    /// It is there now.
    New,
    /// The request was carried out before: what became of its product since.
    Before(Box<Product>),
}

/// A product, and what the indexes need of it: absent from both unless it is sold.
#[derive(Serialize)]
struct Stored<'a> {
    pk: String,
    #[serde(flatten)]
    product: &'a Product,
    active_shard: Option<String>,
    category_shard: Option<String>,
    name_sort: Option<String>,
}

/// Who has a SKU.
#[derive(Serialize, Deserialize)]
struct SkuHolder {
    pk: String,
    product_id: ProductId,
}

impl Store {
    /// Puts a new product and its SKU, both or none: one call, whatever comes of it, unless DynamoDB says only half of why it refused.
    ///
    /// # Errors
    /// When another product has the SKU, another request has the id, or the table fails.
    pub async fn create(&self, product: &Product) -> Result<Created, CatalogError> {
        let (id, sku) = (product.product_id, &product.details.sku);
        let holder = to_item(&SkuHolder { pk: sku_key_text(sku), product_id: id });
        let writes =
            vec![self.products.putting(self.item(product), Expression::absent()), self.products.putting(holder, Expression::absent())];
        let conflicts = match self.products.transact(writes).await? {
            Transacted::Written => return Ok(Created::New),
            Transacted::Refused(conflicts) => conflicts,
        };
        let mut items = conflicts.into_iter().map(|conflict| conflict.and_then(|conflict| conflict.item));
        let (standing, holder) = (items.next().flatten(), items.next().flatten());
        // The product comes first: its own repetition runs into its own SKU too.
        let standing = match (standing, holder) {
            (Some(item), _) => Some(from_item::<Product>(item)?),
            (None, Some(holder)) => {
                let holder: SkuHolder = from_item(holder)?;
                if holder.product_id == id { self.find(id).await? } else { None }
            }
            (None, None) => self.find(id).await?,
        };
        match standing {
            None => Err(CatalogError::SkuTaken),
            Some(standing) if standing.fingerprint == product.fingerprint => Ok(Created::Before(Box::new(standing))),
            Some(_) => Err(CatalogError::KeyReused),
        }
    }

    /// The product, sold or not.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn find(&self, product_id: ProductId) -> Result<Option<Product>, TableError> {
        self.products.get(Key::new(product_key_text(product_id))).await?.map(from_item).transpose()
    }

    /// Products that are sold, by name: of one category or of all. The texts are what a list goes on after.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn list(&self, category: Option<&Category>, after: Option<String>, limit: u32) -> Result<Vec<(String, Product)>, TableError> {
        let mut query = match category {
            Some(category) => Query::new(Some("category-index"), "category_shard", category.as_str(), limit),
            None => Query::new(Some("active-index"), "active_shard", ACTIVE, limit),
        };
        if let Some(after) = after {
            query = query.sort(Expression::new(format!("#{NAME_SORT} > :after")).value("after", after));
        }
        let items = self.products.query_shards(query, self.shards, NAME_SORT).await?;
        let read = |item: Item| {
            let name_sort = item.get(NAME_SORT).and_then(|value| value.as_s().ok()).cloned();
            Ok((name_sort.unwrap_or_default(), from_item(item)?))
        };
        items.into_iter().map(read).collect()
    }

    fn item(&self, product: &Product) -> Item {
        let shard = shard_of(&product.product_id.to_string(), self.shards);
        let if_active = |text: String| product.is_active().then_some(text);
        to_item(&Stored {
            pk: product_key_text(product.product_id),
            product,
            active_shard: if_active(format!("{ACTIVE}#{shard}")),
            category_shard: if_active(format!("{}#{shard}", product.details.category.as_str())),
            name_sort: if_active(name_sort(product)),
        })
    }
}

/// What `active-index` has all products that are sold under.
const ACTIVE: &str = "active";

fn product_key_text(product_id: ProductId) -> String {
    format!("PRODUCT#{product_id}")
}

fn sku_key_text(sku: &Sku) -> String {
    format!("SKU#{}", sku.as_str())
}

/// By name; the id tells two products of one name apart.
fn name_sort(product: &Product) -> String {
    format!("{}#{}", product.details.name.sort_text(), product.product_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Status, tests::lamp};
    use shared::table::AttributeValue;

    fn store() -> Store {
        let config = aws_sdk_dynamodb::Config::builder().behavior_version_latest().build();
        Store { products: Table::new(aws_sdk_dynamodb::Client::from_conf(config), "products"), shards: 8 }
    }

    #[test]
    fn a_product_is_read_as_it_was_stored() {
        let product = lamp();
        assert_eq!(from_item::<Product>(store().item(&product)).ok(), Some(product));
    }

    #[test]
    fn only_what_is_sold_stands_in_the_indexes() {
        let mut product = lamp();
        let sold = store().item(&product);
        let shard = shard_of(&product.product_id.to_string(), 8);
        assert_eq!(sold["category_shard"], AttributeValue::S(format!("lamps#{shard}")));
        assert_eq!(sold["active_shard"], AttributeValue::S(format!("active#{shard}")));
        assert_eq!(sold["name_sort"], AttributeValue::S(format!("desk lamp#{}", product.product_id)));
        for status in [Status::Archived, Status::Unknown("announced".to_owned())] {
            product.status = status;
            let hidden = store().item(&product);
            assert!(["category_shard", "active_shard", "name_sort"].iter().all(|name| !hidden.contains_key(*name)));
        }
    }
}
