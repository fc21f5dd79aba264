//! No message is lost unnoticed: dead-letter queues, alarms, partial batch responses, and
//! sufficient timeouts.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::template::{self, Template};

use super::{functions, none, timeout, transformed};
use Kind::{Once, Repeated};

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
const QUEUES: [(&str, Kind, u64); 15] = [
    ("reserve-stock", Repeated, 900),
    ("release-stock", Repeated, 900),
    ("commit-stock", Repeated, 900),
    ("product-changes", Repeated, 900),
    // A settled order learns of a late refund failure or a dispute from one message.
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

/// The queue for events that EventBridge could not deliver.
const UNDELIVERED: &str = "ferrocart-undelivered-events";

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
            let tells = alarm["AlarmActions"].as_array().is_some_and(|actions| !actions.is_empty());
            alarm["MetricName"] == metric && dimensions == expected && tells
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
            violations.push(format!("anybody with the permission may send to {name}: add a QueuePolicy that denies all but its senders"));
        }
    }
    none(violations);
}

#[test]
fn queues_retry_for_as_long_as_their_kind_needs() {
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
            violations.push(format!("the policy of {dead_letter} denies {consumer} to send there"));
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
    for service in ["inventory", "orders", "payments", "notifications", "ledger"] {
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
            assert!((2..=1000).contains(&most), "Lambda refuses {most} for {name}");
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
fn publishers_know_exactly_the_queues_they_may_send_to() {
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

#[test]
fn scheduled_functions_have_an_error_alarm() {
    let template = template::template();
    let mut violations = Vec::new();
    for (name, (_, properties)) in functions(template) {
        let scheduled = properties["Events"]
            .as_object()
            .into_iter()
            .flat_map(|events| events.values())
            .any(|event| event["Type"] == "Schedule");
        if scheduled && !has_alarm(template, "Errors", "FunctionName", &format!("ferrocart-{name}"))
        {
            violations.push(format!(
                "{name} is scheduled and raises no alarm when it fails: add an alarm on Errors"
            ));
        }
    }
    none(violations);
}

/// The sweeps must not stop unnoticed: at any interval, the alarm spans several runs.
#[test]
fn sweeps_that_stop_running_raise_an_alarm() {
    let document = &template::template().document;
    let pattern =
        jsonschema::validator_for(&serde_json::json!({ "pattern": document["Parameters"]["SweepInterval"]["AllowedPattern"] })).unwrap();
    for (minutes, periods) in [(1, 5), (2, 20), (5, 50), (59, 590)] {
        let interval = format!("rate({minutes} minute{})", if minutes == 1 { "" } else { "s" });
        assert!(pattern.is_valid(&interval.as_str().into()), "{interval}");
        let template = template::template().with(&[("SweepInterval", &interval)]);
        for sweep in ["resume-orders", "reconcile-payments"] {
            let name = format!("ferrocart-{sweep}");
            let alarm = alarm_on(&template, "Invocations", &[("FunctionName", &name)])
                .unwrap_or_else(|| panic!("{sweep} has no heartbeat"));
            let found = [
                &alarm["Statistic"],
                &alarm["ComparisonOperator"],
                &alarm["Threshold"],
                &alarm["TreatMissingData"],
                &alarm["Period"],
            ];
            assert_eq!(
                serde_json::json!(found),
                serde_json::json!(["Sum", "LessThanThreshold", 1, "breaching", 60]),
                "{sweep}"
            );
            let watched = if minutes == 1 {
                alarm["EvaluationPeriods"].as_u64()
            } else {
                joined(&alarm["EvaluationPeriods"], &interval)
            };
            assert_eq!(watched, Some(periods), "{sweep} {interval}");
            assert!(periods * 60 <= 86_400, "CloudWatch looks back a day at most");
        }
    }
    for bad in [
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(60 minutes)",
        "rate(1 hour)",
        "cron(* * * * ? *)",
    ] {
        assert!(!pattern.is_valid(&bad.into()), "{bad}");
    }
}

/// The digits of an interval followed by a zero, as the template joins them.
fn joined(expression: &Value, interval: &str) -> Option<u64> {
    let digits = serde_json::json!({ "Fn::Select": [0, { "Fn::Split": [" ", { "Fn::Select": [1, { "Fn::Split": ["(", interval] }] }] }] });
    assert_eq!(*expression, serde_json::json!({ "Fn::Join": ["", [digits, "0"]] }));
    let digits = interval.split_once('(')?.1.split_once(' ')?.0;
    format!("{digits}0").parse().ok()
}

#[test]
fn throttles_of_the_account_raise_an_alarm() {
    let alarm = alarm_on(template::template(), "Throttles", &[])
        .expect("an alarm on Throttles without dimensions");
    let found = [&alarm["Namespace"], &alarm["Statistic"], &alarm["Threshold"], &alarm["Period"]];
    assert_eq!(serde_json::json!(found), serde_json::json!(["AWS/Lambda", "Sum", 0, 300]));
}

/// Every target of EventBridge after the SAM transform: the rule's logical id, its properties, and
/// the target.
fn targets(template: &Template) -> Vec<(String, Value, Value)> {
    let rules = template
        .resources("AWS::Events::Rule")
        .map(|(id, rule)| (id.to_owned(), template.resolve(&rule["Properties"])));
    rules
        .flat_map(|(id, rule)| {
            rule["Targets"]
                .as_array()
                .unwrap()
                .clone()
                .into_iter()
                .map(move |target| (id.clone(), rule.clone(), target))
        })
        .collect()
}

#[test]
fn undelivered_events_are_kept_and_raise_an_alarm() {
    let template = transformed();
    assert_eq!(
        template.resources("AWS::Scheduler::Schedule").count(),
        0,
        "schedules are rules here"
    );
    let (_, policy) = template
        .resources("AWS::SQS::QueuePolicy")
        .find(|(id, _)| *id == "UndeliveredEventsQueuePolicy")
        .unwrap();
    let statements = &policy["Properties"]["PolicyDocument"]["Statement"];
    let sources = template.resolve(&statements[0]["Condition"]["ArnEquals"]["aws:SourceArn"]);
    assert_eq!(
        statements[0]["Principal"],
        serde_json::json!({ "Service": "events.amazonaws.com" })
    );
    assert_eq!(
        template.resolve(&statements[1]["Condition"]["ArnNotEquals"]["aws:SourceArn"]),
        sources,
        "all others are denied"
    );
    let mut violations = Vec::new();
    let mut rules = BTreeSet::new();
    for (id, rule, target) in targets(template) {
        rules.insert(id.clone());
        if target["DeadLetterConfig"]["Arn"] != "arn:UndeliveredEventsQueue" {
            violations.push(format!("{id} loses undelivered events: give its target the DeadLetterConfig of UndeliveredEventsQueue"));
        }
        let named = rule["Name"]
            .as_str()
            .map(|name| format!("arn:aws:events:us-east-1:000000000000:rule/{name}"));
        let arn = named.unwrap_or_else(|| format!("arn:{id}"));
        if !sources.as_array().unwrap().iter().any(|source| *source == arn.as_str()) {
            violations.push(format!(
                "{id} may not send to UndeliveredEventsQueue: add {arn} to its policy"
            ));
        }
        // Seconds. A sweep is stale when the next one is due, a bounce is not.
        let expected = match rule["ScheduleExpression"].as_str() {
            Some("rate(1 minute)") => 60,
            Some(_) => 900,
            None => 86_400,
        };
        if target["RetryPolicy"]["MaximumEventAgeInSeconds"] != expected
            || !target["RetryPolicy"]["MaximumRetryAttempts"].is_u64()
        {
            violations.push(format!(
                "{id} needs a RetryPolicy with MaximumEventAgeInSeconds {expected}, not {}",
                target["RetryPolicy"]
            ));
        }
    }
    assert_eq!((rules.len(), sources.as_array().map(Vec::len)), (8, Some(8)), "{rules:?}");
    if !has_alarm(template, "ApproximateNumberOfMessagesVisible", "QueueName", UNDELIVERED) {
        violations.push("undelivered events raise no alarm".to_owned());
    }
    let queue = template.resolve(&template.resource("UndeliveredEventsQueue")["Properties"]);
    assert_eq!(
        (&queue["QueueName"], &queue["MessageRetentionPeriod"], &queue["SqsManagedSseEnabled"]),
        (&UNDELIVERED.into(), &1_209_600.into(), &true.into())
    );
    none(violations);
}

/// EventBridge invokes a sweep asynchronously: Lambda's internal queue would keep it for six hours
/// while the account is throttled.
#[test]
fn sweeps_of_every_minute_do_not_pile_up() {
    for sweep in ["resume-orders", "reconcile-payments"] {
        let (_, properties) = &functions(template::template())[sweep];
        let expected =
            serde_json::json!({ "MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0 });
        assert_eq!(properties["EventInvokeConfig"], expected, "{sweep}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
