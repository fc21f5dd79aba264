//! The tables of the others, as the audit reads them: item by item, never all of a table, and never to write.

use std::{collections::BTreeMap, sync::Arc};

use shared::{
    clock::Timestamp,
    ids::{OrderId, PrefixedId, ProductId},
    table::{Expression, Item, Key, Query, Table, TableError, from_item},
};

use crate::{
    domain::audit::{
        order::ProviderRecords,
        record::{
            AttemptRecord, ChargeRecord, GivenBackRecord, HeadRecord, MovementRecord, OrderRecord, RefundRecord, ReservationRecord,
            ReservationState, Status, StockRecord,
        },
    },
    stripe::{NoAnswer, Stripe},
};

/// The tables of the others.
#[derive(Clone)]
pub struct Sources {
    /// Of orders.
    pub orders: Table,
    /// Of payments.
    pub payments: Table,
    /// Of inventory.
    pub stock: Table,
    /// Of whoever moves the money.
    pub provider: ProviderBooks,
    /// Over how many partitions their indexes spread a value.
    pub shards: u32,
}

/// Where it stands what the provider has really charged and given back.
#[derive(Clone)]
pub enum ProviderBooks {
    /// In the simulated provider's own table.
    Simulated(Table),
    /// At Stripe.
    Stripe(Arc<Stripe>),
    /// Nowhere that we can read: what payments recorded of the provider's answers counts.
    AsRecorded,
}

impl ProviderBooks {
    /// What the report calls it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Simulated(_) => "the simulated provider's own books",
            Self::Stripe(_) => "Stripe",
            Self::AsRecorded => "what payments recorded of the provider's answers",
        }
    }
}

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// A table did not answer, or never will.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The provider did not answer.
    #[error(transparent)]
    Provider(#[from] NoAnswer),
    /// A mistake in the program.
    #[error("the comparison panicked")]
    Panicked,
}

/// What payments has of an order.
#[derive(Clone, Debug, Default)]
pub struct PaymentRecords {
    /// The head.
    pub head: Option<HeadRecord>,
    /// The attempts.
    pub attempts: Vec<AttemptRecord>,
    /// The refunds.
    pub refunds: Vec<RefundRecord>,
}

/// A page of what an index has, and the sort key of its last item if it is full.
pub type Page = (Vec<OrderId>, Option<String>);

/// More records than payments has of any order.
const MOST_OF_AN_ORDER: u32 = 10_000;

/// More parts than the stock of a product is ever divided into, and no more than one call may ask for.
const MOST_PARTS: u32 = 100;

/// How many items one call may ask for by their keys.
const KEYS_AT_ONCE: usize = 100;

/// As many movements are found with one call.
const MOVEMENTS_AT_ONCE: u32 = 100;

impl Sources {
    /// An order as orders has it.
    ///
    /// # Errors
    /// When the table fails, or what stands there is no order.
    pub async fn order(&self, order: OrderId) -> Result<Option<OrderRecord>, TableError> {
        self.orders.get(Key::new(order_key(order))).await?.map(from_item).transpose()
    }

    /// What inventory has of an order.
    ///
    /// # Errors
    /// When the table fails, or what stands there is no reservation.
    pub async fn reservation(&self, order: OrderId) -> Result<Option<ReservationRecord>, TableError> {
        self.stock.get(reservation_key(order)).await?.map(from_item).transpose()
    }

    /// What payments has of an order.
    ///
    /// # Errors
    /// When the table fails, or what stands there cannot be read.
    pub async fn payments(&self, order: OrderId) -> Result<PaymentRecords, TableError> {
        let query = Query::new(None, "pk", order_key(order), MOST_OF_AN_ORDER).consistent();
        let mut records = PaymentRecords::default();
        for item in self.payments.query(query).await? {
            match text(&item, "sk").split('#').next().unwrap_or_default() {
                "HEAD" => records.head = Some(from_item(item)?),
                "ATTEMPT" => records.attempts.push(from_item(item)?),
                "REFUND" => records.refunds.push(from_item(item)?),
                _ => {}
            }
        }
        Ok(records)
    }

