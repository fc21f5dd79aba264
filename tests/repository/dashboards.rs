//! The two dashboards of a shop. One model is derived from the operations, the tables and
//! `localstack/metrics.json`. It is written as CloudWatch dashboards into the template of platform,
//! and as Grafana dashboards into `localstack/grafana`.

mod cloudwatch;
mod grafana;

use serde_json::Value;
use shared::operation::{Operation, Trigger};
use tests::{
    shop,
    template::{self, STACK},
};

pub use self::{cloudwatch::resources, grafana::files as grafana_files};
use super::{none, source};

/// The columns of the grid, in CloudWatch and in Grafana.
const COLUMNS: u64 = 24;
const GRAPH_HEIGHT: u64 = 6;
/// Seconds of a data point.
const PERIOD: u64 = 300;

/// The metrics of Lambda that each operation shows, with their statistic.
const OF_EACH_OPERATION: [(&str, &str, &str, Unit); 5] = [
    ("Invocations", "Invocations", "Sum", Unit::Count),
    ("Errors", "Errors", "Sum", Unit::Count),
    ("Throttles", "Throttles", "Sum", Unit::Count),
    ("Duration, median", "Duration", "p50", Unit::Milliseconds),
    ("Duration, 99th percentile", "Duration", "p99", Unit::Milliseconds),
];

/// A dashboard: its name, its title, and its widgets in reading order.
pub struct Dashboard {
    pub name: &'static str,
    title: &'static str,
    widgets: Vec<Widget>,
}

enum Widget {
    /// The title of the widgets below it.
    Heading(String),
    Graph(Graph),
    /// A query of the access lines, on CloudWatch only.
    AccessLog {
        title: &'static str,
        query: &'static str,
    },
}

impl Widget {
    const fn is_on_cloudwatch_only(&self) -> bool {
        matches!(self, Self::AccessLog { .. })
    }
}

struct Graph {
    title: String,
    width: u64,
    unit: Unit,
    series: Vec<Series>,
}

#[derive(Clone, Copy)]
enum Unit {
    Count,
    Seconds,
    Milliseconds,
    /// Minor units of a currency, such as cents.
    MinorUnits,
    CapacityUnits,
}

impl Unit {
    /// The label of the axis on CloudWatch, and the unit in Grafana.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Count => ("count", "short"),
            Self::Seconds => ("seconds", "s"),
            Self::Milliseconds => ("milliseconds", "ms"),
            Self::MinorUnits => ("minor units", "short"),
            Self::CapacityUnits => ("units", "short"),
        }
    }
}

