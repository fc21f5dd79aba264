//! Each alarm watches an existing metric, notifies the topic, and links to its paragraph of the
//! runbook. `Alarms=essential` keeps the alarms about money, orders, dead letters and 5xx answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::template::{self, STACK, Template};

use super::{functions, none, services, source};

const RUNBOOK: &str = "localstack/README.md";

/// The topic of alarms, as the services refer to it.
const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:ferrocart-alarms";

/// Metrics whose alarm is essential, each with the reason.
const ESSENTIAL: [(&str, &str); 11] = [
    ("ApproximateNumberOfMessagesVisible", "dead letters"),
    ("5XXError", "5xx answers of the API"),
    ("OldestUnsettledOrderSeconds", "orders"),
    ("RetriesExhausted", "orders, and payments without an outcome"),
    ("NeedsReview", "money: a refund failed, or the provider contradicts a record"),
    ("DuplicateCapture", "money"),
    ("PaymentDisputed", "money: a dispute has a deadline"),
    ("ProviderRequestRejected", "money: no payment succeeds"),
    ("CircuitBreakerOpened", "money: no payment succeeds"),
    ("LedgerUnbalanced", "money"),
    ("LedgerMismatch", "money"),
];

/// The sweeps without which orders and payments do not settle. Every alarm on them is essential.
const ESSENTIAL_SWEEPS: [&str; 2] = ["resume-orders", "reconcile-payments"];

/// The alarms that notify: logical id, condition and resolved properties. The alarms of releases do
/// not: CodeDeploy reads them (`releases`).
fn alarms(template: &Template) -> Vec<(String, Option<String>, Value)> {
    let alarm = |(id, alarm): (&str, &Value)| {
        let condition = alarm["Condition"].as_str().map(str::to_owned);
        (id.to_owned(), condition, template.resolve(&alarm["Properties"]))
    };
    let notifies = |(_, alarm): &(&str, &Value)| alarm["Condition"] != "HasCanary";
    template.resources("AWS::CloudWatch::Alarm").filter(notifies).map(alarm).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn dimensions(alarm: &Value) -> BTreeMap<&str, &str> {
    let dimensions = alarm["Dimensions"].as_array().into_iter().flatten();
    dimensions.map(|one| (text(&one["Name"]), text(&one["Value"]))).collect()
}

/// The paragraphs of the runbook about single alarms, by name.
fn paragraphs() -> BTreeMap<String, String> {
    let runbook = source(RUNBOOK);
    let sections = runbook.split("\n### ").skip(1).filter_map(|section| section.split_once('\n'));
    let paragraph = |(name, rest): (&str, &str)| {
        let until_the_next_heading = rest.split("\n#").next().unwrap_or_default();
        (name.to_owned(), until_the_next_heading.trim().to_owned())
    };
    sections.filter(|(name, _)| name.ends_with("Alarm")).map(paragraph).collect()
}

#[test]
fn every_alarm_links_to_its_paragraph_of_the_runbook() {
    let template = template::template();
    let paragraphs = paragraphs();
    let mut violations = Vec::new();
    for (id, _) in template.resources("AWS::CloudWatch::Alarm") {
        let description = &template.resource(id)["Properties"]["AlarmDescription"]["Fn::Sub"];
        let link = format!(" ${{RunbookUrl}}#{}", id.to_lowercase());
        if !text(description).ends_with(&link) || text(description).len() < link.len() + 20 {
            violations.push(format!(
                "{id}: AlarmDescription is not a sentence that is followed by the link \"{}\"",
                link.trim()
            ));
        }
        if paragraphs.get(id).is_none_or(|paragraph| paragraph.len() < 60) {
            violations.push(format!("{RUNBOOK} has no paragraph \"### {id}\""));
        }
    }
    for name in paragraphs.keys().filter(|name| template.resource(name).is_null()) {
        violations.push(format!("{RUNBOOK} has a paragraph about {name}, which does not exist"));
    }
    none(violations);
}

#[test]
fn every_alarm_is_complete_and_notifies_the_topic() {
    let mut violations = Vec::new();
    for (id, _, alarm) in alarms(template::template()) {
        for name in [
            "Namespace",
            "MetricName",
            "Statistic",
            "Period",
            "EvaluationPeriods",
            "ComparisonOperator",
            "Threshold",
            "TreatMissingData",
        ] {
            if alarm[name].is_null() {
                violations.push(format!("{id} lacks {name}"));
            }
        }
        let actions = alarm["AlarmActions"].as_array().cloned().unwrap_or_default();
        if actions.len() != 1 || text(&actions[0]) != TOPIC {
            violations.push(format!("{id} notifies {actions:?}, not the topic of alarms"));
        }
        let is_a_level = text(&alarm["MetricName"]).contains("Age")
            || text(&alarm["MetricName"]).contains("Seconds")
            || text(&alarm["Namespace"]) == "AWS/SQS";
        let expected = if is_a_level { "Maximum" } else { "Sum" };
        if alarm["Statistic"] != expected {
            violations.push(format!("{id} needs the statistic {expected}: {}", alarm["Statistic"]));
        }
    }
    none(violations);
}

/// An alarm on a metric that nothing sends never fires.
#[test]
fn every_alarm_watches_a_metric_of_an_existing_resource() {
    let template = template::template();
    let queues: BTreeSet<String> = template
        .resources("AWS::SQS::Queue")
        .map(|(_, queue)| text(&template.resolve(&queue["Properties"]["QueueName"])).to_owned())
        .collect();
    let functions: BTreeSet<String> =
        functions(template).into_keys().map(|name| format!("{STACK}-{name}")).collect();
    let (_, api) = template.resources("AWS::Serverless::Api").next().unwrap();
    let api = template.resolve(&api["Properties"]);
    let declared: Value = serde_json::from_str(&source("localstack/metrics.json")).unwrap();
    let mut violations = Vec::new();
    for (id, _, alarm) in alarms(template) {
        let (namespace, metric) = (text(&alarm["Namespace"]), text(&alarm["MetricName"]));
        let dimensions = dimensions(&alarm);
        let names: Vec<&str> = dimensions.keys().copied().collect();
        let exists = match (namespace, metric) {
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible" | "ApproximateAgeOfOldestMessage") => {
                names == ["QueueName"] && queues.contains(dimensions["QueueName"])
            }
            ("AWS/Lambda", "Throttles") if names.is_empty() => true,
            ("AWS/Lambda", "Errors" | "Invocations" | "IteratorAge") => {
                names == ["FunctionName"] && functions.contains(dimensions["FunctionName"])
            }
            ("AWS/ApiGateway", "5XXError") => {
                names == ["ApiName", "Stage"]
                    && api["Name"] == dimensions["ApiName"]
                    && api["StageName"] == dimensions["Stage"]
            }
            ("Ferrocart", _) => {
                names == ["service", "stack"]
                    && dimensions["stack"] == STACK
                    && declared.as_array().unwrap().iter().any(|one| {
                        one["name"] == metric
                            && one["dimension"].is_null()
                            && one["services"]
                                .as_array()
                                .unwrap()
                                .iter()
                                .any(|service| service == dimensions["service"])
                    })
            }
            _ => false,
        };
        if !exists {
            violations.push(format!(
                "{id} watches {namespace} {metric} {dimensions:?}, which nothing sends"
            ));
        }
    }
    none(violations);
}

