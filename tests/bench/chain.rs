//! The CPU time of an order through all functions: how many orders a second one core processes.
//!
//! Each function of the chain is one warm process of the release build, with the Runtime API and an
//! AWS endpoint over TLS. Orders are placed in waves; streams and queues are then delivered as
//! Lambda does, in batches of the configured size, until nothing is left.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::ServerConfig;
use serde_json::{Value, json};
use shared::{clock::Clock, operation::Trigger};
use tests::{
    aws::Aws,
    cost::is_processed,
    events,
    shop::{Shop, operations, queues},
    template::{STACK, root, template},
};

use crate::{
    endpoint::Endpoint, process::Process, program::Program, runtime_api::RuntimeApi, settings,
    trust::Trust,
};

/// Orders of a wave: what arrives while the functions process the wave before.
const WAVE: usize = 50;
/// Waves that are measured, after one that starts the functions.
const WAVES: usize = 10;
/// Products, each with stock for all orders. Each order has one.
const PRODUCTS: usize = 20;
/// Records of a stream in one event.
const RECORDS: usize = 100;

/// A function's process, and what it has processed since it was started.
struct Function {
    // Dropped before its Runtime API, whose end it would report as an error.
    process: Process,
    runtime: RuntimeApi,
    /// CPU time before the measurement, in milliseconds.
    before: f64,
    invocations: usize,
    records: usize,
}

struct Chain<'a> {
    bootstraps: &'a Path,
    trust: &'a Trust,
    endpoint: Endpoint,
    /// How many messages of each queue its consumer receives at a time.
    batch_sizes: BTreeMap<&'static str, usize>,
    functions: RefCell<BTreeMap<String, Function>>,
}

/// Measures every hop of an order, and prints a table.
pub(crate) fn run(bootstraps: &PathBuf) -> Result<(), Box<dyn Error>> {
    let trust = Trust::create(&root().join("target/bench/trust"))?;
    let (shop, products) = stocked()?;
    let tls: Arc<ServerConfig> = trust.server()?;
    let chain = Chain {
        bootstraps,
        trust: &trust,
        endpoint: Endpoint::start(&shop.aws, Some(&tls))?,
        batch_sizes: queues().map(|queue| (queue, template().batch_size(queue))).collect(),
        functions: RefCell::default(),
    };
    let mut positions = BTreeMap::new();
    for table in tables() {
        positions.insert(table, shop.aws.database().latest_change(&full(table)));
    }
    for wave in 0..=WAVES {
        for number in wave * WAVE..(wave + 1) * WAVE {
            let product = &products[number % PRODUCTS];
            let placed = chain.invoke("create-order", 1, &order(number, product))?;
            if placed["statusCode"] != 201 {
                return Err(format!("create-order answered {placed}").into());
            }
        }
        chain.drain(&shop.aws, &mut positions)?;
        if wave == 0 {
            chain.begin()?;
        }
    }
    confirmed(&shop.aws)?;
    print(&chain.usage()?);
    Ok(())
}

/// A shop with products in stock, on the real clock.
fn stocked() -> Result<(Shop, Vec<String>), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async {
        let shop = Shop::over(Aws::new(), Clock::System);
        let mut products = Vec::new();
        for number in 0..PRODUCTS {
            products.push(shop.product(&format!("teapot-{number}"), 2999, 10_000).await);
        }
        shop.harness().drain_queues().await;
        (shop, products)
    }))
}

/// An order with a card. Each order has its own buyer and network.
fn order(number: usize, product: &str) -> Value {
    events::post("/orders", &events::order_request(product, 1, Some("tok_ok")))
        .caller(&format!("usr_0199c2a8-0000-7000-8001-{number:012x}"))
        .source_ip(&format!("198.18.{}.{}", number / 250, number % 250 + 1))
        .header("idempotency-key", "first")
        .event()
}

fn full(table: &str) -> String {
    format!("{STACK}-{table}")
}

/// The tables whose changes are published.
fn tables() -> impl Iterator<Item = &'static str> {
    operations().filter_map(|operation| match operation.trigger {
        Trigger::Stream { table, .. } => Some(table),
        _ => None,
    })
}

/// Checks that no order was lost on its way.
fn confirmed(aws: &Aws) -> Result<(), String> {
    let orders = aws.orders();
    let confirmed = orders.iter().filter(|order| order["status"]["S"] == "confirmed").count();
    let placed = (WAVES + 1) * WAVE;
    if confirmed == placed { Ok(()) } else { Err(format!("{confirmed} of {placed} confirmed")) }
}

