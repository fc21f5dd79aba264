//! No message is lost unnoticed: dead-letter queues, alarms, partial batch responses, and
//! sufficient timeouts.

mod schedules;

use std::collections::BTreeSet;

use Kind::{Once, Repeated};
use serde_json::Value;
use tests::template::{self, Template};

use super::{functions, none, timeout};

/// Whether the sender re-sends a lost message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// The sender re-sends its command until it is answered. After 20 receives, at least 83
    /// minutes, the message becomes a dead letter.
    Repeated,
    /// The message is sent once, so it is retried for about four days.
    Once,
}

/// Every queue with its kind, and the age in seconds at which its oldest message raises an alarm.
const QUEUES: [(&str, Kind, u64); 17] = [
    ("reserve-stock", Repeated, 900),
    ("release-stock", Repeated, 900),
    ("commit-stock", Repeated, 900),
    ("product-changes", Repeated, 900),
    ("compile-market", Repeated, 900),
    // The nightly resync publishes every document again.
    ("replicate-pricing", Repeated, 900),
    // A settled order receives a late refund failure or a dispute in a single message.
    ("order-events", Once, 900),
    ("update-buyer", Once, 900),
    ("open-payment", Repeated, 900),
    ("charge-payment", Repeated, 900),
    ("cancel-payment", Repeated, 900),
    ("refund-payment", Repeated, 900),
    ("record-mail-feedback", Once, 900),
    ("send-notification", Once, 3600),
    ("send-account-notification", Once, 3600),
    ("forget-recipient", Once, 900),
    ("record-entry", Once, 900),
];

/// The queues that a consumer reads: name without the stack's prefix, logical id and properties.
fn main_queues(template: &Template) -> Vec<(String, String, Value)> {
    let named = |(id, queue): (String, Value)| {
        (text(&queue["QueueName"]).trim_start_matches("ferrocart-").to_owned(), id, queue)
    };
    let is_main = |(name, _, _): &(String, String, Value)| {
        !is_dead_letter(name) && name != "undelivered-events"
    };
    queues(template).into_iter().map(named).filter(is_main).collect()
}

/// The queues by name: `ReserveStockQueue` is the logical id of `reserve-stock`.
fn queues(template: &Template) -> Vec<(String, Value)> {
    template
        .resources("AWS::SQS::Queue")
        .map(|(id, queue)| (id.to_owned(), template.resolve(&queue["Properties"])))
        .collect()
}

fn is_dead_letter(name: &str) -> bool {
    name.ends_with("-dead-letter")
}

/// The properties of the event source mapping that reads from `arn`.
fn mapping_from(template: &Template, arn: &str) -> Option<Value> {
    let mappings = template
        .resources("AWS::Lambda::EventSourceMapping")
        .map(|(_, mapping)| template.resolve(&mapping["Properties"]));
    mappings.into_iter().find(|mapping| mapping["EventSourceArn"] == arn)
}

fn has_alarm(template: &Template, metric: &str, dimension: &str, value: &str) -> bool {
    alarm_on(template, metric, &[(dimension, value)]).is_some()
}

/// The alarm on a metric with exactly these dimensions and an action.
fn alarm_on(template: &Template, metric: &str, expected: &[(&str, &str)]) -> Option<Value> {
    template
        .resources("AWS::CloudWatch::Alarm")
        .map(|(_, alarm)| template.resolve(&alarm["Properties"]))
        .find(|alarm| {
            let dimensions = alarm["Dimensions"].as_array().cloned().unwrap_or_default();
            let dimensions: Vec<(&str, &str)> = dimensions
                .iter()
                .map(|one| {
                    (
                        one["Name"].as_str().unwrap_or_default(),
                        one["Value"].as_str().unwrap_or_default(),
                    )
                })
                .collect();
            let has_action =
                alarm["AlarmActions"].as_array().is_some_and(|actions| !actions.is_empty());
            alarm["MetricName"] == metric && dimensions == expected && has_action
        })
}

