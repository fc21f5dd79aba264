//! Metrics: typed declarations, written as log lines in CloudWatch's embedded metric format (EMF).
//!
//! Each service declares its metrics as constants in its module `metrics` and lists them in
//! `METRICS`. CloudWatch extracts them from the log into the namespace [`NAMESPACE`]. Every metric
//! has the dimensions `service` and `stack`, and at most one more with a fixed list of values
//! ([`dimension!`](crate::dimension)). Ids, e-mail addresses and paths are never dimensions: each
//! combination of values is billed as a metric.
//!
//! Business metrics are derived from the committed change by the publisher of the table's stream,
//! and recorded once its messages are sent. A repeated request therefore counts once. The stream
//! delivers at least once, so a batch that it delivers again can count twice.
//!
//! Source: "Embedded metric format specification", Amazon CloudWatch User Guide.

use std::{
    cell::RefCell,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Number, Value, json};

use crate::{
    clock::{Clock, Timestamp},
    config, telemetry,
};

/// CloudWatch namespace of all metrics of the shop.
pub const NAMESPACE: &str = "Ferrocart";

/// The dimensions that every metric has.
pub const DIMENSIONS: [&str; 2] = ["service", "stack"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Seconds,
    /// Minor units of the currency in the dimension `currency`.
    MinorUnits,
}

impl Unit {
    /// Returns CloudWatch's name of the unit. CloudWatch has no unit for money.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
            Self::MinorUnits => "None",
        }
    }
}

/// A dimension with all its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimension {
    pub name: &'static str,
    pub values: &'static [&'static str],
}

/// A value of a dimension. [`dimension!`](crate::dimension) implements it.
pub trait DimensionValue: Copy {
    const DIMENSION: Dimension;

    fn name(self) -> &'static str;
}

/// The declaration of a metric of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub service: &'static str,
    pub name: &'static str,
    pub unit: Unit,
    /// The dimension besides [`DIMENSIONS`].
    pub dimension: Option<Dimension>,
    /// What one unit means, in one or two sentences.
    pub description: &'static str,
}

impl Metric {
    /// Declares a metric that counts events.
    pub const fn count(
        service: &'static str,
        name: &'static str,
        description: &'static str,
    ) -> Self {
        Self { service, name, unit: Unit::Count, dimension: None, description }
    }

    /// Declares a metric of durations.
    pub const fn seconds(
        service: &'static str,
        name: &'static str,
        description: &'static str,
    ) -> Self {
        Self { service, name, unit: Unit::Seconds, dimension: None, description }
    }

    pub fn dimension_names(&self) -> Vec<&'static str> {
        DIMENSIONS.into_iter().chain(self.dimension.map(|dimension| dimension.name)).collect()
    }

    /// Returns the measurement of one event.
    pub fn once(&self) -> Measurement {
        Measurement { metric: *self, value: 1.into(), of: None }
    }

    pub fn lasting(&self, duration: Duration) -> Measurement {
        let value = Number::from_f64(duration.as_secs_f64()).unwrap_or_else(|| 0.into());
        Measurement { metric: *self, value, of: None }
    }

    pub fn increment(&self) {
        self.once().record();
    }
}

/// The declaration of a metric with a further dimension `D`.
#[derive(Clone, Copy, Debug)]
pub struct MetricBy<D> {
    pub metric: Metric,
    values: PhantomData<fn() -> D>,
}

impl<D: DimensionValue> MetricBy<D> {
    /// Declares a metric that counts events.
    pub const fn count(
        service: &'static str,
        name: &'static str,
        description: &'static str,
    ) -> Self {
        Self::with_unit(service, name, Unit::Count, description)
    }

    /// Declares a metric of amounts of money.
    pub const fn money(
        service: &'static str,
        name: &'static str,
        description: &'static str,
    ) -> Self {
        Self::with_unit(service, name, Unit::MinorUnits, description)
    }

    const fn with_unit(
        service: &'static str,
        name: &'static str,
        unit: Unit,
        description: &'static str,
    ) -> Self {
        let dimension = Some(D::DIMENSION);
        Self { metric: Metric { service, name, unit, dimension, description }, values: PhantomData }
    }

    /// Returns the measurement of one event.
    pub fn once(&self, of: D) -> Measurement {
        self.amount(of, 1)
    }

    pub fn amount(&self, of: D, amount: i64) -> Measurement {
        Measurement { metric: self.metric, value: amount.into(), of: Some(of.name()) }
    }
}

