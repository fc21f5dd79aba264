//! Read access to the tables of other services and to the provider's statement, for the audit.
//! Reads single items and index pages; never scans a table and never writes.

use std::{collections::BTreeMap, sync::Arc};

use provider::{
    ProviderError,
    statement::{RecordedPayment, Statement, StatementError, StatementQuery, StatementReader},
};
use shared::{
    clock::Timestamp,
    ids::{OrderId, PrefixedId, ProductId},
    table::{Expression, Item, Key, Query, Table, TableError, from_item},
};

use crate::domain::audit::record::{
    AttemptRecord, IntentRecord, MovementRecord, OrderRecord, Outcome, RefundRecord,
    ReservationRecord, ReservationState, Status, StockRecord,
};

#[derive(Clone)]
pub struct Sources {
    pub orders: Table,
    pub payments: Table,
    /// The stock table of inventory.
    pub stock: Table,
    /// The provider's statement. If `None`, the audit relies on the provider results that payments
    /// recorded.
    pub statement: Option<Arc<dyn StatementReader>>,
    /// Number of partitions over which their indexes spread one value.
    pub shards: u32,
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A table request failed; the table error says whether a retry can help.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The provider did not answer.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The product's balance includes entries that were also read as recent ones.
    #[error("entries of the product were posted meanwhile")]
    BalanceMoved,
    /// The task panicked, which is a bug.
    #[error("the comparison panicked")]
    Panicked,
}

impl From<StatementError> for ReadError {
    fn from(error: StatementError) -> Self {
        match error {
            StatementError::Table(error) => error.into(),
            StatementError::Provider(error) => error.into(),
        }
    }
}

/// The payment records of an order.
#[derive(Clone, Debug, Default)]
pub struct PaymentRecords {
    pub intent: Option<IntentRecord>,
    pub attempts: Vec<AttemptRecord>,
    pub refunds: Vec<RefundRecord>,
}

impl PaymentRecords {
    /// The query for the provider's statement about these records.
    fn statement_query(&self) -> StatementQuery {
        let payment = |attempt: &AttemptRecord| RecordedPayment {
            payment_id: attempt.payment_id.clone(),
            transaction_id: attempt.transaction_id.clone(),
            currency: attempt.currency,
            is_open: attempt.state == Outcome::Open,
        };
        let names = |refund: &RefundRecord| {
            [Some(refund.refund_id.clone()), refund.provider_refund_id.clone()]
        };
        StatementQuery {
            payments: self.attempts.iter().map(payment).collect(),
            refunds: self.refunds.iter().flat_map(names).flatten().collect(),
            disputes: self
                .intent
                .iter()
                .flat_map(|intent| &intent.disputes)
                .map(|dispute| dispute.dispute_id.clone())
                .collect(),
        }
    }
}

/// A page of an index, and the sort key of its last item if the page is full.
pub type Page = (Vec<OrderId>, Option<String>);

/// Upper bound of the payment records of one order.
const MAX_RECORDS_PER_ORDER: u32 = 10_000;

/// Upper bound of the stock shards of a product; also the most keys that one batch read accepts.
const MAX_SHARDS: u32 = 100;

/// Most keys in one batch read.
const BATCH_GET_SIZE: usize = 100;

/// Movements read by one query.
const MOVEMENT_PAGE_SIZE: u32 = 100;

impl Sources {
    /// The record of an order in the orders table.
    ///
    /// # Errors
    /// If the table request fails, or an item cannot be read.
    pub async fn order(&self, order: OrderId) -> Result<Option<OrderRecord>, TableError> {
        self.orders.get(Key::new(order_key(order))).await?.map(from_item).transpose()
    }

    /// The reservation of an order.
    ///
    /// # Errors
    /// If the table request fails, or an item cannot be read.
    pub async fn reservation(
        &self,
        order: OrderId,
    ) -> Result<Option<ReservationRecord>, TableError> {
        self.stock.get(reservation_key(order)).await?.map(from_item).transpose()
    }

    /// The payment records of an order.
    ///
    /// # Errors
    /// If the table request fails, or an item cannot be read.
    pub async fn payments(&self, order: OrderId) -> Result<PaymentRecords, TableError> {
        let query = Query::new(None, "pk", order_key(order), MAX_RECORDS_PER_ORDER).consistent();
        let mut records = PaymentRecords::default();
        for item in self.payments.query(query).await? {
            match text(&item, "sk").split('#').next().unwrap_or_default() {
                "INTENT" => records.intent = Some(from_item(item)?),
                "ATTEMPT" => records.attempts.push(from_item(item)?),
                "REFUND" => records.refunds.push(from_item(item)?),
                _ => {}
            }
        }
        Ok(records)
    }

    /// The provider's statement about these attempts and refunds, independent of the results that
    /// payments recorded. `None` if no statement is configured.
    ///
    /// # Errors
    /// If the provider does not answer, the table request fails, or an item cannot be read.
    pub async fn provider_statement(
        &self,
        records: &PaymentRecords,
    ) -> Result<Option<Statement>, ReadError> {
        match &self.statement {
            Some(statement) => Ok(Some(statement.read(&records.statement_query()).await?)),
            None => Ok(None),
        }
    }

