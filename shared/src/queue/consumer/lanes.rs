//! The lanes of a batch: messages that must be processed in sequence share one.

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::event::sqs::SqsMessage;
use serde_json::Value;

use crate::queue::message::{Envelope, InvalidMessage};

/// A received record, and its envelope.
pub(super) struct Record {
    pub(super) message: SqsMessage,
    pub(super) envelope: Result<Envelope, InvalidMessage>,
}

impl Record {
    pub(super) fn parse(message: SqsMessage) -> Self {
        let envelope = serde_json::from_str(message.body.as_deref().unwrap_or_default())
            .map_err(|_| InvalidMessage::not_an_envelope());
        Self { message, envelope }
    }

    /// What the record contends for: its subject, and what its message names.
    fn contends_for(&self, of_message: fn(&Value) -> Vec<String>) -> BTreeSet<String> {
        let Ok(envelope) = &self.envelope else { return BTreeSet::new() };
        let subject = (!envelope.subject.is_empty()).then(|| envelope.subject.clone());
        of_message(&envelope.data).into_iter().chain(subject).collect()
    }
}

/// Divides a batch into lanes. Two records that contend for the same thing share a lane, in their
/// order in the batch.
pub(super) fn in_lanes(
    records: impl Iterator<Item = Record>,
    of_message: fn(&Value) -> Vec<String>,
) -> Vec<Vec<Record>> {
    let mut lanes: Vec<Lane> = Vec::new();
    for (position, record) in records.enumerate() {
        let mut lane = Lane {
            names: record.contends_for(of_message),
            records: BTreeMap::from([(position, record)]),
        };
        let (joined, others): (Vec<Lane>, Vec<Lane>) =
            lanes.into_iter().partition(|other| !other.names.is_disjoint(&lane.names));
        for other in joined {
            lane.names.extend(other.names);
            lane.records.extend(other.records);
        }
        lanes = others;
        lanes.push(lane);
    }
    lanes.into_iter().map(|lane| lane.records.into_values().collect()).collect()
}

/// Records by their position in the batch, and everything that one of them contends for.
struct Lane {
    names: BTreeSet<String>,
    records: BTreeMap<usize, Record>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn products(data: &Value) -> Vec<String> {
        let products = data.as_array().into_iter().flatten();
        products.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The lanes of these messages, each with a subject and the products that it names.
    fn lanes_of(messages: &[(&str, &[&str])]) -> Vec<Vec<usize>> {
        let record = |(position, (subject, data)): (usize, &(&str, &[&str]))| {
            let body = json!({ "type": "count_words.v1", "subject": subject, "data": data });
            let mut message = SqsMessage::default();
            message.message_id = Some(position.to_string());
            message.body = Some(body.to_string());
            Record::parse(message)
        };
        let position = |record: Record| record.message.message_id?.parse().ok();
        let lanes = in_lanes(messages.iter().enumerate().map(record), products);
        lanes.into_iter().map(|lane| lane.into_iter().filter_map(position).collect()).collect()
    }

    #[test]
    fn messages_of_one_subject_share_a_lane_in_their_order() {
        let messages: [(&str, &[&str]); 4] = [("a", &[]), ("b", &[]), ("a", &[]), ("", &[])];
        assert_eq!(lanes_of(&messages), [vec![1], vec![0, 2], vec![3]]);
    }

    #[test]
    fn messages_with_a_common_name_share_a_lane_even_through_a_third() {
        let messages: [(&str, &[&str]); 4] =
            [("a", &["cup"]), ("b", &["pot"]), ("c", &["jar"]), ("d", &["pot", "cup"])];
        assert_eq!(lanes_of(&messages), [vec![2], vec![0, 1, 3]]);
    }

    #[test]
    fn messages_without_a_subject_are_independent() {
        assert_eq!(lanes_of(&[("", &[]), ("", &[])]), [[0], [1]]);
    }
}
