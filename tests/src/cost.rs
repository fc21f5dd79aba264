//! The cost of one invocation of a function, and the budgets of `tests/bench/budgets.toml`.
//!
//! Calls, steps and units are counted in memory, so every machine counts the same. `make bench`
//! measures CPU time, memory and sizes of the release builds against the same budgets.

mod scenarios;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{lambda::Invocation, operation::Trigger};
use tokio::time::Instant;

pub use scenarios::Scenario;

use crate::{
    aws::{Aws, Called},
    metering::TABLE_CALL,
    shop::{Shop, operations},
    template::root,
};

/// Duration of every AWS call while steps are counted.
const LATENCY: Duration = Duration::from_millis(10);

/// Memory in megabytes for which Lambda allocates one CPU.
const MEGABYTES_OF_ONE_CPU: f64 = 1769.0;

/// The AWS calls of one invocation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    pub calls: f64,
    /// Sequential round trips: concurrent calls share one.
    pub steps: f64,
    pub read_units: f64,
    /// Write units of DynamoDB, with those of the indexes.
    pub write_units: f64,
    /// Calls of SQS, which are among `calls`.
    pub queue_requests: f64,
}

/// The cost of the first invocation of an execution environment, which reads the secrets, and of a
/// later one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Costs {
    pub cold: Cost,
    pub warm: Cost,
}

impl Scenario {
    /// Counts the cost of the first two events, on a copy of the shop. Needs paused time.
    ///
    /// # Panics
    /// If an event is not processed.
    pub async fn costs(&self) -> Costs {
        let shop = self.shop.copy();
        count(&shop);
        let mut costs = Vec::new();
        for event in &self.events[..2] {
            let invocation = Invocation::with_event(event.clone());
            let (called, cost) = Cost::of(&shop, self.function, invocation).await;
            assert!(is_processed(called.ok()), "{}: {:?}", self.function, called.answer);
            costs.push(cost);
        }
        Costs { cold: costs[0], warm: costs[1] }
    }
}

/// Counts the cost of the calls of a shop from now on; see [`Cost::of`].
pub fn count(shop: &Shop) {
    shop.aws.count_write_units(None);
    shop.aws.take_time(LATENCY);
}

/// The read units and the write units so far.
fn units(aws: &Aws) -> (f64, f64) {
    (aws.read_units(), aws.write_units().values().map(|units| *units as f64).sum())
}

/// Whether an answer reports success: a status below 300, or no failure of a batch. A publisher
/// answers nothing.
pub fn is_processed(answer: &Value) -> bool {
    match answer["statusCode"].as_u64() {
        Some(status) => status < 300,
        None => answer["batchItemFailures"].as_array().is_none_or(Vec::is_empty),
    }
}

/// The ceilings of `tests/bench/budgets.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    pub prices: Prices,
    /// Limits of all functions, by the way they are linked: `dynamic` or `static`.
    pub limits: BTreeMap<String, Limits>,
    pub functions: BTreeMap<String, Budget>,
}

/// USD for a million units.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub lambda_requests: f64,
    pub lambda_gigabyte_seconds: f64,
    pub read_units: f64,
    pub write_units: f64,
    pub queue_requests: f64,
    pub api_requests: f64,
}

/// Limits of every function for one kind of linking.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// CPU time until the function is ready, relative to the empty loop.
    pub init_ratio: f64,
    /// Page faults until the function is ready. [`Limits::TOLERANCE`] applies.
    pub init_faults: f64,
    pub resident_megabytes: f64,
    pub zip_megabytes: f64,
}

impl Limits {
    /// Page faults depend slightly on the kernel and on the page cache.
    pub const TOLERANCE: f64 = 1.05;
}

/// The budget of one function.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub cold: Cost,
    pub warm: Cost,
    /// Connections to AWS of a cold start with its first event.
    pub cold_connections: f64,
    /// CPU time from the start to the first answer over TLS, relative to the tuned reference with
    /// the same number of calls.
    pub cold_ratio: f64,
    /// CPU time of a later invocation over TLS, relative to the tuned reference with the same
    /// number of calls.
    pub warm_ratio: f64,
    /// In place of [`Limits::resident_megabytes`].
    pub resident_megabytes: Option<f64>,
    /// In place of [`Limits::zip_megabytes`].
    pub zip_megabytes: Option<f64>,
}

