//! Every day in small steps, and whenever an operator asks: compares what everybody has written about orders, money and goods.
//!
//! Without anything: what was placed or has moved in the last two days, what is unsettled, what was broken the last time, and all products. `{"since", "until"}`: another
//! time. `{"order_id"}`: one order. `{"limit"}`: about so many looks at orders and products with this call. `{"continuation"}`: goes on
//! where a report ended that has one. `{"product_id"}`: one product. `{"repair": true}` beside any of these: books the ledger entries that
//! are missing; see [`crate::domain::repair`].
//!
//! A schedule's call takes the day's round a step further: where it stands is kept in the ledger's own table, so that no call takes longer
//! than the one before because the shop has grown, and one that fails is made up for by the next.

mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;
use shared::{
    clock::{Clock, Timestamp},
    ids::{OrderId, PrefixedId, ProductId},
    invoke::Call,
    lambda::Failure,
    table::TableError,
    telemetry::{self, Trace},
};

pub use self::report::{OrderRow, ProductRow, Report};
use crate::{
    Ledger,
    domain::audit::{Finding, AuditStatus},
    look::{Look, at_once},
    repair::Repairs,
    round::{Continuation, Counted, Place, Round, Window},
    sources::NotRead,
    walk::{Found, Step, steps},
};

/// What is to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReconcileBooks {
    /// What an operator asks for.
    Asked(Asked),
    /// A schedule asks: the next step of the round.
    Scheduled,
}

/// What an operator may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    order_id: Option<OrderId>,
    product_id: Option<ProductId>,
    limit: Option<u32>,
    continuation: Option<Continuation>,
    #[serde(default)]
    repair: bool,
}

impl<'de> Deserialize<'de> for ReconcileBooks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = Value::deserialize(deserializer)?;
        if event["source"] == "aws.events" {
            return Ok(Self::Scheduled);
        }
        serde_json::from_value(event).map(Self::Asked).map_err(D::Error::custom)
    }
}

/// How many orders or products are found with one call.
const FOUND_AT_ONCE: u32 = 100;

/// After how many rows a report ends: an answer of Lambda has six megabytes, and nobody reads more.
const MOST_ROWS: usize = 1000;

/// The same for a repair, which may write hundreds of items for each.
const REPAIRED_AT_ONCE: u32 = 16;

/// What must be left of the function's time for another page.
const MIN_TIME_LEFT: Duration = Duration::from_secs(20);

/// The same for a page of a repair: two hundred versions of a record cost up to 600 writes, one after another.
const MIN_TIME_LEFT_TO_REPAIR: Duration = Duration::from_secs(60);

/// Reads and compares, and changes nothing of what it reads; asked to repair, it books entries that the ledger lacks. Where time or room runs out it says where to go on.
///
/// # Errors
/// When the event asks for something that there is not, or it cannot be found out what there is to look at.
pub async fn reconcile_books(ledger: Arc<Ledger>, call: Call<ReconcileBooks>) -> Result<Report, Failure> {
    let asked = match call.event {
        ReconcileBooks::Scheduled => {
            let (lease, clock) = (ledger.store.lease(), ledger.clock.clone());
            let step = lease.hold(&clock, call.deadline, Box::pin(go_round(ledger.clone(), call.deadline))).await?;
            return Ok(step.unwrap_or_else(|| Audit::new(ledger, Window::before(clock.now()), call.deadline).of_another_run()));
        }
        ReconcileBooks::Asked(asked) => asked,
    };
    let on = asked.continuation;
    let (since, until) = on.as_ref().map_or((asked.since, asked.until), |on| (Some(on.since), Some(on.until)));
    let window = Window::of(since, until, ledger.clock.now());
    let window = window.ok_or_else(|| Failure::new("MalformedEvent", "since comes before until, by 400 days at the most"))?;
    let repair = asked.repair.then_some(call.trace);
    let mut audit = Audit { repair, ..Audit::new(ledger, window, call.deadline) };
    match asked.order_id {
        Some(order) => {
            audit.look_at_orders(vec![order]).await?;
            if audit.report.broken.iter().any(OrderRow::is_of_no_record) {
                let message = format!("There is no order {order}: no service has a record of it.");
                return Err(Failure { is_expected: true, ..Failure::new("UnknownOrder", message) });
            }
        }
        None => {
            let on = match (on, asked.product_id) {
                (Some(on), _) => on,
                (None, Some(product)) => audit.begin_with(product),
                (None, None) => {
                    window.begin(audit.ledger.store.round().await.map_err(round_not_read)?.map(|round| round.broken).unwrap_or_default())
                }
            };
            audit.walk(on, asked.limit.unwrap_or(u32::MAX).max(1)).await?;
        }
    }
    Ok(audit.finish(false))
}