/// A line of a graph, or one line for each value of a dimension.
#[derive(Clone)]
struct Series {
    namespace: &'static str,
    metric: String,
    /// Names and values. `{stack}` is the name of the stack.
    dimensions: Vec<(&'static str, String)>,
    /// The dimension with one line for each value.
    by: Option<String>,
    statistic: &'static str,
    label: String,
}

/// A metric of `localstack/metrics.json`.
struct Declared {
    name: String,
    services: Vec<String>,
    dimension: Option<String>,
    is_fault: bool,
}

fn declared() -> Vec<Declared> {
    let metrics: Value = serde_json::from_str(&source("localstack/metrics.json")).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let metric = |metric: &Value| Declared {
        name: text(&metric["name"]).unwrap(),
        services: metric["services"].as_array().unwrap().iter().filter_map(text).collect(),
        dimension: text(&metric["dimension"]),
        is_fault: metric["sent"] == "faults",
    };
    metrics.as_array().unwrap().iter().map(metric).collect()
}

/// The lines of a metric of the shop, one for each service that sends it.
fn ours(name: &str, statistic: &'static str) -> Vec<Series> {
    let declared = declared();
    let metric = declared
        .iter()
        .find(|metric| metric.name == name)
        .unwrap_or_else(|| panic!("localstack/metrics.json lacks the metric {name}"));
    let series = |service: &String| Series {
        namespace: "Ferrocart",
        metric: name.to_owned(),
        dimensions: vec![("service", service.clone()), ("stack", "{stack}".to_owned())],
        by: metric.dimension.clone(),
        statistic,
        label: if metric.services.len() > 1 { service.clone() } else { words(name) },
    };
    metric.services.iter().map(series).collect()
}

/// `orders placed` of `OrdersPlaced`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

fn heading(title: &str) -> Widget {
    Widget::Heading(title.to_owned())
}

fn graph(title: &str, width: u64, unit: Unit, series: Vec<Series>) -> Widget {
    Widget::Graph(Graph { title: title.to_owned(), width, unit, series })
}

pub fn dashboards() -> [Dashboard; 2] {
    [
        Dashboard { name: "shop", title: "Ferrocart: shop", widgets: shop_widgets() },
        Dashboard {
            name: "operations",
            title: "Ferrocart: operations",
            widgets: operations_widgets(),
        },
    ]
}

fn shop_widgets() -> Vec<Widget> {
    let placed_and_confirmed =
        [ours("OrdersPlaced", "Sum"), ours("OrdersConfirmed", "Sum")].concat();
    let confirmation = ["p50", "p99"].map(|statistic| {
        let mut series = ours("SecondsToConfirm", statistic);
        series.iter_mut().for_each(|series| series.label = statistic.to_owned());
        series
    });
    let oldest = [
        ours("OldestUnsettledOrderSeconds", "Maximum"),
        ours("OldestUnsettledPaymentSeconds", "Maximum"),
    ];
    vec![
        heading("Orders"),
        graph("Orders placed and confirmed", 8, Unit::Count, placed_and_confirmed),
        graph("Orders not fulfilled, by reason", 8, Unit::Count, ours("OrdersFailed", "Sum")),
        graph("Stock-outs", 8, Unit::Count, ours("StockOuts", "Sum")),
        graph("Time from placed to confirmed", 12, Unit::Seconds, confirmation.concat()),
        graph("Longest wait of an unsettled record", 12, Unit::Seconds, oldest.concat()),
        heading("Money"),
        graph("Revenue, by currency", 12, Unit::MinorUnits, ours("Revenue", "Sum")),
        graph("Refunded amount, by currency", 12, Unit::MinorUnits, ours("RefundedAmount", "Sum")),
        graph("Payment attempts, by outcome", 12, Unit::Count, ours("PaymentOutcomes", "Sum")),
        graph("Refunds, by outcome", 12, Unit::Count, ours("Refunds", "Sum")),
        heading("Deliveries between services"),
        graph("Commands sent again, by command", 8, Unit::Count, ours("CommandsResent", "Sum")),
        graph("Dead letters", 8, Unit::Count, queues_depth(&dead_letter_queues())),
        graph("Server errors, by service", 8, Unit::Count, ours("ServerErrors", "Sum")),
    ]
}

fn operations_widgets() -> Vec<Widget> {
    let mut widgets = vec![
        heading("API"),
        graph("Requests", 8, Unit::Count, api("Count", &["SampleCount"])),
        graph(
            "4xx and 5xx responses",
            8,
            Unit::Count,
            [api("4XXError", &["Sum"]), api("5XXError", &["Sum"])].concat(),
        ),
        graph("Server errors, by service", 8, Unit::Count, ours("ServerErrors", "Sum")),
        graph("Latency", 8, Unit::Milliseconds, api("Latency", &["p50", "p99"])),
        graph(
            "Latency of functions",
            8,
            Unit::Milliseconds,
            api("IntegrationLatency", &["p50", "p99"]),
        ),
        graph(
            "Cache of the gateway",
            8,
            Unit::Count,
            [api("CacheHitCount", &["Sum"]), api("CacheMissCount", &["Sum"])].concat(),
        ),
        Widget::AccessLog {
            title: "Requests, from the access lines of functions",
            query: "filter type = 'request' | stats count(*) as requests, sum(status >= 500) as server_errors, pct(duration_ms, 50) as median_ms, pct(duration_ms, 99) as p99_ms by service, operation | sort requests desc",
        },
    ];
    for service in services() {
        widgets.push(heading(&format!("Functions of {service}")));
        for (number, (title, metric, statistic, unit)) in OF_EACH_OPERATION.into_iter().enumerate()
        {
            let of_service = shop::operations().filter(|operation| operation.service == service);
            let series = of_service.map(|operation| of_function(operation, metric, statistic));
            widgets.push(graph(title, if number < 3 { 8 } else { 12 }, unit, series.collect()));
        }
    }
    let queues: Vec<String> = shop::queues().map(str::to_owned).collect();
    widgets.extend([
        heading("Queues and streams"),
        graph("Messages that wait", 12, Unit::Count, queues_depth(&queues)),
        graph(
            "Age of the oldest message",
            12,
            Unit::Seconds,
            of_queues(&queues, "ApproximateAgeOfOldestMessage"),
        ),
        graph("Dead letters", 12, Unit::Count, queues_depth(&dead_letter_queues())),
        graph("Age of the oldest change of a stream", 12, Unit::Milliseconds, iterator_ages()),
    ]);
    widgets.push(heading("Tables"));
    let of_tables =
        |metric: &str| tables().iter().map(|(table, _)| of_table(table, metric, None)).collect();
    let indexed = tables().into_iter().filter(|(_, has_indexes)| *has_indexes);
    let of_indexes = indexed
        .map(|(table, _)| of_table(&table, "WriteThrottleEvents", Some("GlobalSecondaryIndexName")))
        .collect();
    widgets.extend([
        graph("Throttled reads", 8, Unit::Count, of_tables("ReadThrottleEvents")),
        graph("Throttled writes", 8, Unit::Count, of_tables("WriteThrottleEvents")),
        graph("Throttled writes of indexes", 8, Unit::Count, of_indexes),
        graph("Read units", 12, Unit::CapacityUnits, of_tables("ConsumedReadCapacityUnits")),
        graph("Write units", 12, Unit::CapacityUnits, of_tables("ConsumedWriteCapacityUnits")),
    ]);
    widgets.push(heading("Faults"));
    let faults: Vec<Declared> = declared()
        .into_iter()
        .filter(|metric| metric.is_fault && metric.name != "ServerErrors")
        .collect();
    for service in services() {
        let of_service = faults.iter().filter(|metric| metric.services.contains(&service));
        let series: Vec<Series> = of_service
            .flat_map(|metric| ours(&metric.name, "Sum"))
            .filter(|series| series.dimensions[0].1 == service)
            .map(|series| Series { label: words(&series.metric), ..series })
            .collect();
        if !series.is_empty() {
            widgets.push(graph(&format!("Faults of {service}"), 8, Unit::Count, series));
        }
    }
    widgets
}

/// The services in the order of their operations.
fn services() -> Vec<String> {
    let mut services: Vec<String> =
        shop::operations().map(|operation| operation.service.to_owned()).collect();
    services.dedup();
    services
}

/// A metric of the stage, one line for each statistic.
fn api(metric: &str, statistics: &[&'static str]) -> Vec<Series> {
    let series = |statistic: &&'static str| Series {
        namespace: "AWS/ApiGateway",
        metric: metric.to_owned(),
        dimensions: vec![("ApiName", "{stack}".to_owned()), ("Stage", "v1".to_owned())],
        by: None,
        statistic,
        label: if statistics.len() > 1 { (*statistic).to_owned() } else { metric.to_owned() },
    };
    statistics.iter().map(series).collect()
}

/// A metric of Lambda for the invocations through the alias `live`.
fn of_function(operation: &Operation, metric: &str, statistic: &'static str) -> Series {
    let name = operation.name();
    let function = format!("{{stack}}-{name}");
    let resource = format!("{function}:live");
    Series {
        namespace: "AWS/Lambda",
        metric: metric.to_owned(),
        dimensions: vec![("FunctionName", function), ("Resource", resource)],
        by: None,
        statistic,
        label: name,
    }
}

/// The age of the changes that a publisher has not read. Lambda measures it by function.
fn iterator_ages() -> Vec<Series> {
    let publishers =
        shop::operations().filter(|operation| matches!(operation.trigger, Trigger::Stream { .. }));
    let age = |operation: &Operation| Series {
        namespace: "AWS/Lambda",
        metric: "IteratorAge".to_owned(),
        dimensions: vec![("FunctionName", format!("{{stack}}-{}", operation.name()))],
        by: None,
        statistic: "Maximum",
        label: operation.name(),
    };
    publishers.map(age).collect()
}

/// The dead-letter queues of queues and of publishers, and the queue of undelivered events.
fn dead_letter_queues() -> Vec<String> {
    let of_queues = shop::queues().map(|queue| format!("{queue}-dead-letter"));
    let of_publishers = shop::operations().filter_map(Operation::dead_letter_queue);
    of_queues.chain(of_publishers).chain(["undelivered-events".to_owned()]).collect()
}

fn queues_depth(queues: &[String]) -> Vec<Series> {
    of_queues(queues, "ApproximateNumberOfMessagesVisible")
}

fn of_queues(queues: &[String], metric: &str) -> Vec<Series> {
    let series = |queue: &String| Series {
        namespace: "AWS/SQS",
        metric: metric.to_owned(),
        dimensions: vec![("QueueName", format!("{{stack}}-{queue}"))],
        by: None,
        statistic: "Maximum",
        label: queue.clone(),
    };
    queues.iter().map(series).collect()
}

/// The tables of the templates, and whether each one has indexes.
fn tables() -> Vec<(String, bool)> {
    let tables = template::template().tables();
    let table = |(name, properties): (String, Value)| {
        let name = name.trim_start_matches(&format!("{STACK}-")).to_owned();
        (name, properties["GlobalSecondaryIndexes"].is_array())
    };
    tables.into_iter().map(table).collect()
}

fn of_table(table: &str, metric: &str, by: Option<&str>) -> Series {
    Series {
        namespace: "AWS/DynamoDB",
        metric: metric.to_owned(),
        dimensions: vec![("TableName", format!("{{stack}}-{table}"))],
        by: by.map(str::to_owned),
        statistic: "Sum",
        label: table.to_owned(),
    }
}

/// A widget with its position in the grid.
struct Placed<'a> {
    x: u64,
    y: u64,
    width: u64,
    height: u64,
    widget: &'a Widget,
}