/// The declaration of a metric that several services have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedMetric {
    pub name: &'static str,
    pub description: &'static str,
}

impl SharedMetric {
    pub const fn of(self, service: &'static str) -> Metric {
        Metric::count(service, self.name, self.description)
    }
}

/// Moved by the I/O layer of every service, as the next three.
pub const SERVER_ERRORS: SharedMetric = SharedMetric {
    name: "ServerErrors",
    description: "HTTP responses with status 500 to 599 that functions wrote, and failed invocations of other functions",
};

pub const POISON_MESSAGE: SharedMetric = SharedMetric {
    name: "PoisonMessage",
    description: "Receptions of messages that no retry can process, or that panicked",
};

pub const MESSAGE_DELAYED: SharedMetric = SharedMetric {
    name: "MessageDelayed",
    description: "Failed receptions of messages that were sent more than an hour ago",
};

pub const UNPUBLISHABLE_CHANGE: SharedMetric = SharedMetric {
    name: "UnpublishableChange",
    description: "Changes of a table that the publisher moved to its dead-letter queue",
};

pub const SWEEP_FAILED: SharedMetric = SharedMetric {
    name: "SweepFailed",
    description: "Runs of a sweep that could not process some due records, which stay due",
};

#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    pub metric: Metric,
    pub value: Number,
    /// The value of the metric's further dimension.
    pub of: Option<&'static str>,
}

impl Measurement {
    /// Writes the measurement to the log, or to the [`Capture`] of a test.
    pub fn record(&self) {
        match CAPTURED.with_borrow(Clone::clone) {
            Some(captured) => captured.push(self.line(captured.clock.now())),
            None if telemetry::is_started() => {
                telemetry::write_line(&self.line(Clock::System.now()));
            }
            None => {}
        }
    }

    /// Formats the measurement as a line in the embedded metric format.
    fn line(&self, now: Timestamp) -> Value {
        let Metric { service, name, unit, dimension, .. } = self.metric;
        let mut line = json!({
            "_aws": {
                "Timestamp": now.milliseconds(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [self.metric.dimension_names()],
                    "Metrics": [{ "Name": name, "Unit": unit.name() }],
                }],
            },
            "service": service,
            "stack": config::optional("STACK"),
        });
        if let (Some(dimension), Some(of)) = (dimension, self.of) {
            line[dimension.name] = of.into();
        }
        line[name] = Value::Number(self.value.clone());
        line
    }
}

/// The lines of a [`Capture`], and the clock of their timestamps.
#[derive(Clone, Debug)]
struct Captured {
    lines: Arc<Mutex<Vec<Value>>>,
    clock: Clock,
}

impl Captured {
    fn push(&self, line: Value) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

thread_local! {
    /// The capture of the test that runs on this thread.
    static CAPTURED: RefCell<Option<Captured>> = const { RefCell::new(None) };
}

/// Captures the lines that the current thread records, until it is dropped. A test and the
/// functions that it calls run on one thread.
#[derive(Debug)]
pub struct Capture(Captured);

impl Default for Capture {
    fn default() -> Self {
        Self::start()
    }
}

impl Capture {
    /// Starts a capture. It replaces an earlier one of this thread.
    pub fn start() -> Self {
        Self::with_clock(Clock::System)
    }

    /// Starts a capture whose lines have the time of this clock. It replaces an earlier one of this
    /// thread.
    pub fn with_clock(clock: Clock) -> Self {
        let captured = Captured { lines: Arc::default(), clock };
        CAPTURED.set(Some(captured.clone()));
        Self(captured)
    }

    /// Returns the captured lines in the embedded metric format.
    pub fn lines(&self) -> Vec<Value> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn values(&self, metric: &Metric) -> Vec<f64> {
        self.of_metric(metric).filter_map(|line| line[metric.name].as_f64()).collect()
    }

    /// Returns the sum of a metric, rounded to whole units.
    pub fn total(&self, metric: &Metric) -> i64 {
        sum(self.of_metric(metric), metric)
    }

    /// Returns the sum of a metric for one value of its further dimension, rounded to whole units.
    pub fn total_of<D: DimensionValue>(&self, metric: &MetricBy<D>, of: D) -> i64 {
        let lines = self.of_metric(&metric.metric);
        sum(lines.filter(|line| line[D::DIMENSION.name] == of.name()), &metric.metric)
    }