/// Takes the round a step further, or begins the next one when its day has come.
async fn go_round(ledger: Arc<Ledger>, deadline: Timestamp) -> Result<Report, Failure> {
    let now = ledger.clock.now();
    let stored = ledger.store.round().await.map_err(round_not_read)?;
    let mut round = match stored {
        Some(round) if !round.is_over(now) => round,
        earlier => Round::next(earlier, now),
    };
    let window = Window { since: round.since, until: round.until };
    let mut audit = Audit::new(ledger.clone(), window, deadline);
    let Some(on) = round.continuation.take() else { return Ok(audit.finish(false)) };
    audit.walk(on, u32::MAX).await?;
    round.continuation = audit.report.continuation.clone();
    let unread = audit.report.not_checked.iter().filter_map(|id| OrderId::parse(id));
    round.keep(audit.report.broken.iter().map(|row| row.order_id).chain(unread));
    let is_late = round.continuation.is_some() && round.is_late(now);
    let kept = ledger.store.keep_round(&round).await.map_err(|error| Failure::from_error("RoundNotKept", &error))?;
    if !kept {
        tracing::warn!("another call has taken the round further meanwhile: what this one looked at is looked at twice");
    }
    Ok(audit.finish(is_late))
}

fn round_not_read(error: TableError) -> Failure {
    Failure::from_error("RoundNotRead", &error)
}

/// A run.
struct Audit {
    ledger: Arc<Ledger>,
    window: Window,
    deadline: Timestamp,
    report: Report,
    /// How many orders and parts of products this run has looked at.
    looks: u32,
    /// Orders that this run has looked at.
    seen: BTreeSet<OrderId>,
    /// Products whose entries are not all counted yet.
    counted: Vec<Counted>,
    /// How many of each product are held, once that is known.
    held: Option<Held>,
    /// The trace of a run that books missing entries; none: it only compares.
    repair: Option<Trace>,
}

/// How many of each product are held for orders; none where there was no time to ask for all of them.
type Held = Option<Arc<BTreeMap<ProductId, i64>>>;

impl Audit {
    fn new(ledger: Arc<Ledger>, window: Window, deadline: Timestamp) -> Self {
        let report = Report::empty(window, ledger.sources.provider_name());
        Self { ledger, window, deadline, report, looks: 0, seen: BTreeSet::new(), counted: Vec::new(), held: None, repair: None }
    }

    /// Where a run begins that looks at one product only: behind the last place.
    fn begin_with(&self, product: ProductId) -> Continuation {
        let step = steps(self.window, self.ledger.sources.shards).len();
        let counted = vec![Counted::begin(product, self.ledger.clock.now())];
        Continuation { place: Place { step, after: None }, counted, ..self.window.begin(Vec::new()) }
    }

    /// Walks on until all is looked at or enough is.
    async fn walk(&mut self, on: Continuation, limit: u32) -> Result<(), Failure> {
        let Continuation { mut place, mut again, counted, .. } = on;
        self.counted = counted;
        let steps = steps(self.window, self.ledger.sources.shards);
        loop {
            let step = steps.get(place.step);
            if step.is_none() && again.is_empty() && self.counted.is_empty() {
                return Ok(());
            }
            if self.looks >= limit || self.is_full() || !self.has_time() {
                let (Window { since, until }, counted) = (self.window, std::mem::take(&mut self.counted));
                self.report.continuation = Some(Continuation { since, until, place, again, counted });
                return Ok(());
            }
            if !again.is_empty() {
                let most = self.page_size().min(limit - self.looks) as usize;
                let now = again.drain(..most.min(again.len())).collect();
                self.look_at_orders(now).await?;
                continue;
            }
            let Some(step) = step.filter(|_| self.counted.is_empty()) else {
                self.look_at_products().await?;
                continue;
            };
            let most = self.page_size().min(limit - self.looks);
            let page = self.ledger.page(step, self.window, place.after.as_deref(), most).await;
            let (found, next) = page.map_err(|error| Failure::from_error("CandidatesNotRead", &error))?;
            match found {
                Found::Orders(orders) => self.look_at_orders(orders).await?,
                Found::Products(products) => {
                    let now = self.ledger.clock.now();
                    self.counted = products.into_iter().map(|product| Counted::begin(product, now)).collect();
                }
            }
            place = match next {
                Some(after) => Place { step: place.step, after: Some(after) },
                None => Place { step: place.step + 1, after: None },
            };
        }
    }