/// Places the widgets from left to right in rows. A heading starts a row.
fn placed<'a>(widgets: impl IntoIterator<Item = &'a Widget>) -> Vec<Placed<'a>> {
    let (mut x, mut y, mut row_height) = (0, 0, 0);
    let mut placed = Vec::new();
    for widget in widgets {
        let (width, height) = match widget {
            Widget::Heading(_) => (COLUMNS, 1),
            Widget::Graph(graph) => (graph.width, GRAPH_HEIGHT),
            Widget::AccessLog { .. } => (COLUMNS, GRAPH_HEIGHT),
        };
        if x + width > COLUMNS {
            (x, y) = (0, y + row_height);
            row_height = 0;
        }
        placed.push(Placed { x, y, width, height, widget });
        x += width;
        row_height = row_height.max(height);
    }
    placed
}

impl Series {
    /// The label of a line for each value of a dimension. CloudWatch fills in the value. In
    /// `Fn::Sub`, `${!` is a literal `${`.
    fn label_by(&self, by: &str, open: &str) -> String {
        let value = format!("{open}PROP('Dim.{by}')}}");
        if self.namespace == "Ferrocart" { value } else { format!("{} {value}", self.label) }
    }
}

/// A declared metric that no dashboard shows costs money without use.
#[test]
fn every_metric_is_on_a_dashboard() {
    let shown: Vec<String> = dashboards()
        .iter()
        .flat_map(|dashboard| &dashboard.widgets)
        .filter_map(|widget| if let Widget::Graph(graph) = widget { Some(graph) } else { None })
        .flat_map(|graph| &graph.series)
        .filter(|series| series.namespace == "Ferrocart")
        .map(|series| format!("{} of {}", series.metric, series.dimensions[0].1))
        .collect();
    let mut violations = Vec::new();
    for metric in declared() {
        for service in &metric.services {
            let name = format!("{} of {service}", metric.name);
            if !shown.contains(&name) {
                violations.push(format!(
                    "no dashboard shows {name}: add it in tests/repository/dashboards.rs"
                ));
            }
        }
    }
    none(violations);
}

/// `localstack/metrics.json` is the list from which dashboards and `make cost` follow.
#[test]
fn metrics_in_the_code_are_declared_for_dashboards_and_cost() {
    let sent: std::collections::BTreeSet<(&str, &str)> =
        tests::shop::metrics().map(|metric| (metric.service, metric.name)).collect();
    let declared = declared();
    let listed: std::collections::BTreeSet<(&str, &str)> = declared
        .iter()
        .flat_map(|metric| {
            metric.services.iter().map(|service| (service.as_str(), metric.name.as_str()))
        })
        .collect();
    let missing = sent.difference(&listed);
    let mut violations: Vec<String> = missing
        .map(|(service, name)| {
            format!("localstack/metrics.json lacks the metric {name} of {service}")
        })
        .collect();
    violations.extend(listed.difference(&sent).map(|(service, name)| {
        format!("{service} does not send the metric {name}: remove it from localstack/metrics.json")
    }));
    none(violations);
}