/// Why the alarm is essential, if it is.
fn reason(alarm: &Value) -> Option<&'static str> {
    let function = dimensions(alarm).get("FunctionName").copied().unwrap_or_default();
    let sweep = function.trim_start_matches(&format!("{STACK}-")).to_owned();
    if ESSENTIAL_SWEEPS.contains(&sweep.as_str()) {
        return Some("orders and payments do not settle");
    }
    let metric = text(&alarm["MetricName"]);
    ESSENTIAL.iter().find(|(name, _)| *name == metric).map(|(_, reason)| *reason)
}

#[test]
fn essential_alarms_are_those_about_money_orders_dead_letters_and_5xx() {
    let template = template::template();
    let paragraphs = paragraphs();
    let mut violations = Vec::new();
    for (id, condition, alarm) in alarms(template) {
        let reason = reason(&alarm);
        let expected = if reason.is_some() { None } else { Some("AllAlarms") };
        if condition.as_deref() != expected {
            violations.push(format!(
                "{id} is essential: {reason:?}, so its condition is {expected:?}, not {condition:?}"
            ));
        }
        let is_marked = paragraphs.get(&id).is_some_and(|one| one.starts_with("*Essential.*"));
        if is_marked != reason.is_some() {
            violations.push(format!("the paragraph of {id} in {RUNBOOK} must start with *Essential.* if it is, and only then"));
        }
    }
    none(violations);
    assert!(template.condition("AllAlarms"), "all alarms are the default");
    assert!(!template.with(&[("Alarms", "essential")]).condition("AllAlarms"));
}

#[test]
fn every_service_has_an_alarm_on_its_server_errors() {
    let alarms = alarms(template::template());
    let mut violations = Vec::new();
    for service in services() {
        let of_service = |(_, _, alarm): &&(String, Option<String>, Value)| {
            alarm["MetricName"] == "ServerErrors"
                && dimensions(alarm).get("service") == Some(&service.as_str())
        };
        if !alarms.iter().any(|alarm| of_service(&alarm)) {
            violations.push(format!("{service} has no alarm on ServerErrors: add it to functions/{service}/template.yaml"));
        }
    }
    none(violations);
}