    fn time_left(&self) -> Duration {
        self.deadline.since(Clock::System.now())
    }

    fn has_time(&self) -> bool {
        self.time_left() >= if self.repair.is_some() { MIN_TIME_LEFT_TO_REPAIR } else { MIN_TIME_LEFT }
    }

    fn page_size(&self) -> u32 {
        if self.repair.is_some() { REPAIRED_AT_ONCE } else { FOUND_AT_ONCE }
    }

    fn is_full(&self) -> bool {
        self.report.rows() >= MOST_ROWS
    }

    async fn look_at_orders(&mut self, orders: Vec<OrderId>) -> Result<(), Failure> {
        let orders: Vec<OrderId> = orders.into_iter().filter(|order| self.seen.insert(*order)).collect();
        let (ledger, repair) = (self.ledger.clone(), self.repair.clone());
        let looks = at_once(orders, move |order| {
            let (ledger, repair) = (ledger.clone(), repair.clone());
            async move {
                match repair {
                    Some(trace) => ledger.look_at_order_and_repair(order, &trace).await,
                    None => ledger.look_at_order(order).await.map(|look| (look, Repairs::default())),
                }
            }
        });
        for (order_id, look) in looks.await {
            self.looks += 1;
            let Some(((verdict, shown), repairs)) = self.looked_at(&order_id.to_string(), look)? else { continue };
            self.report.add_repairs(&order_id.to_string(), repairs);
            self.report.checked += 1;
            let row = OrderRow {
                order_id,
                status: shown.status,
                needs_review: shown.needs_review,
                moved_at: verdict.moved_at,
                findings: verdict.findings,
            };
            match verdict.status {
                AuditStatus::Balanced => self.report.balanced += 1,
                AuditStatus::Unsettled => self.report.unsettled.push(row),
                AuditStatus::Broken => {
                    tell_broken("an order", &order_id.to_string(), &row.findings);
                    self.report.broken.push(row);
                }
            }
        }
        Ok(())
    }

    /// Counts on those products whose entries are not all counted, and compares those where they are then.
    async fn look_at_products(&mut self) -> Result<(), Failure> {
        let held = self.held().await.map_err(|error| Failure::from_error("ReservationsNotRead", &error))?;
        let ledger = self.ledger.clone();
        let counted = std::mem::take(&mut self.counted).into_iter().map(|counted| (counted.product_id, counted));
        let counted: Arc<BTreeMap<ProductId, Counted>> = Arc::new(counted.collect());
        let looks = at_once(counted.keys().copied().collect(), move |product| {
            let (ledger, counted) = (ledger.clone(), counted.get(&product).cloned());
            let reserved = held.as_ref().map(|held| held.get(&product).copied().unwrap_or(0));
            async move { ledger.look_at_product(counted.ok_or(NotRead::Panicked)?, reserved).await }
        });
        for (product_id, look) in looks.await {
            self.looks += 1;
            let verdict = match self.looked_at(&product_id.to_string(), look)? {
                None => continue,
                Some(Look::Part(counted)) => {
                    self.counted.push(counted);
                    continue;
                }
                Some(Look::Whole(verdict)) => verdict,
            };
            if !verdict.findings.is_empty() && self.has_repaired(product_id).await? {
                self.counted.push(Counted::begin(product_id, self.ledger.clock.now()));
                continue;
            }
            self.report.products_checked += 1;
            let state = match verdict.status {
                AuditStatus::Balanced => continue,
                AuditStatus::Unsettled => "unsettled",
                AuditStatus::Broken => {
                    tell_broken("a product", &product_id.to_string(), &verdict.findings);
                    "broken"
                }
            };
            self.report.products.push(ProductRow { product_id, state, findings: verdict.findings });
        }
        Ok(())
    }

    /// Books the missing entries of a product, if this run does that: says whether there were any.
    async fn has_repaired(&mut self, product: ProductId) -> Result<bool, Failure> {
        let Some(trace) = &self.repair else { return Ok(false) };
        let repaired = self.ledger.repair_product(product, trace).await;
        let Some(repairs) = self.looked_at(&product.to_string(), repaired)? else { return Ok(false) };
        let has_booked = !repairs.repaired.is_empty();
        self.report.add_repairs(&product.to_string(), repairs);
        Ok(has_booked)
    }