#[test]
fn queues_have_dead_letters_alarms_partial_batches_and_sufficient_timeouts() {
    let template = template::template();
    let functions = functions(template);
    let names: BTreeSet<String> =
        queues(template).iter().map(|(_, queue)| text(&queue["QueueName"])).collect();
    let mut violations = Vec::new();
    for (_, id, queue) in main_queues(template) {
        let name = text(&queue["QueueName"]);
        let mut expect = |holds: bool, what: String| {
            if !holds {
                violations.push(format!("the queue {name}: {what}"));
            }
        };
        let target = text(&queue["RedrivePolicy"]["deadLetterTargetArn"]);
        let dead = template.resolve(
            &template.resource(target.trim_start_matches("arn:"))["Properties"]["QueueName"],
        );
        expect(
            dead == format!("{name}-dead-letter"),
            format!("give it the dead-letter queue {name}-dead-letter"),
        );
        expect(
            names.contains(&format!("{name}-dead-letter")),
            format!("add the queue {name}-dead-letter"),
        );
        let Some(mapping) = mapping_from(template, &format!("arn:{id}")) else {
            expect(false, "no consumer: add an AWS::Lambda::EventSourceMapping".to_owned());
            continue;
        };
        let types = mapping["FunctionResponseTypes"].as_array().cloned().unwrap_or_default();
        expect(
            types.contains(&"ReportBatchItemFailures".into()),
            "add ReportBatchItemFailures to its mapping: one bad message would return ten"
                .to_owned(),
        );
        let consumer = text(&mapping["FunctionName"]);
        let Some((_, function)) = functions.get(consumer.trim_start_matches("ferrocart-")) else {
            expect(false, format!("its consumer {consumer} is not a function"));
            continue;
        };
        let (visibility, limit) =
            (queue["VisibilityTimeout"].as_u64().unwrap_or(30), timeout(function));
        expect(
            visibility >= 6 * limit,
            format!(
                "its visibility timeout is {visibility} s, but {consumer} may run for {limit} s: it must be six times that"
            ),
        );
        let variables = &function["Environment"]["Variables"];
        expect(
            variables["QUEUE_URL"] == name.as_str(),
            format!("set this queue as QUEUE_URL of {consumer}"),
        );
        let dead_letter = format!("{name}-dead-letter");
        expect(
            variables["DEAD_LETTER_QUEUE_URL"] == dead_letter.as_str(),
            format!("set {dead_letter} as DEAD_LETTER_QUEUE_URL of {consumer}"),
        );
    }
    for (_, queue) in
        queues(template).iter().filter(|(_, queue)| is_dead_letter(&text(&queue["QueueName"])))
    {
        let name = text(&queue["QueueName"]);
        if !has_alarm(template, "ApproximateNumberOfMessagesVisible", "QueueName", &name) {
            violations.push(format!("{name} raises no alarm when it has messages: add one on ApproximateNumberOfMessagesVisible"));
        }
        if queue["MessageRetentionPeriod"] != 1_209_600 {
            violations.push(format!("{name} forgets too early: dead letters are kept for 14 days"));
        }
        let feeds = name.trim_end_matches("-dead-letter").to_owned();
        if !names.contains(&feeds) && !feeds.starts_with("ferrocart-publish-") {
            violations.push(format!("{name} belongs to no queue and no publisher"));
        }
    }
    none(violations);
}