    /// What the provider has of these attempts and refunds, whatever payments believes became of them. None: its books are not ours to read.
    ///
    /// # Errors
    /// When the provider does not answer, the table fails, or what stands there cannot be read.
    pub async fn provider(&self, recorded: &PaymentRecords) -> Result<Option<ProviderRecords>, NotRead> {
        match &self.provider {
            ProviderBooks::Simulated(books) => Ok(Some(simulated(books, recorded).await?)),
            ProviderBooks::Stripe(stripe) => {
                let mut records = ProviderRecords::default();
                let is_disputed = recorded.head.as_ref().is_some_and(|head| !head.disputes.is_empty());
                for attempt in &recorded.attempts {
                    stripe.add(attempt, is_disputed, &mut records).await?;
                }
                Ok(Some(records))
            }
            ProviderBooks::AsRecorded => Ok(None),
        }
    }

    /// A page of the orders that were placed with this status from the sort key `from` to `to`, in one shard of the index.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn orders_with(&self, status: Status, shard: u32, from: &str, to: &str, limit: u32) -> Result<Page, TableError> {
        let between = Expression::new("#listed_at BETWEEN :from AND :to").value("from", from).value("to", to);
        let partition = format!("{}#{shard}", status.name());
        let items = self.orders.query(Query::new(Some("status-index"), "status_shard", partition, limit).sort(between)).await?;
        Ok(page(&items, "listed_at", limit))
    }

    /// A page of the orders that somebody still owes something to, due at `from` or later, in one shard of the index.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn unsettled_orders(&self, shard: u32, from: &str, limit: u32) -> Result<Page, TableError> {
        due(&self.orders, shard, from, limit).await
    }

    /// The same for orders whose attempts or refunds have not come to their end.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn unsettled_payments(&self, shard: u32, from: &str, limit: u32) -> Result<Page, TableError> {
        due(&self.payments, shard, from, limit).await
    }

    /// How many of each product are held for these orders: adds to `held`.
    ///
    /// # Errors
    /// When the table fails. A reservation that cannot be read is passed over: the order that it belongs to is named for it.
    pub async fn add_held(&self, orders: &[OrderId], held: &mut BTreeMap<ProductId, i64>) -> Result<(), TableError> {
        for orders in orders.chunks(KEYS_AT_ONCE) {
            let keys = orders.iter().map(|order| (&self.stock, reservation_key(*order)));
            for item in self.stock.get_many(keys.collect()).await? {
                let Ok(reservation) = from_item::<ReservationRecord>(item) else { continue };
                for line in reservation.lines.iter().filter(|_| reservation.state == ReservationState::Held) {
                    let sum = held.entry(line.product_id).or_default();
                    *sum = sum.saturating_add(line.quantity);
                }
            }
        }
        Ok(())
    }

    /// A page of the goods of a product that came in or were written off by hand until `until`, the oldest first, after `after`; and where
    /// the next page begins, if this one is full.
    ///
    /// # Errors
    /// When the table fails, or an item is not a movement.
    pub async fn movements(
        &self,
        product: ProductId,
        after: Option<&str>,
        until: Timestamp,
    ) -> Result<(Vec<MovementRecord>, Option<String>), TableError> {
        // No key continues another one: what follows a key is the first that is greater than it with anything behind it.
        let from = after.map_or_else(|| " ".to_owned(), |after| format!("{after}+"));
        let between = Expression::new("#check_at BETWEEN :from AND :until").value("from", from).value("until", until);
        let query = Query::new(Some("check-index"), "check_shard", format!("moved#{product}"), MOVEMENTS_AT_ONCE).sort(between);
        let found = self.stock.query(query).await?;
        let next = found.last().filter(|_| found.len() >= KEYS_AT_ONCE).map(|item| text(item, "check_at").to_owned());
        if found.is_empty() {
            return Ok((Vec::new(), None));
        }
        let keys = found.iter().map(|item| (&self.stock, Key::new(text(item, "pk")))).collect();
        let movements = self.stock.get_many(keys).await?.into_iter().map(from_item).collect::<Result<_, _>>()?;
        Ok((movements, next))
    }

    /// The figures of a product, one record for each part of its stock. Where nothing ever came in there is none.
    ///
    /// # Errors
    /// When the table fails, or what stands there cannot be read.
    pub async fn stock(&self, product: ProductId) -> Result<Vec<StockRecord>, TableError> {
        let Some(first) = self.stock.get(Key::new(format!("STOCK#{product}"))).await? else { return Ok(Vec::new()) };
        let first: StockRecord = from_item(first)?;
        let further = 1..=first.reach.min(MOST_PARTS);
        let mut parts = vec![first];
        if !further.is_empty() {
            let keys = further.map(|part| (&self.stock, Key::new(format!("STOCK#{product}#{part}"))));
            for part in self.stock.get_many(keys.collect()).await? {
                parts.push(from_item(part)?);
            }
        }
        Ok(parts)
    }
}