    /// How many of each product are held for orders. Whoever holds something is unsettled, so that the index of these has all of them.
    /// It is read for as long as half of the time that is left; products whose reservations are not known are compared without them.
    async fn held(&mut self) -> Result<Held, TableError> {
        if let Some(held) = &self.held {
            return Ok(held.clone());
        }
        let (mut held, mut seen) = (BTreeMap::new(), BTreeSet::new());
        let reserve = (self.time_left() / 2).max(MIN_TIME_LEFT);
        for shard in 0..self.ledger.sources.shards {
            let mut after: Option<String> = None;
            loop {
                if self.time_left() < reserve {
                    tracing::warn!("there was no time to read what is held for orders");
                    self.report.not_checked.push("reservations".to_owned());
                    return Ok(self.held.insert(None).clone());
                }
                let step = Step::UnsettledOrders(shard);
                let (found, next) = self.ledger.page(&step, self.window, after.as_deref(), FOUND_AT_ONCE).await?;
                if let Found::Orders(orders) = found {
                    let orders: Vec<OrderId> = orders.into_iter().filter(|order| seen.insert(*order)).collect();
                    self.ledger.sources.add_held(&orders, &mut held).await?;
                }
                after = match next {
                    None => break,
                    next => next,
                };
            }
        }
        Ok(self.held.insert(Some(Arc::new(held))).clone())
    }

    /// What came of a look. What could not be read now is noted; what can never be read fails the run, or every order would be noted.
    fn looked_at<T>(&mut self, id: &str, look: Result<T, NotRead>) -> Result<Option<T>, Failure> {
        match look {
            Ok(seen) => Ok(Some(seen)),
            Err(NotRead::Table(error)) if !error.is_transient() => Err(Failure::from_error("BooksNotRead", &error)),
            Err(error) => {
                tracing::warn!(id, error = telemetry::causes(&error), "the books could not be read: they are not compared");
                self.report.not_checked.push(id.to_owned());
                Ok(None)
            }
        }
    }

    /// The report of a scheduled call that found another one at work.
    fn of_another_run(self) -> Report {
        Report { already_running: true, ..self.report }
    }

    fn finish(self, is_late: bool) -> Report {
        if is_late || !self.report.not_checked.is_empty() {
            tracing::error!(is_late, not_checked = self.report.not_checked.len(), "not all books were compared");
            telemetry::count("AuditIncomplete", "ledger", &self.ledger.clock);
        }
        self.report
    }
}

/// For whoever gets the alarm.
fn tell_broken(what: &str, id: &str, findings: &[Finding]) {
    let checks: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
    tracing::error!(id, checks = checks.join(", "), "the books of {what} do not balance");
    telemetry::count("BooksDoNotBalance", "ledger", &Clock::System);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(event: Value) -> Option<ReconcileBooks> {
        serde_json::from_value(event).ok()
    }

    #[test]
    fn a_schedule_asks_for_what_is_usual_and_an_operator_says_what_exactly() {
        let tick = json!({ "version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {} });
        assert_eq!(read(tick), Some(ReconcileBooks::Scheduled));
        assert_eq!(read(json!({})), Some(ReconcileBooks::Asked(Asked::default())));
        let since = json!({ "since": "2026-11-20T00:00:00.000Z", "limit": 5 });
        assert!(matches!(read(since), Some(ReconcileBooks::Asked(Asked { limit: Some(5), .. }))));
        for odd in
            [json!({ "sinse": "2026-11-20T00:00:00.000Z" }), json!({ "since": "yesterday" }), json!({ "order_id": "ord_1" }), json!([])]
        {
            assert_eq!(read(odd.clone()), None, "{odd}: a slip must not compare something else");
        }
    }

    #[test]
    fn a_continuation_reads_back_as_it_was_written() {
        let at = Timestamp::from_milliseconds(1_795_255_200_000);
        let counted = vec![Counted::begin(shared::ids::derive(&["spoon"]), at)];
        let on = Continuation {
            since: at,
            until: at,
            place: Place { step: 7, after: Some("x".to_owned()) },
            again: vec![shared::ids::derive(&["order"])],
            counted,
        };
        let event = json!({ "continuation": serde_json::to_value(&on).unwrap() });
        let asked = Asked { continuation: Some(on), ..Asked::default() };
        assert_eq!(read(event), Some(ReconcileBooks::Asked(asked)));
    }
}