impl Chain<'_> {
    /// Delivers changes and messages until nothing is left.
    fn drain(
        &self,
        aws: &Aws,
        positions: &mut BTreeMap<&'static str, usize>,
    ) -> Result<(), Box<dyn Error>> {
        loop {
            let mut is_idle = true;
            for operation in operations() {
                match operation.trigger {
                    Trigger::Stream { table, .. } => {
                        let from = positions[table];
                        let (changes, next) = aws.database().changes(&full(table), Some(from));
                        positions.insert(table, next);
                        for changes in changes.chunks(RECORDS) {
                            let event = json!({ "Records": changes });
                            self.invoke(&operation.name(), changes.len(), &event)?;
                            is_idle = false;
                        }
                    }
                    Trigger::Queue(queue) => loop {
                        let messages = aws.queues().take_within(queue, self.batch_sizes[queue], 0);
                        if messages.is_empty() {
                            break;
                        }
                        let event = events::sqs(queue, &messages);
                        let answer = self.invoke(&operation.name(), messages.len(), &event)?;
                        if !is_processed(&answer) {
                            return Err(format!("{queue}: {answer}").into());
                        }
                        is_idle = false;
                    },
                    Trigger::Http(_) | Trigger::Pages(_) | Trigger::Invoke => {}
                }
            }
            if is_idle {
                return Ok(());
            }
        }
    }

    /// Sends an event with this number of records to a function. The first one starts it.
    fn invoke(&self, name: &str, records: usize, event: &Value) -> Result<Value, Box<dyn Error>> {
        let mut functions = self.functions.borrow_mut();
        if !functions.contains_key(name) {
            functions.insert(name.to_owned(), self.start(name)?);
        }
        let function = functions.get_mut(name).ok_or("the function was started")?;
        let answer = function.runtime.invoke(event)?;
        function.runtime.wait_until_asked()?;
        function.invocations += 1;
        function.records += records;
        Ok(answer)
    }

    fn start(&self, name: &str) -> Result<Function, Box<dyn Error>> {
        let program = Program::read(self.bootstraps.join(name))?;
        let program = self.trust.copy(name, &program.bytes)?;
        let runtime = RuntimeApi::start()?;
        let variables = settings::variables(name, self.endpoint.url(), &runtime.address());
        let process = Process::start(&program, &variables)?;
        runtime.wait_until_asked()?;
        Ok(Function { runtime, process, before: 0.0, invocations: 0, records: 0 })
    }

    fn begin(&self) -> Result<(), Box<dyn Error>> {
        for function in self.functions.borrow_mut().values_mut() {
            function.before = function.process.idle()?.milliseconds;
            (function.invocations, function.records) = (0, 0);
        }
        Ok(())
    }

    /// The usage of each function, the largest first.
    fn usage(&self) -> Result<Vec<Usage>, Box<dyn Error>> {
        let mut usage = Vec::new();
        for (name, function) in &*self.functions.borrow() {
            let milliseconds = function.process.idle()?.milliseconds - function.before;
            let (invocations, records) = (function.invocations, function.records);
            usage.push(Usage { name: name.clone(), milliseconds, invocations, records });
        }
        usage.sort_by(|one, other| other.milliseconds.total_cmp(&one.milliseconds));
        Ok(usage)
    }
}

/// What a function has used for the measured orders.
struct Usage {
    name: String,
    milliseconds: f64,
    invocations: usize,
    records: usize,
}

fn print(usage: &[Usage]) {
    let orders = (WAVES * WAVE) as f64;
    let total: f64 = usage.iter().map(|function| function.milliseconds).sum();
    let per_order = |count: usize| count as f64 / orders;
    println!("{:24} {:>9} {:>6} {:>12} {:>8}", "", "CPU ms", "share", "invocations", "records");
    let row = |name: &str, milliseconds: f64, invocations: usize, records: usize| {
        println!(
            "{name:24} {:>9.3} {:>5.1}% {:>12.2} {:>8.2}",
            milliseconds / orders,
            milliseconds / total * 100.0,
            per_order(invocations),
            per_order(records),
        );
    };
    for each in usage {
        row(&each.name, each.milliseconds, each.invocations, each.records);
    }
    let sum = |count: fn(&Usage) -> usize| usage.iter().map(count).sum();
    row("an order", total, sum(|each| each.invocations), sum(|each| each.records));
    println!("\n{orders} orders, {:.0} orders a second on one core", orders / total * 1000.0);
}
