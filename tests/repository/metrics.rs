//! Metrics: each is described, has bounded dimensions, is recorded by its service, is moved by a
//! test and is listed in `functions/README.md`. Alarms watch metrics that exist.
//!
//! The constant of the metric `OrdersPlaced` is `ORDERS_PLACED`. A test moves it if it passes
//! `&orders::metrics::ORDERS_PLACED`, or `metrics::SERVER_ERRORS.of(service)` for a metric that
//! several services share, to a method of `shared::metrics::Capture`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use regex::Regex;
use serde_json::Value;
use shared::{
    metrics::{DIMENSIONS, Metric, NAMESPACE, Unit},
    operation::Trigger,
};
use tests::{
    shop,
    template::{self, root},
};

use super::{all_files, none, source};

/// Names of dimensions. An id, an address or a path as a dimension is billed as one metric for each
/// value.
const ALLOWED_DIMENSIONS: [&str; 4] = ["command", "currency", "outcome", "reason"];
const MAX_VALUES: usize = 12;

/// `ORDERS_PLACED` of `OrdersPlaced`.
fn constant(metric: &Metric) -> String {
    let mut name = String::new();
    for character in metric.name.chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}

/// Whether the metric is one of `shared::metrics`.
fn is_shared(metric: &Metric) -> bool {
    source("shared/src/metrics.rs")
        .contains(&format!("\npub const {}: SharedMetric", constant(metric)))
}

#[test]
fn metrics_have_descriptions_and_bounded_dimensions() {
    let mut violations = Vec::new();
    let mut names = BTreeSet::new();
    for metric in shop::metrics() {
        let Metric { service, name, unit, dimension, description } = metric;
        if !names.insert((service, name)) {
            violations.push(format!("{service} lists {name} twice"));
        }
        if description.len() < 10 || description.ends_with('.') {
            violations
                .push(format!("{name} of {service} needs a description without a final period"));
        }
        let currency = dimension.is_some_and(|dimension| dimension.name == "currency");
        if currency != (*unit == Unit::MinorUnits) {
            violations.push(format!(
                "{name} of {service} needs the dimension currency exactly if its unit is MinorUnits"
            ));
        }
        if name.ends_with("Seconds") != (*unit == Unit::Seconds)
            && !(name.starts_with("SecondsTo") && *unit == Unit::Seconds)
        {
            violations
                .push(format!("{name} of {service}: only metrics in Seconds say so in their name"));
        }
        let Some(dimension) = dimension else { continue };
        let is_plain = |value: &&&str| {
            !value.is_empty() && value.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
        };
        if !ALLOWED_DIMENSIONS.contains(&dimension.name)
            || !(1..=MAX_VALUES).contains(&dimension.values.len())
            || dimension.values.iter().filter(is_plain).count() != dimension.values.len()
        {
            violations.push(format!(
                "{name} of {service}: use one of the dimensions {ALLOWED_DIMENSIONS:?} with at most {MAX_VALUES} plain values"
            ));
        }
    }
    assert!(names.len() > 50, "{names:?}");
    none(violations);
}

#[test]
fn services_list_the_metrics_of_their_triggers() {
    let listed: BTreeSet<(&str, &str)> =
        shop::metrics().map(|metric| (metric.service, metric.name)).collect();
    let mut violations = BTreeSet::new();
    for operation in shop::operations() {
        let needed: &[&str] = match operation.trigger {
            Trigger::Queue(_) => &["PoisonMessage", "MessageDelayed", "ServerErrors"],
            Trigger::Stream { .. } => &["UnpublishableChange", "ServerErrors"],
            Trigger::Http(_) | Trigger::Pages(_) | Trigger::Invoke => &["ServerErrors"],
        };
        for name in needed.iter().filter(|name| !listed.contains(&(operation.service, **name))) {
            violations.insert(format!("add {name} to METRICS of {}", operation.service));
        }
    }
    none(violations.into_iter().collect());
}

