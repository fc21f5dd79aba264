//! No message is lost in silence: dead letters, alarms, partial batches, and time enough to work.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::template::{self, Template};

use super::{functions, none, timeout};

/// `ReserveStockQueue` is the logical id of the queue `reserve-stock`, and so on.
fn queues(template: &Template) -> Vec<(String, Value)> {
    template.resources("AWS::SQS::Queue").map(|(id, queue)| (id.to_owned(), template.resolve(&queue["Properties"]))).collect()
}

fn is_dead_letter(name: &str) -> bool {
    name.ends_with("-dead-letter")
}

/// The mapping that reads from `arn`: its properties.
fn mapping_from(template: &Template, arn: &str) -> Option<Value> {
    let mappings = template.resources("AWS::Lambda::EventSourceMapping").map(|(_, mapping)| template.resolve(&mapping["Properties"]));
    mappings.into_iter().find(|mapping| mapping["EventSourceArn"] == arn)
}

fn has_alarm(template: &Template, metric: &str, dimension: &str, value: &str) -> bool {
    template.resources("AWS::CloudWatch::Alarm").map(|(_, alarm)| template.resolve(&alarm["Properties"])).any(|alarm| {
        let dimensions = alarm["Dimensions"].as_array().cloned().unwrap_or_default();
        let watches = dimensions.iter().any(|one| one["Name"] == dimension && one["Value"] == value);
        let tells = alarm["AlarmActions"].as_array().is_some_and(|actions| !actions.is_empty());
        alarm["MetricName"] == metric && watches && tells
    })
}

#[test]
fn every_queue_has_dead_letters_an_alarm_partial_batches_and_time_enough() {
    let template = template::template();
    let functions = functions(template);
    let names: BTreeSet<String> = queues(template).iter().map(|(_, queue)| text(&queue["QueueName"])).collect();
    let mut odd = Vec::new();
    for (id, queue) in queues(template).iter().filter(|(_, queue)| !is_dead_letter(&text(&queue["QueueName"]))) {
        let name = text(&queue["QueueName"]);
        let mut expect = |holds: bool, what: String| {
            if !holds {
                odd.push(format!("the queue {name}: {what}"));
            }
        };
        let target = text(&queue["RedrivePolicy"]["deadLetterTargetArn"]);
        let dead = template.resolve(&template.resource(target.trim_start_matches("arn:"))["Properties"]["QueueName"]);
        expect(dead == format!("{name}-dead-letter"), format!("give it the dead-letter queue {name}-dead-letter"));
        expect(names.contains(&format!("{name}-dead-letter")), format!("add the queue {name}-dead-letter"));
        let receives = queue["RedrivePolicy"]["maxReceiveCount"].as_u64().unwrap_or(0);
        expect(receives >= 5, format!("a message is given up after {receives} receptions: a short trouble would fill the dead letters"));
        let Some(mapping) = mapping_from(template, &format!("arn:{id}")) else {
            expect(false, "nobody reads it: add an AWS::Lambda::EventSourceMapping".to_owned());
            continue;
        };
        let types = mapping["FunctionResponseTypes"].as_array().cloned().unwrap_or_default();
        expect(
            types.contains(&"ReportBatchItemFailures".into()),
            "add ReportBatchItemFailures to its mapping: one bad message would return ten".to_owned(),
        );
        let consumer = text(&mapping["FunctionName"]);
        let Some((_, function)) = functions.get(consumer.trim_start_matches("ferrocart-")) else {
            expect(false, format!("it is read by {consumer}, which is no function"));
            continue;
        };
        let (visibility, limit) = (queue["VisibilityTimeout"].as_u64().unwrap_or(30), timeout(template, function));
        expect(
            visibility >= 6 * limit,
            format!("its visibility timeout is {visibility} s, but {consumer} may run for {limit} s: it must be six times that"),
        );
        expect(function["Environment"]["Variables"]["QUEUE_URL"] == name.as_str(), format!("tell {consumer} that this is its QUEUE_URL"));
    }
    for (_, queue) in queues(template).iter().filter(|(_, queue)| is_dead_letter(&text(&queue["QueueName"]))) {
        let name = text(&queue["QueueName"]);
        if !has_alarm(template, "ApproximateNumberOfMessagesVisible", "QueueName", &name) {
            odd.push(format!("nobody is told when something is in {name}: add an alarm on ApproximateNumberOfMessagesVisible"));
        }
        if queue["MessageRetentionPeriod"] != 1_209_600 {
            odd.push(format!("{name} forgets too early: dead letters are kept for 14 days"));
        }
        let feeds = name.trim_end_matches("-dead-letter").to_owned();
        if !names.contains(&feeds) && !feeds.starts_with("ferrocart-publish-") {
            odd.push(format!("{name} belongs to no queue and no publisher"));
        }
    }
    none(odd);
}

#[test]
fn only_publishers_may_send() {
    let template = template::template();
    let mut odd = Vec::new();
    for (id, queue) in queues(template) {
        let name = text(&queue["QueueName"]);
        // SQS itself moves messages into the dead letters of a queue; nobody sends there.
        if is_dead_letter(&name) && !name.starts_with("ferrocart-publish-") {
            continue;
        }
        let policies =
            template.resources("AWS::SQS::QueuePolicy").filter(|(_, policy)| policy["Properties"]["Queues"][0]["Ref"] == id.as_str());
        let denies =
            policies.flat_map(|(_, policy)| policy["Properties"]["PolicyDocument"]["Statement"].as_array().cloned().unwrap_or_default());
        let holds = |statement: &Value| {
            statement["Effect"] == "Deny"
                && statement["Principal"] == "*"
                && statement["Action"] == "sqs:SendMessage"
                && statement["Condition"]["ArnNotEquals"].is_object()
        };
        if !denies.into_iter().any(|statement| holds(&statement)) {
            odd.push(format!("anybody with the permission may send to {name}: add a QueuePolicy that denies all but its publishers"));
        }
    }
    none(odd);
}

