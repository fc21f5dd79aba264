//! Each alarm watches an existing metric, notifies the topic, and links to its paragraph of the
//! runbook. `Alarms=essential` keeps the alarms about money, orders, dead letters and 5xx answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::template::{self, STACK, Template};

use super::{functions, none, services, source};

const RUNBOOK: &str = "localstack/README.md";

/// The topic of alarms, as the services refer to it.
const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:ferrocart-alarms";

/// Metrics whose alarm is essential, each with the reason.
const ESSENTIAL: [(&str, &str); 12] = [
    ("ApproximateNumberOfMessagesVisible", "dead letters"),
    ("5XXError", "5xx answers of the API"),
    ("OldestUnsettledOrderSeconds", "orders"),
    ("OrderWithoutMarket", "orders: buyers cannot place one"),
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

/// A metric that an alarm watches, alone or in metric math.
struct Watched {
    id: String,
    namespace: String,
    metric: String,
    dimensions: BTreeMap<String, String>,
}

/// The metrics of all alarms, with those of the alarms of releases.
fn watched(template: &Template) -> Vec<Watched> {
    let mut watched = Vec::new();
    for (id, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        let properties = template.resolve(&alarm["Properties"]);
        let in_math = properties["Metrics"].as_array().cloned().unwrap_or_default();
        let in_math = in_math.into_iter().map(|one| one["MetricStat"]["Metric"].clone());
        for one in in_math.chain([properties]).filter(|one| one["MetricName"].is_string()) {
            let named = dimensions(&one).into_iter();
            watched.push(Watched {
                id: id.to_owned(),
                namespace: text(&one["Namespace"]).to_owned(),
                metric: text(&one["MetricName"]).to_owned(),
                dimensions: named
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
            });
        }
    }
    watched
}

/// The resources of the template by the dimension that names them in metrics.
struct Resources {
    queues: BTreeSet<String>,
    /// Logical ids by name.
    functions: BTreeMap<String, String>,
    api: Value,
}

impl Resources {
    fn of(template: &Template) -> Self {
        let name = |(_, queue): (&str, &Value)| {
            text(&template.resolve(&queue["Properties"]["QueueName"])).to_owned()
        };
        let function = |(name, (id, _)): (String, (String, Value))| (format!("{STACK}-{name}"), id);
        let (_, api) = template.resources("AWS::Serverless::Api").next().unwrap();
        Self {
            queues: template.resources("AWS::SQS::Queue").map(name).collect(),
            functions: functions(template).into_iter().map(function).collect(),
            api: template.resolve(&api["Properties"]),
        }
    }

    /// Whether each dimension has the name of an existing resource. A release watches the alias
    /// `live` and its own version of a function.
    fn have(&self, dimensions: &BTreeMap<String, String>) -> bool {
        let function = dimensions.get("FunctionName").map_or("", String::as_str);
        dimensions.iter().all(|(name, value)| match name.as_str() {
            "QueueName" => self.queues.contains(value),
            "FunctionName" => self.functions.contains_key(value),
            "Resource" => *value == format!("{function}:live"),
            "ExecutedVersion" => {
                let id = self.functions.get(function);
                id.is_some_and(|id| *value == format!("arn:{id}:Version.Version"))
            }
            "ApiName" => self.api["Name"] == **value,
            "Stage" => self.api["StageName"] == **value,
            _ => false,
        })
    }
}

/// The combinations of dimensions, in alphabetical order, with which AWS publishes a metric. With
/// another combination an alarm gets no data.
///
/// Sources: "Available CloudWatch metrics for Amazon SQS" (Amazon SQS Developer Guide), "Viewing
/// metrics for Lambda functions" (AWS Lambda Developer Guide), "Amazon API Gateway dimensions and
/// metrics" (Amazon API Gateway Developer Guide).
const PUBLISHED: [(&str, &str, &[&[&str]]); 7] = [
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", &[&["QueueName"]]),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage", &[&["QueueName"]]),
    ("AWS/Lambda", "Errors", OF_LAMBDA),
    ("AWS/Lambda", "Invocations", OF_LAMBDA),
    ("AWS/Lambda", "Throttles", OF_LAMBDA),
    ("AWS/Lambda", "IteratorAge", OF_LAMBDA),
    ("AWS/ApiGateway", "5XXError", &[&["ApiName"], &["ApiName", "Stage"]]),
];

/// All functions of the account, a function, its alias, a version behind its alias.
const OF_LAMBDA: &[&[&str]] = &[
    &[],
    &["FunctionName"],
    &["FunctionName", "Resource"],
    &["ExecutedVersion", "FunctionName", "Resource"],
];

/// An alarm on a metric that nothing sends never fires.
#[test]
fn every_alarm_watches_a_metric_of_an_existing_resource() {
    let template = template::template();
    let resources = Resources::of(template);
    let declared: Value = serde_json::from_str(&source("localstack/metrics.json")).unwrap();
    let mut violations = Vec::new();
    for Watched { id, namespace, metric, dimensions } in watched(template) {
        let names: Vec<&str> = dimensions.keys().map(String::as_str).collect();
        let exists = if namespace == "Ferrocart" {
            names == ["service", "stack"]
                && dimensions["stack"] == STACK
                && declared.as_array().unwrap().iter().any(|one| {
                    let mut services = one["services"].as_array().unwrap().iter();
                    one["name"] == *metric
                        && one["dimension"].is_null()
                        && services.any(|service| *service == *dimensions["service"])
                })
        } else {
            let published = PUBLISHED.iter().find(|one| (one.0, one.1) == (&*namespace, &*metric));
            published.is_some_and(|(_, _, sets)| sets.iter().any(|set| names == **set))
                && resources.have(&dimensions)
        };
        if !exists {
            violations.push(format!(
                "{id} watches {namespace} {metric} {dimensions:?}, which nothing sends"
            ));
        }
    }
    none(violations);
}

