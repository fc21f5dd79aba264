//! The stored balances of products, and the progress of posting entries to them.

use serde::Deserialize;
use shared::{
    clock::Timestamp,
    ids::{self, PrefixedId, ProductId},
    table::{Expression, Key, Query, TableError, from_item, to_patch},
};

use super::{Store, next_sort_key, text};
use crate::{domain::ProductBalance, posting::PostingProgress};

/// A product's balance as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StoredBalance {
    on_hand: i64,
    shipped_out: i64,
    outside: i64,
    /// Entries recorded before this time are included; `None` if no entry was posted.
    pub posted_until: Option<Timestamp>,
}

impl StoredBalance {
    pub const fn balance(self) -> ProductBalance {
        let Self { on_hand, shipped_out, outside, .. } = self;
        ProductBalance { on_hand, shipped_out, outside }
    }
}

impl Store {
    /// The progress of posting; `None` before the first entry.
    ///
    /// # Errors
    /// If the table request fails, or the item is not a progress.
    pub async fn posting(&self) -> Result<Option<PostingProgress>, TableError> {
        self.ledger.get(Key::composite("AUDIT", "POSTING")).await?.map(from_item).transpose()
    }

    /// Saves the progress unless another call has changed it meanwhile. Returns whether it was
    /// saved.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn save_posting(&self, progress: &PostingProgress) -> Result<bool, TableError> {
        let next = PostingProgress { version: progress.version + 1, ..progress.clone() };
        self.save_progress("POSTING", to_patch(&next), progress.version).await
    }

    /// Starts the progress, unless it exists.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn open_posting(&self, now: Timestamp) -> Result<(), TableError> {
        self.save_posting(&PostingProgress::first(now)).await.map(drop)
    }

    /// Adds the sum of entries recorded before `until` to a product's balance, unless it includes
    /// them already.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn post_balance(
        &self,
        generation: u64,
        product: ProductId,
        sum: ProductBalance,
        until: Timestamp,
    ) -> Result<(), TableError> {
        let change = Expression::new(
            "SET #posted_until = :until ADD #on_hand :on_hand, #shipped_out :shipped_out, #outside :outside",
        );
        let change = change
            .value("until", until)
            .value("on_hand", sum.on_hand)
            .value("shipped_out", sum.shipped_out)
            .value("outside", sum.outside);
        let not_included =
            Expression::new("attribute_not_exists(#posted_until) OR #posted_until < :until");
        let key = self.balance_key(generation, product);
        // A conflict means that an interrupted call has added the sum.
        self.ledger.update(key, change, not_included).await.map(drop)
    }

    /// A product's balance. It is zero if no entry is posted.
    ///
    /// # Errors
    /// If the table request fails, or the item is not a balance.
    pub async fn balance(
        &self,
        generation: u64,
        product: ProductId,
    ) -> Result<StoredBalance, TableError> {
        let item = self.ledger.get(self.balance_key(generation, product)).await?;
        Ok(item.map(from_item).transpose()?.unwrap_or_default())
    }

    /// A page of one shard of the products with a balance, after `after`. Also returns the last one
    /// if the page is full.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn products(
        &self,
        generation: u64,
        shard: u32,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<ProductId>, Option<String>), TableError> {
        let mut query = Query::new(None, "pk", balances_pk(generation, shard), limit);
        if let Some(after) = after {
            query = query.sort(Expression::new("#sk > :after").value("after", after));
        }
        let items = self.ledger.query(query).await?;
        let next = next_sort_key(&items, "sk", limit);
        Ok((items.iter().filter_map(|item| ProductId::parse(text(item, "sk")?)).collect(), next))
    }

    fn balance_key(&self, generation: u64, product: ProductId) -> Key {
        let shard = ids::shard_of(&product.to_string(), self.shards);
        Key::composite(balances_pk(generation, shard), product.to_string())
    }
}

fn balances_pk(generation: u64, shard: u32) -> String {
    format!("BALANCES#{generation}#{shard}")
}