/// What the simulated provider has.
async fn simulated(books: &Table, recorded: &PaymentRecords) -> Result<ProviderRecords, TableError> {
    let charges = recorded.attempts.iter().flat_map(|attempt| {
        let derived = attempt.payment_id.rsplit('_').next().map(|id| format!("CHARGE#ch_{}", id.replace('-', "")));
        attempt.transaction_id.iter().map(|id| format!("CHARGE#{id}")).chain(derived)
    });
    let refunds = recorded.refunds.iter().flat_map(|refund| {
        let names = [Some(&refund.refund_id), refund.provider_refund_id.as_ref()];
        names.into_iter().flatten().map(|name| format!("REFUND#{name}"))
    });
    let disputes = recorded.head.iter().flat_map(|head| &head.disputes).map(|dispute| format!("DISPUTE#{}", dispute.dispute_id));
    let mut keys: Vec<String> = charges.chain(refunds).chain(disputes).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut records = ProviderRecords::default();
    for keys in keys.chunks(KEYS_AT_ONCE) {
        for item in books.get_many(keys.iter().map(|key| (books, Key::new(key.as_str()))).collect()).await? {
            let key = text(&item, "pk").to_owned();
            if let Some(refund) = key.strip_prefix("REFUND#") {
                // One that failed gave nothing back.
                if !item.contains_key("failure_reason") {
                    records.refunds.insert(refund.to_owned(), from_item::<GivenBackRecord>(item)?);
                }
            } else if let Some(dispute) = key.strip_prefix("DISPUTE#") {
                let takes_money = matches!(text(&item, "state"), "withdrawn" | "lost");
                let GivenBackRecord { amount, .. } = from_item(item)?;
                records.disputes.insert(dispute.to_owned(), if takes_money { amount } else { 0 });
            } else {
                let charge: ChargeRecord = from_item(item)?;
                records.charges.insert(charge.payment_id.clone(), charge);
            }
        }
    }
    Ok(records)
}

async fn due(table: &Table, shard: u32, from: &str, limit: u32) -> Result<Page, TableError> {
    let later = Expression::new("#check_at >= :from").value("from", from);
    let query = Query::new(Some("check-index"), "check_shard", format!("due#{shard}"), limit).sort(later);
    Ok(page(&table.query(query).await?, "check_at", limit))
}

fn page(items: &[Item], sort: &str, limit: u32) -> Page {
    let is_full = items.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = items.last().filter(|_| is_full).map(|item| text(item, sort).to_owned());
    (items.iter().filter_map(|item| OrderId::parse(text(item, "pk").strip_prefix("ORDER#")?)).collect(), next)
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