#[test]
fn publishers_know_the_queues_that_they_may_send_to_and_no_others() {
    let template = template::template();
    let mut odd = Vec::new();
    for (name, (id, _)) in functions(template).iter().filter(|(name, _)| name.starts_with("publish-")) {
        let raw = &template.resource(id)["Properties"];
        let variables = raw["Environment"]["Variables"].as_object().cloned().unwrap_or_default();
        let known: BTreeSet<String> =
            variables.iter().filter(|(name, _)| name.ends_with("_QUEUE_URL")).map(|(_, url)| text(&url["Ref"])).collect();
        let statements =
            raw["Policies"].as_array().into_iter().flatten().flat_map(|policy| policy["Statement"].as_array().into_iter().flatten());
        let sends = statements.filter(|statement| statement["Action"].to_string().contains("sqs:SendMessage"));
        let granted: BTreeSet<String> = sends
            .flat_map(|statement| match &statement["Resource"] {
                Value::Array(resources) => resources.clone(),
                one => vec![one.clone()],
            })
            .map(|resource| text(&resource["Fn::GetAtt"][0]))
            .collect();
        if known != granted {
            odd.push(format!("{name} knows the queues {known:?}, but may send to {granted:?}"));
        }
        for (variable, url) in variables.iter().filter(|(name, _)| name.ends_with("_QUEUE_URL") && *name != "DEAD_LETTER_QUEUE_URL") {
            let queue = text(&template.resolve(url));
            let expected = format!("{}_QUEUE_URL", queue.trim_start_matches("ferrocart-").to_uppercase().replace('-', "_"));
            if *variable != expected {
                odd.push(format!("{name} gets the address of {queue} in {variable}: shared::config::queue_url looks in {expected}"));
            }
        }
    }
    none(odd);
}

#[test]
fn every_stream_is_read_until_it_is_too_old_and_watched() {
    let template = template::template();
    let mut odd = Vec::new();
    for (id, table) in
        template.resources("AWS::DynamoDB::Table").filter(|(_, table)| table["Properties"].get("StreamSpecification").is_some())
    {
        let Some(mapping) = mapping_from(template, &format!("arn:{id}:StreamArn")) else {
            odd.push(format!("{id} has a stream that nobody reads: {}", table["Properties"]["StreamSpecification"]));
            continue;
        };
        let publisher = text(&mapping["FunctionName"]);
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                odd.push(format!("the mapping from {id} to {publisher}: {what}"));
            }
        };
        expect(mapping["StartingPosition"] == "TRIM_HORIZON", "start at TRIM_HORIZON, or what was written before it stood is lost");
        expect(mapping["BisectBatchOnFunctionError"] == true, "bisect, or one bad record holds up a hundred");
        expect(mapping["MaximumRetryAttempts"] == -1, "retry without end: what cannot be sent now can be sent later");
        expect(mapping["MaximumRecordAgeInSeconds"] == 82_800, "give up at 23 hours, an hour before the stream forgets");
        expect(mapping["DestinationConfig"]["OnFailure"]["Destination"].is_string(), "name where what is given up goes");
        expect(mapping.get("FunctionResponseTypes").is_none(), "no partial responses: the emulator would lose the records");
        expect(has_alarm(template, "IteratorAge", "FunctionName", &publisher), "add an alarm on IteratorAge");
    }
    none(odd);
}

#[test]
fn schedules_that_settle_orders_are_watched() {
    let template = template::template();
    let mut odd = Vec::new();
    for (name, (_, properties)) in functions(template) {
        let scheduled =
            properties["Events"].as_object().into_iter().flat_map(|events| events.values()).any(|event| event["Type"] == "Schedule");
        if scheduled && !has_alarm(template, "Errors", "FunctionName", &format!("ferrocart-{name}")) {
            odd.push(format!("{name} runs by itself and nobody is told when it fails: add an alarm on Errors"));
        }
    }
    none(odd);
}

/// An alarm on a metric that nothing writes with those dimensions never rings.
#[test]
fn alarms_on_our_own_metrics_watch_the_dimensions_that_are_written() {
    let template = template::template();
    let written = std::fs::read_to_string(template::root().join("shared/src/telemetry.rs")).unwrap();
    let dimensions =
        written.split("\"Dimensions\": [[").nth(1).and_then(|rest| rest.split("]]").next()).expect("telemetry writes dimensions");
    let written: BTreeSet<String> = dimensions.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect();
    assert!(written.contains("stack"), "two stacks of one account would share their alarms");
    let mut odd = Vec::new();
    for (id, alarm) in template.resources("AWS::CloudWatch::Alarm").filter(|(_, alarm)| alarm["Properties"]["Namespace"] == "Ferrocart") {
        let watched: BTreeSet<String> =
            alarm["Properties"]["Dimensions"].as_array().into_iter().flatten().map(|one| text(&one["Name"])).collect();
        if watched != written {
            odd.push(format!(
                "{id} watches the dimensions {watched:?}, but shared::telemetry::count writes {written:?}: it would never ring"
            ));
        }
    }
    none(odd);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