impl Budgets {
    /// Reads the committed budgets.
    ///
    /// # Panics
    /// If the file is missing or has another form.
    pub fn read() -> Self {
        let text = std::fs::read_to_string(root().join("tests/bench/budgets.toml"))
            .expect("tests/bench/budgets.toml exists");
        basic_toml::from_str(&text)
            .unwrap_or_else(|error| panic!("tests/bench/budgets.toml: {error}"))
    }

    /// Compares the counted cost of a function with its budget. Returns a sentence for each
    /// difference: a budget above the cost would let it grow again unnoticed.
    pub fn complaints(&self, function: &str, costs: &Costs) -> Vec<String> {
        let budget = &self.functions[function];
        let pairs = [("cold", &costs.cold, &budget.cold), ("warm", &costs.warm, &budget.warm)];
        pairs
            .into_iter()
            .filter(|(_, cost, ceiling)| cost != ceiling)
            .map(|(kind, cost, ceiling)| {
                let direction = if cost.exceeds(ceiling) { "exceeds" } else { "is below" };
                format!(
                    "{function}: the {kind} invocation {direction} its budget, which would be: \
                     {kind} = {}",
                    cost.inline_table()
                )
            })
            .collect()
    }

    /// USD for a million warm invocations: requests, CPU time and the assumed latency of each step
    /// at the function's memory size, and the units of DynamoDB and SQS. Of the trigger it includes
    /// the request of API Gateway, or the receipt and the deletion of a message.
    ///
    /// # Panics
    /// If no operation has this name.
    pub fn dollars(
        &self,
        function: &str,
        cost: &Cost,
        cpu_milliseconds: f64,
        megabytes: f64,
    ) -> f64 {
        let prices = &self.prices;
        let cpu = cpu_milliseconds / 1000.0 * (MEGABYTES_OF_ONE_CPU / megabytes).max(1.0);
        let seconds = cpu + cost.steps * TABLE_CALL;
        let operation = operations()
            .find(|operation| operation.name() == function)
            .unwrap_or_else(|| panic!("unknown operation {function}"));
        let trigger = match operation.trigger {
            Trigger::Http(_) | Trigger::Pages(_) => prices.api_requests,
            Trigger::Queue(_) => 2.0 * prices.queue_requests,
            Trigger::Stream { .. } | Trigger::Invoke => 0.0,
        };
        trigger
            + prices.lambda_requests
            + prices.lambda_gigabyte_seconds * seconds * megabytes / 1024.0
            + prices.read_units * cost.read_units
            + prices.write_units * cost.write_units
            + prices.queue_requests * cost.queue_requests
    }
}

impl Cost {
    /// Invokes a function of a shop that [`count`]s, in paused time.
    pub async fn of(shop: &Shop, function: &str, invocation: Invocation) -> (Called, Self) {
        let (before, started) = (units(&shop.aws), Instant::now());
        let called = shop.aws.invoke(&shop.lambda(function), invocation).await;
        let steps = started.elapsed().as_secs_f64() / LATENCY.as_secs_f64();
        let after = units(&shop.aws);
        let requests = called.calls.iter().filter(|call| call.service == "sqs").count();
        let cost = Self {
            calls: called.calls.len() as f64,
            steps: steps.round(),
            read_units: after.0 - before.0,
            write_units: after.1 - before.1,
            queue_requests: requests as f64,
        };
        (called, cost)
    }

    fn exceeds(&self, ceiling: &Self) -> bool {
        let figures = |cost: &Self| {
            [cost.calls, cost.steps, cost.read_units, cost.write_units, cost.queue_requests]
        };
        figures(self).iter().zip(figures(ceiling)).any(|(figure, ceiling)| *figure > ceiling)
    }

    /// The cost in the format of `tests/bench/budgets.toml`.
    fn inline_table(&self) -> String {
        format!(
            "{{ calls = {:?}, steps = {:?}, read_units = {:?}, write_units = {:?}, queue_requests = {:?} }}",
            self.calls, self.steps, self.read_units, self.write_units, self.queue_requests
        )
    }
}