/// The ends of the logical ids of alarms on AWS's metrics: the metric, the dimension, and the end
/// of the resource's name after the name in the logical id.
const BY_NAME: [(&str, &str, &str, &str, &str); 5] = [
    (
        "DeadLetterQueueAlarm",
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        "QueueName",
        "-dead-letter",
    ),
    ("QueueAgeAlarm", "AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", ""),
    ("IteratorAgeAlarm", "AWS/Lambda", "IteratorAge", "FunctionName", ""),
    ("HeartbeatAlarm", "AWS/Lambda", "Invocations", "FunctionName", ""),
    ("ErrorsAlarm", "AWS/Lambda", "Errors", "FunctionName", ""),
];

/// What an alarm watches according to its logical id: namespace, metric and dimensions.
fn expected(id: &str) -> (&'static str, &'static str, BTreeMap<String, String>) {
    let named = |names: &[(&str, &str)]| -> BTreeMap<String, String> {
        names.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    match id {
        "ApiServerErrorsAlarm" => {
            return ("AWS/ApiGateway", "5XXError", named(&[("ApiName", STACK), ("Stage", "v1")]));
        }
        "AccountThrottlesAlarm" => return ("AWS/Lambda", "Throttles", named(&[])),
        "UndeliveredEventsQueueAlarm" => {
            let queue = format!("{STACK}-undelivered-events");
            let metric = "ApproximateNumberOfMessagesVisible";
            return ("AWS/SQS", metric, named(&[("QueueName", queue.as_str())]));
        }
        _ => {}
    }
    let of_kind = BY_NAME.iter().find_map(|kind| Some((id.strip_suffix(kind.0)?, kind)));
    let Some((resource, &(_, namespace, metric, dimension, end))) = of_kind else {
        return ("", "", BTreeMap::new());
    };
    let resource = format!("{STACK}-{}{end}", kebab(resource));
    (namespace, metric, named(&[(dimension, resource.as_str())]))
}

/// `reserve-stock` of `ReserveStock`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// An alarm with the dimensions of another resource fires for the wrong one.
#[test]
fn alarm_on_a_metric_of_aws_watches_the_resource_that_it_is_named_after() {
    let template = template::template();
    let is_release = |id: &str| template.resource(id)["Condition"] == "HasCanary";
    let mut violations = Vec::new();
    let mut count = 0;
    for Watched { id, namespace, metric, dimensions } in watched(template) {
        if namespace == "Ferrocart" || is_release(&id) {
            continue;
        }
        count += 1;
        let expected = expected(&id);
        if (&*namespace, &*metric, &dimensions) != (expected.0, expected.1, &expected.2) {
            violations.push(format!(
                "{id} watches {namespace} {metric} {dimensions:?}, not {expected:?}"
            ));
        }
    }
    assert!(count > 50, "{count} alarms watch metrics of AWS");
    none(violations);
}

/// A period without a run does not breach. An alarm that needs consecutive periods never fires if
/// they are shorter than the interval of the runs.
#[test]
fn alarm_on_failed_runs_fires_at_every_interval() {
    let template = template::template();
    let mut violations = Vec::new();
    for (operation, (function, _)) in functions(template) {
        let schedule = &template.resource(&function)["Properties"]["Events"]["Every"]["Properties"]
            ["Schedule"];
        let name = function.trim_end_matches("Function");
        let alarm = &template.resource(&format!("{name}ErrorsAlarm"))["Properties"];
        if schedule.is_null() || alarm.is_null() {
            continue;
        }
        let fires = if let Some(seconds) = interval(schedule) {
            // One run in each period.
            alarm["Period"].as_u64().is_some_and(|period| period >= seconds)
                && alarm["DatapointsToAlarm"].is_null()
        } else {
            let heartbeat = &template.resource(&format!("{name}HeartbeatAlarm"))["Properties"];
            alarm["EvaluationPeriods"]["Fn::If"][0] == "SweepsEveryMinute"
                && alarm["EvaluationPeriods"] == heartbeat["EvaluationPeriods"]
                && alarm["DatapointsToAlarm"] == 5
                && (&alarm["Period"], &heartbeat["Period"]) == (&json!(60), &json!(60))
        };
        if !fires {
            violations.push(format!(
                "{name}ErrorsAlarm does not fire if each run of {operation} fails: {alarm}"
            ));
        }
    }
    none(violations);
}

/// The seconds of a rate; `None` if a parameter sets it.
fn interval(schedule: &Value) -> Option<u64> {
    let rate = schedule.as_str()?.strip_prefix("rate(")?.strip_suffix(')')?;
    let (number, unit) = rate.split_once(' ')?;
    let seconds = if unit.starts_with("hour") { 3600 } else { 60 };
    Some(number.parse::<u64>().ok()? * seconds)
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