#[test]
fn only_publishers_may_send() {
    let template = template::template();
    let mut violations = Vec::new();
    for (id, queue) in queues(template) {
        let name = text(&queue["QueueName"]);
        let is_of_queue = |policy: &Value| {
            policy["Properties"]["Queues"]
                .as_array()
                .is_some_and(|queues| queues.iter().any(|queue| queue["Ref"] == id.as_str()))
        };
        let policies =
            template.resources("AWS::SQS::QueuePolicy").filter(|(_, policy)| is_of_queue(policy));
        let denies = policies.flat_map(|(_, policy)| {
            policy["Properties"]["PolicyDocument"]["Statement"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        });
        let holds = |statement: &Value| {
            statement["Effect"] == "Deny"
                && statement["Principal"] == "*"
                && statement["Action"] == "sqs:SendMessage"
                && statement["Condition"]["ArnNotEquals"].is_object()
        };
        if !denies.into_iter().any(|statement| holds(&statement)) {
            violations.push(format!("every role with the permission may send to {name}: add a QueuePolicy that denies all but its senders"));
        }
    }
    none(violations);
}

#[test]
fn queues_retry_for_the_time_of_their_kind() {
    let template = template::template();
    let mut violations = Vec::new();
    let known: BTreeSet<&str> = QUEUES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(
        known,
        main_queues(template).iter().map(|(name, ..)| name.as_str()).collect(),
        "each queue has a row in QUEUES"
    );
    for (name, _, queue) in main_queues(template) {
        let (_, kind, _) = QUEUES.iter().find(|row| row.0 == name).unwrap();
        // Seconds. A queue that retries for up to 5.1 days keeps its messages for seven. The
        // retention of a dead letter counts from its first send.
        let expected = match kind {
            Repeated => (Some(20), Some(345_600)),
            Once => (Some(500), Some(604_800)),
        };
        let found = (
            queue["RedrivePolicy"]["maxReceiveCount"].as_u64(),
            queue["MessageRetentionPeriod"].as_u64(),
        );
        if found != expected {
            violations.push(format!(
                "the queue {name} is {kind:?}, so it needs (maxReceiveCount, MessageRetentionPeriod) {expected:?}, not {found:?}"
            ));
        }
    }
    none(violations);
}

#[test]
fn consumers_may_send_to_their_own_dead_letter_queue_only() {
    let template = template::template();
    let functions = functions(template);
    let mut violations = Vec::new();
    for (name, id, queue) in main_queues(template) {
        let mapping = mapping_from(template, &format!("arn:{id}")).unwrap();
        let consumer = text(&mapping["FunctionName"]).trim_start_matches("ferrocart-").to_owned();
        let (function_id, properties) = &functions[&consumer];
        let statements = properties["Policies"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|policy| policy["Statement"].as_array().unwrap());
        let sends: Vec<&Value> = statements
            .filter(|one| one["Action"].to_string().contains("sqs:SendMessage"))
            .map(|one| &one["Resource"])
            .collect();
        let dead_letter = text(&queue["RedrivePolicy"]["deadLetterTargetArn"]);
        if sends != [&Value::from(dead_letter.clone())] {
            violations.push(format!("{consumer} may send to {sends:?}, but its queue {name} has the dead-letter queue {dead_letter}"));
        }
        let of_queue = |policy: &&Value| {
            policy["Properties"]["Queues"]
                .to_string()
                .contains(&format!("\"{}\"", dead_letter.trim_start_matches("arn:")))
        };
        let policy =
            template.resources("AWS::SQS::QueuePolicy").map(|(_, policy)| policy).find(of_queue);
        if !policy.is_some_and(|policy| policy.to_string().contains(&format!("{function_id}Role")))
        {
            violations
                .push(format!("the policy of {dead_letter} denies SendMessage to {consumer}"));
        }
    }
    none(violations);
}

#[test]
fn every_queue_has_an_alarm_on_the_age_of_its_messages() {
    let template = template::template();
    let mut violations = Vec::new();
    for (name, ..) in main_queues(template) {
        let (_, _, age) = QUEUES.iter().find(|row| row.0 == name).unwrap();
        let alarm = alarm_on(
            template,
            "ApproximateAgeOfOldestMessage",
            &[("QueueName", &format!("ferrocart-{name}"))],
        );
        let threshold = alarm.map(|alarm| {
            (
                alarm["Statistic"].clone(),
                alarm["Threshold"].clone(),
                alarm["ComparisonOperator"].clone(),
            )
        });
        if threshold != Some(("Maximum".into(), (*age).into(), "GreaterThanThreshold".into())) {
            violations.push(format!("add an alarm on ApproximateAgeOfOldestMessage above {age} seconds for {name}: {threshold:?}"));
        }
    }
    // SQS excludes messages that were received three times from the age, so the consumers of each
    // service count them.
    for service in ["pricing", "inventory", "orders", "payments", "notifications", "ledger"] {
        if alarm_on(template, "MessageDelayed", &[("service", service), ("stack", "ferrocart")])
            .is_none()
        {
            violations.push(format!("add an alarm on MessageDelayed of {service}"));
        }
    }
    none(violations);
}

/// The percentage of the account's concurrency for queues; the methods of the API have the rest:
/// see `gateway`.
const SHARE_OF_QUEUES: u64 = 60;

#[test]
fn queues_leave_concurrency_to_the_methods_of_the_api() {
    let template = template::template();
    let mails = &template.document["Parameters"]["MailConcurrency"];
    assert_eq!((&mails["MinValue"], &mails["Default"]), (&2.into(), &2.into()));
    for account in
        template.document["Parameters"]["AccountConcurrency"]["AllowedValues"].as_array().unwrap()
    {
        let account = account.to_string();
        let most_mails = mails["MaxValue"].to_string();
        let template =
            template.with(&[("AccountConcurrency", &account), ("MailConcurrency", &most_mails)]);
        let mut sum = 0;
        for (name, id, _) in main_queues(&template) {
            let mapping = mapping_from(&template, &format!("arn:{id}")).unwrap();
            let most = &mapping["ScalingConfig"]["MaximumConcurrency"];
            let most = most.as_u64().or_else(|| most.as_str()?.parse().ok());
            let most = most.unwrap_or_else(|| {
                panic!("the mapping of {name} has no MaximumConcurrency at {account}: {mapping}")
            });
            assert!(
                (2..=1000).contains(&most),
                "Lambda rejects the maximum concurrency {most} of {name}"
            );
            sum += most;
        }
        let available = account.parse::<u64>().unwrap() * SHARE_OF_QUEUES / 100;
        assert!(sum <= available, "of {account} queues may use {available}, not {sum}");
    }
    // Reserved concurrency is unavailable to all other functions.
    assert!(!template.document.to_string().contains("ReservedConcurrentExecutions"));
    // The emulator compares numbers, and keeps parameters as texts.
    let local = template.with(&[("Local", "true")]);
    for (name, id, _) in main_queues(&local) {
        let mapping = mapping_from(&local, &format!("arn:{id}")).unwrap();
        assert!(mapping["ScalingConfig"]["MaximumConcurrency"].is_u64(), "{name}: {mapping}");
    }
}

#[test]
fn publishers_have_the_urls_of_exactly_the_queues_they_may_send_to() {
    let template = template::template();
    let mut violations = Vec::new();
    for (name, (id, _)) in
        functions(template).iter().filter(|(name, _)| name.starts_with("publish-"))
    {
        let raw = &template.resource(id)["Properties"];
        let variables = raw["Environment"]["Variables"].as_object().cloned().unwrap_or_default();
        let known: BTreeSet<String> = variables
            .iter()
            .filter(|(name, _)| name.ends_with("_QUEUE_URL"))
            .map(|(_, url)| text(&template.resolve(url)))
            .collect();
        let statements = raw["Policies"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|policy| policy["Statement"].as_array().into_iter().flatten());
        let sends = statements
            .filter(|statement| statement["Action"].to_string().contains("sqs:SendMessage"));
        let granted: BTreeSet<String> = sends
            .flat_map(|statement| match &statement["Resource"] {
                Value::Array(resources) => resources.clone(),
                one => vec![one.clone()],
            })
            .map(|resource| {
                let id = text(&template.resolve(&resource));
                text(&template.resolve(
                    &template.resource(id.trim_start_matches("arn:"))["Properties"]["QueueName"],
                ))
            })
            .collect();
        let declared =
            tests::shop::operations().find(|operation| operation.name() == *name).unwrap();
        let expected = declared
            .queues()
            .iter()
            .map(|queue| (*queue).to_owned())
            .chain(declared.dead_letter_queue());
        let expected: BTreeSet<String> =
            expected.map(|queue| format!("ferrocart-{queue}")).collect();
        if known != expected {
            violations.push(format!(
                "{name} declares the queues {expected:?}, but the template gives it {known:?}"
            ));
        }
        if known != granted {
            violations
                .push(format!("{name} knows the queues {known:?}, but may send to {granted:?}"));
        }
        for (variable, url) in variables
            .iter()
            .filter(|(name, _)| name.ends_with("_QUEUE_URL") && *name != "DEAD_LETTER_QUEUE_URL")
        {
            let queue = text(&template.resolve(url));
            let expected = format!(
                "{}_QUEUE_URL",
                queue.trim_start_matches("ferrocart-").to_uppercase().replace('-', "_")
            );
            if *variable != expected {
                violations.push(format!("{name} gets the address of {queue} in {variable}: shared::config::queue_url looks in {expected}"));
            }
        }
    }
    none(violations);
}

#[test]
fn every_stream_mapping_has_a_maximum_age_and_an_alarm() {
    let template = template::template();
    let mut violations = Vec::new();
    for (id, table) in template
        .resources("AWS::DynamoDB::Table")
        .filter(|(_, table)| table["Properties"].get("StreamSpecification").is_some())
    {
        let Some(mapping) = mapping_from(template, &format!("arn:{id}:StreamArn")) else {
            violations.push(format!(
                "{id} has a stream without a consumer: {}",
                table["Properties"]["StreamSpecification"]
            ));
            continue;
        };
        let publisher = text(&mapping["FunctionName"]);
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                violations.push(format!("the mapping from {id} to {publisher}: {what}"));
            }
        };
        expect(
            mapping["StartingPosition"] == "TRIM_HORIZON",
            "start at TRIM_HORIZON, or changes before the mapping are lost",
        );
        expect(
            mapping["BisectBatchOnFunctionError"] == true,
            "bisect, or one bad record delays a hundred",
        );
        expect(
            mapping["MaximumRetryAttempts"] == -1,
            "retry without a limit: a failed send can succeed later",
        );
        expect(
            mapping["MaximumRecordAgeInSeconds"] == 82_800,
            "set a maximum age of 23 hours, one less than the retention of the stream",
        );
        expect(
            mapping["DestinationConfig"]["OnFailure"]["Destination"].is_string(),
            "set the destination of expired records",
        );
        expect(
            mapping.get("FunctionResponseTypes").is_none(),
            "no partial responses: the emulator would lose the records",
        );
        expect(
            has_alarm(template, "IteratorAge", "FunctionName", &publisher),
            "add an alarm on IteratorAge",
        );
    }
    none(violations);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
