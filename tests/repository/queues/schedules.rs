//! Schedules and the events of other services: their alarms, and the queue of undelivered events.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::template::{self, Template};

use super::{alarm_on, has_alarm};
use crate::{functions, none, transformed};

/// The queue for events that EventBridge could not deliver.
const UNDELIVERED: &str = "ferrocart-undelivered-events";

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
    assert_eq!((rules.len(), sources.as_array().map(Vec::len)), (9, Some(9)), "{rules:?}");
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