    /// The source of provider results, as named in the report.
    pub fn provider_name(&self) -> &'static str {
        self.statement
            .as_ref()
            .map_or("the results that payments recorded", |statement| statement.name())
    }

    /// A page of one shard of the status index: orders with this status that were placed between
    /// `from` and `to`.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn orders_by_status(
        &self,
        status: Status,
        shard: u32,
        from: &str,
        to: &str,
        limit: u32,
    ) -> Result<Page, TableError> {
        let between =
            Expression::new("#listed_at BETWEEN :from AND :to").value("from", from).value("to", to);
        let partition = format!("{}#{shard}", status.name());
        let items = self
            .orders
            .query(Query::new(Some("status-index"), "status_shard", partition, limit).sort(between))
            .await?;
        Ok(page(&items, "listed_at", limit))
    }

    /// A page of one shard of the check index: orders with a pending command, due at `from` or
    /// later.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn unsettled_orders(
        &self,
        shard: u32,
        from: &str,
        limit: u32,
    ) -> Result<Page, TableError> {
        due(&self.orders, shard, from, limit).await
    }

    /// As [`Self::unsettled_orders`], for orders with an unsettled attempt or refund.
    ///
    /// # Errors
    /// If the table request fails.
    pub async fn unsettled_payments(
        &self,
        shard: u32,
        from: &str,
        limit: u32,
    ) -> Result<Page, TableError> {
        due(&self.payments, shard, from, limit).await
    }

    /// Adds the quantities that these orders hold of each product to `held`.
    ///
    /// # Errors
    /// If the table request fails. An unreadable reservation is skipped here, because the check of
    /// its order reports it.
    pub async fn add_held(
        &self,
        orders: &[OrderId],
        held: &mut BTreeMap<ProductId, i64>,
    ) -> Result<(), TableError> {
        for orders in orders.chunks(BATCH_GET_SIZE) {
            let keys = orders.iter().map(|order| (&self.stock, reservation_key(*order)));
            for item in self.stock.get_many(keys.collect()).await? {
                let Ok(reservation) = from_item::<ReservationRecord>(item) else { continue };
                for line in
                    reservation.lines.iter().filter(|_| reservation.state == ReservationState::Held)
                {
                    let sum = held.entry(line.product_id).or_default();
                    *sum = sum.saturating_add(line.quantity);
                }
            }
        }
        Ok(())
    }

    /// A page of a product's stock adjustments until `until` and after the key `after`, oldest
    /// first. Also returns the key for the next page if this one is full.
    ///
    /// # Errors
    /// If the table request fails, or an item is not a movement.
    pub async fn movements(
        &self,
        product: ProductId,
        after: Option<&str>,
        until: Timestamp,
    ) -> Result<(Vec<MovementRecord>, Option<String>), TableError> {
        // `BETWEEN` is inclusive, and no key is a prefix of another. Appending a character
        // therefore excludes `after` itself and nothing else.
        let from = after.map_or_else(|| " ".to_owned(), |after| format!("{after}+"));
        let between = Expression::new("#next_check_at BETWEEN :from AND :until")
            .value("from", from)
            .value("until", until);
        let query = Query::new(
            Some("check-index"),
            "check_shard",
            format!("moved#{product}"),
            MOVEMENT_PAGE_SIZE,
        )
        .sort(between);
        let found = self.stock.query(query).await?;
        let next = found
            .last()
            .filter(|_| found.len() >= BATCH_GET_SIZE)
            .map(|item| text(item, "next_check_at").to_owned());
        if found.is_empty() {
            return Ok((Vec::new(), None));
        }
        let keys = found.iter().map(|item| (&self.stock, Key::new(text(item, "pk")))).collect();
        let movements = self
            .stock
            .get_many(keys)
            .await?
            .into_iter()
            .map(from_item)
            .collect::<Result<_, _>>()?;
        Ok((movements, next))
    }

    /// The stock of a product, one record per shard. Empty for a product without stock.
    ///
    /// # Errors
    /// If the table request fails, or an item cannot be read.
    pub async fn stock(&self, product: ProductId) -> Result<Vec<StockRecord>, TableError> {
        let Some(first) = self.stock.get(Key::new(format!("STOCK#{product}"))).await? else {
            return Ok(Vec::new());
        };
        let first: StockRecord = from_item(first)?;
        let further = 1..=first.last_shard.min(MAX_SHARDS);
        let mut shards = vec![first];
        if !further.is_empty() {
            let keys =
                further.map(|shard| (&self.stock, Key::new(format!("STOCK#{product}#{shard}"))));
            for shard in self.stock.get_many(keys.collect()).await? {
                shards.push(from_item(shard)?);
            }
        }
        Ok(shards)
    }
}

async fn due(table: &Table, shard: u32, from: &str, limit: u32) -> Result<Page, TableError> {
    let later = Expression::new("#next_check_at >= :from").value("from", from);
    let query =
        Query::new(Some("check-index"), "check_shard", format!("due#{shard}"), limit).sort(later);
    Ok(page(&table.query(query).await?, "next_check_at", limit))
}

fn page(items: &[Item], sort: &str, limit: u32) -> Page {
    let is_full = items.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = items.last().filter(|_| is_full).map(|item| text(item, sort).to_owned());
    (
        items
            .iter()
            .filter_map(|item| OrderId::parse(text(item, "pk").strip_prefix("ORDER#")?))
            .collect(),
        next,
    )
}

fn order_key(order: OrderId) -> String {
    format!("ORDER#{order}")
}

fn reservation_key(order: OrderId) -> Key {
    Key::new(format!("RESERVATION#{order}"))
}

fn text<'a>(item: &'a Item, attribute: &str) -> &'a str {
    item.get(attribute).and_then(|value| value.as_s().ok()).map(String::as_str).unwrap_or_default()
}