/// The code of a folder without tests: the text of all files.
fn deployed_code(folder: &str) -> String {
    let files = all_files(folder, "rs").into_iter();
    let code =
        files.map(|(_, text)| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
    code.collect()
}

#[test]
fn each_metric_is_declared_once_and_recorded_by_its_service() {
    let shared_code = deployed_code("shared/src");
    let mut violations = Vec::new();
    for metric in shop::metrics() {
        let (service, name) = (metric.service, constant(metric));
        let code = deployed_code(&format!("functions/{service}/src"));
        let declaration = format!("pub const {name}:");
        // The declaration and the list of METRICS; every further use records the metric.
        let uses = Regex::new(&format!(r"\b{name}\b")).unwrap().find_iter(&code).count();
        let in_shared = Regex::new(&format!(r"metrics::{name}\.of\(")).unwrap();
        let is_recorded = if code.contains(&declaration) {
            uses > 2 + usize::from(is_shared(metric))
        } else {
            is_shared(metric) && in_shared.is_match(&shared_code)
        };
        if !is_recorded {
            violations.push(format!("{service} declares {name} and never records it"));
        }
        if code.matches(&declaration).count() > 1 {
            violations.push(format!("{service} declares {name} more than once"));
        }
    }
    none(violations);
}

#[test]
fn each_metric_is_moved_by_a_test() {
    let tests: String = ["stores", "edge", "identity", "journeys", "integration"]
        .into_iter()
        .flat_map(|folder| all_files(&format!("tests/{folder}"), "rs"))
        .map(|(_, text)| text)
        .collect();
    let mut violations = Vec::new();
    for metric in shop::metrics() {
        let (service, name) = (metric.service, constant(metric));
        let read = r"\.(total|total_of|values)\(\s*&";
        let own = Regex::new(&format!(r"{read}{service}::metrics::{name}\b")).unwrap();
        let shared = Regex::new(&format!(r"{read}metrics::{name}\.of\(")).unwrap();
        if !(own.is_match(&tests) || is_shared(metric) && shared.is_match(&tests)) {
            violations.push(format!(
                "no test moves {} of {service}: compare Capture::total(&{service}::metrics::{name}) in tests/stores",
                metric.name
            ));
        }
    }
    none(violations);
}

/// An alarm never fires if no metric has its name and dimensions.
#[test]
fn alarms_watch_metrics_with_their_dimensions() {
    let mut violations = Vec::new();
    let mut watched = 0;
    for (id, alarm) in template::template()
        .resources("AWS::CloudWatch::Alarm")
        .filter(|(_, alarm)| alarm["Properties"]["Namespace"] == NAMESPACE)
    {
        watched += 1;
        let properties = &alarm["Properties"];
        let dimensions: BTreeMap<&str, &Value> = properties["Dimensions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| Some((one["Name"].as_str()?, &one["Value"])))
            .collect();
        let is_watched = |metric: &&Metric| {
            properties["MetricName"] == metric.name
                && dimensions.get("service").is_some_and(|service| **service == metric.service)
        };
        let Some(metric) = shop::metrics().find(is_watched) else {
            violations.push(format!(
                "{id} watches {}, which no service declares",
                properties["MetricName"]
            ));
            continue;
        };
        let names: BTreeSet<&str> = dimensions.keys().copied().collect();
        if names != metric.dimension_names().into_iter().collect() {
            violations.push(format!(
                "{id} watches the dimensions {names:?}, but {} has {:?}: it would never fire",
                metric.name,
                metric.dimension_names()
            ));
        }
        let of = metric
            .dimension
            .and_then(|dimension| Some((dimension, dimensions.get(dimension.name)?)));
        if of.is_some_and(|(dimension, value)| {
            !value.as_str().is_some_and(|value| dimension.values.contains(&value))
        }) {
            violations.push(format!("{id} watches a value that its dimension does not have"));
        }
    }
    assert!(watched > 10 && DIMENSIONS.contains(&"stack"), "two stacks would share their alarms");
    none(violations);
}

const BEGIN: &str = "--- metrics: begin";
const END: &str = "--- metrics: end";

/// The table of all metrics: services with the same metric share its row.
fn table() -> String {
    let mut rows: Vec<(&Metric, Vec<&str>)> = Vec::new();
    for metric in shop::metrics() {
        let is_same = |(row, _): &&mut (&Metric, Vec<&str>)| {
            Metric { service: "", ..**row } == Metric { service: "", ..*metric }
        };
        match rows.iter_mut().find(is_same) {
            Some((_, services)) => services.push(metric.service),
            None => rows.push((metric, vec![metric.service])),
        }
    }
    rows.sort_by_key(|(metric, services)| (metric.name, services.clone()));
    let mut text = String::from(
        "\n| metric | services | unit | dimension | meaning |\n|---|---|---|---|---|\n",
    );
    for (Metric { name, unit, dimension, description, .. }, services) in rows {
        let dimension = dimension.map_or_else(String::new, |dimension| {
            format!("`{}`: {}", dimension.name, dimension.values.join(", "))
        });
        let unit = if *unit == Unit::MinorUnits { "minor units" } else { unit.name() };
        let unit = unit.to_lowercase();
        writeln!(
            text,
            "| `{name}` | {} | {unit} | {dimension} | {description} |",
            services.join(", ")
        )
        .unwrap();
    }
    text.push('\n');
    text
}

/// `make template` writes the table.
#[test]
fn generated_parts_list_every_metric() {
    let file = "functions/README.md";
    let text = source(file);
    let begin = text.find(BEGIN).unwrap_or_else(|| panic!("{file} has lost its line {BEGIN:?}"));
    let begin = begin + text[begin..].find('\n').unwrap() + 1;
    let end = text.find(END).unwrap_or_else(|| panic!("{file} has lost its line {END:?}"));
    let end = text[..end].rfind('\n').unwrap() + 1;
    let wanted = format!("{}{}{}", &text[..begin], table(), &text[end..]);
    if super::generated::asked_to_update() {
        std::fs::write(root().join(file), wanted).unwrap();
    } else {
        assert!(
            wanted == text,
            "{file} does not list the metrics that services declare: run make template"
        );
    }
}