    fn of_metric(&self, metric: &Metric) -> impl Iterator<Item = Value> {
        let Metric { service, name, .. } = *metric;
        let is_of_metric = move |line: &Value| line["service"] == service && line[name].is_number();
        self.lines().into_iter().filter(is_of_metric)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "tests compare small numbers")]
fn sum(lines: impl Iterator<Item = Value>, metric: &Metric) -> i64 {
    lines.filter_map(|line| line[metric.name].as_f64()).sum::<f64>().round() as i64
}

impl Drop for Capture {
    fn drop(&mut self) {
        CAPTURED.with_borrow_mut(|captured| {
            if captured.as_ref().is_some_and(|other| Arc::ptr_eq(&other.lines, &self.0.lines)) {
                *captured = None;
            }
        });
    }
}

/// Declares a dimension of a metric with its values.
///
/// ```
/// shared::dimension!(
///     /// Outcome of a refund.
///     RefundOutcome as "outcome" {
///         Completed = "completed",
///         Failed = "failed",
///     }
/// );
/// # use shared::metrics::DimensionValue;
/// assert_eq!(RefundOutcome::DIMENSION.values, ["completed", "failed"]);
/// assert_eq!(RefundOutcome::Failed.name(), "failed");
/// ```
#[macro_export]
macro_rules! dimension {
    ($(#[$doc:meta])* $name:ident as $dimension:literal { $($(#[$about:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$about])* $variant,)+
        }

        impl $crate::metrics::DimensionValue for $name {
            const DIMENSION: $crate::metrics::Dimension =
                $crate::metrics::Dimension { name: $dimension, values: &[$($value),+] };

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $value,)+
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    crate::dimension!(
        Outcome as "outcome" {
            Done = "done",
            Failed = "failed",
        }
    );

    const PARCELS: Metric = Metric::count("shared", "Parcels", "Parcels");
    const PACKING: Metric = Metric::seconds("shared", "PackingSeconds", "Time to pack a parcel");
    const OUTCOMES: MetricBy<Outcome> = MetricBy::count("shared", "Outcomes", "Outcomes");
    const SALES: MetricBy<Currency> = MetricBy::money("shared", "Sales", "Money");

    #[test]
    fn line_has_embedded_metric_format_with_bounded_dimensions() {
        let line = OUTCOMES.once(Outcome::Failed).line(Timestamp::from_milliseconds(1_700));
        let expected = json!({
            "_aws": {
                "Timestamp": 1700,
                "CloudWatchMetrics": [{
                    "Namespace": "Ferrocart",
                    "Dimensions": [["service", "stack", "outcome"]],
                    "Metrics": [{ "Name": "Outcomes", "Unit": "Count" }],
                }],
            },
            "service": "shared",
            "stack": null,
            "outcome": "failed",
            "Outcomes": 1,
        });
        assert_eq!(line, expected);
        let line =
            PACKING.lasting(Duration::from_millis(1500)).line(Timestamp::from_milliseconds(0));
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Unit"], "Seconds");
        assert_eq!((&line["PackingSeconds"], line.get("outcome")), (&json!(1.5), None));
    }

    #[test]
    fn capture_has_the_lines_recorded_while_it_exists() {
        PARCELS.increment();
        let capture = Capture::start();
        PARCELS.increment();
        PARCELS.increment();
        OUTCOMES.once(Outcome::Done).record();
        let dollars = Currency::parse("USD").expect("a currency");
        SALES.amount(dollars, 5998).record();
        assert_eq!((capture.lines().len(), capture.total(&PARCELS)), (4, 2));
        assert_eq!(
            (
                capture.total_of(&OUTCOMES, Outcome::Done),
                capture.total_of(&OUTCOMES, Outcome::Failed)
            ),
            (1, 0)
        );
        assert_eq!(capture.total_of(&SALES, dollars), 5998);
        drop(capture);
        PARCELS.increment();
        assert!(Capture::start().lines().is_empty());
    }

    #[test]
    fn captured_lines_have_the_time_of_the_clock() {
        let clock = Clock::manual(Timestamp::from_milliseconds(1_000));
        let capture = Capture::with_clock(clock.clone());
        PARCELS.increment();
        clock.advance(Duration::from_secs(60));
        PARCELS.increment();
        let times: Vec<Value> =
            capture.lines().iter().map(|line| line["_aws"]["Timestamp"].clone()).collect();
        assert_eq!(times, [1_000, 61_000]);
    }
}
