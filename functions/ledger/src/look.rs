//! Reads the books of an order, or of a product, and compares them.

use std::{collections::BTreeMap, future::Future, time::Duration};

use shared::{ids::OrderId, table::TableError, telemetry::Trace};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    GRACE, Ledger,
    domain::audit::{OrderBooks, ProductBooks, AuditStatus, Verdict, record::Status},
    repair::Repairs,
    round::Counted,
    sources::NotRead,
    store::PRODUCT_SHARDS,
};

/// What a report shows of an order beside what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Its status.
    pub status: Option<Status>,
    /// Why somebody should look at it.
    pub needs_review: Option<String>,
}

/// What a look at a product comes to.
#[derive(Debug)]
pub enum Look {
    /// All entries are counted.
    Whole(Verdict),
    /// There are more: the next look goes on there.
    Part(Counted),
}

/// How many orders or products are looked at at the same time.
const LOOKED_AT_AT_ONCE: usize = 16;

/// How many pages of a product's entries are read with one look: at least one of each shard.
const PAGES_OF_A_LOOK: u32 = PRODUCT_SHARDS;

impl Ledger {
    /// Compares the books of one order. What cannot be read is a finding; so the rest of the shop is still looked at.
    ///
    /// # Errors
    /// When a table fails.
    pub async fn look_at_order(&self, order: OrderId) -> Result<(Verdict, Shown), NotRead> {
        let books = match self.books_of(order).await {
            Err(NotRead::Table(TableError::Unreadable { expected })) => return Ok((unreadable(expected), Shown::default())),
            books => books?,
        };
        let shown = books.order.as_ref().map(|order| Shown { status: Some(order.status), needs_review: order.needs_review.clone() });
        Ok((books.judge(self.clock.now(), GRACE), shown.unwrap_or_default()))
    }

    /// The same, and books what the ledger lacks of an order that is at rest. What is compared then is what was booked too.
    ///
    /// # Errors
    /// When a table fails.
    pub async fn look_at_order_and_repair(&self, order: OrderId, trace: &Trace) -> Result<((Verdict, Shown), Repairs), NotRead> {
        let books = match self.books_of(order).await {
            Err(NotRead::Table(TableError::Unreadable { expected })) => {
                return Ok(((unreadable(expected), Shown::default()), Repairs::default()));
            }
            books => books?,
        };
        let verdict = books.judge(self.clock.now(), GRACE);
        let repairs = match verdict.status {
            AuditStatus::Broken => self.repair_order(books, &verdict.findings, trace).await?,
            AuditStatus::Balanced | AuditStatus::Unsettled => Repairs::default(),
        };
        Ok((self.look_at_order(order).await?, repairs))
    }

    async fn books_of(&self, order_id: OrderId) -> Result<OrderBooks, NotRead> {
        // In the order in which news travels backwards: what is read later is at least as new.
        let order = self.sources.order(order_id).await?;
        let reservation = self.sources.reservation(order_id).await?;
        let payments = self.sources.payments(order_id).await?;
        let provider = self.sources.provider(&payments).await?;
        let postings = self.store.of_order(order_id).await?;
        let (intent, attempts, refunds) = (payments.intent, payments.attempts, payments.refunds);
        Ok(OrderBooks { order_id, order, reservation, intent, attempts, refunds, provider, postings })
    }

    /// Counts on, and compares the books of the product where all is counted. `reserved` is what reservations hold of it, if that is known.
    ///
    /// # Errors
    /// When a table fails.
    pub async fn look_at_product(&self, mut counted: Counted, reserved: Option<i64>) -> Result<Look, NotRead> {
        let product_id = counted.product_id;
        for _ in 0..PAGES_OF_A_LOOK {
            let (postings, next) = match self.store.of_product(product_id, counted.shard, counted.after.as_deref()).await {
                Err(TableError::Unreadable { expected }) => return Ok(Look::Whole(unreadable(expected))),
                page => page?,
            };
            postings.iter().for_each(|posting| counted.balances.add(&posting.lines));
            counted.after = next;
            if counted.after.is_none() {
                counted.shard += 1;
            }
            if counted.shard == PRODUCT_SHARDS {
                return self.compare(counted, reserved).await.map(Look::Whole);
            }
        }
        Ok(Look::Part(counted))
    }

    /// The shelves are read last: what moved while the entries were counted shows in the time of their last change.
    async fn compare(&self, counted: Counted, reserved: Option<i64>) -> Result<Verdict, NotRead> {
        let Counted { product_id, began_at, balances, .. } = counted;
        let parts = match self.sources.stock(product_id).await {
            Err(TableError::Unreadable { expected }) => return Ok(unreadable(expected)),
            parts => parts?,
        };
        let now = self.clock.now();
        let grace: Duration = GRACE + now.since(began_at);
        Ok(ProductBooks { product_id, parts, reserved, balances }.judge(now, grace))
    }
}

fn unreadable(expected: &'static str) -> Verdict {
    Verdict::unreadable(&format!("no {}", expected.rsplit("::").next().unwrap_or(expected)))
}

/// Does the same with each, some at the same time; in the order of the ids, so that a run repeats itself.
pub async fn at_once<I, T, F, Fut>(ids: Vec<I>, look: F) -> BTreeMap<I, Result<T, NotRead>>
where
    I: Copy + Ord + Send + 'static,
    T: Send + 'static,
    F: Fn(I) -> Fut,
    Fut: Future<Output = Result<T, NotRead>> + Send + 'static,
{
    let mut looks: BTreeMap<I, Result<T, NotRead>> = ids.iter().map(|id| (*id, Err(NotRead::Panicked))).collect();
    let (mut waiting, mut running) = (ids.into_iter(), JoinSet::new());
    loop {
        for id in waiting.by_ref().take(LOOKED_AT_AT_ONCE - running.len()) {
            let look = look(id);
            running.spawn(async move { (id, look.await) }.in_current_span());
        }
        match running.join_next().await {
            None => return looks,
            Some(Ok((id, look))) => {
                looks.insert(id, look);
            }
            // It stands there as panicked.
            Some(Err(_)) => {}
        }
    }
}
