//! Random damage to every sample of `events/`. `EDGE_SEED` repeats a run, `EDGE_MUTATIONS` sets its
//! length.

use serde_json::{Value, json};
use shared::lambda::Invocation;
use tests::{events::sample, shop::operation_names};

use crate::{fixture::ApiFixture, routes::ROUTES};

/// SplitMix64 generator: the seed determines the run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 16] = [
            "",
            "\0",
            "é",
            "\u{ffff}",
            "\u{202e}",
            "\"",
            "\\",
            "\r\n",
            "#",
            "{}",
            "[]",
            "null",
            "ord_",
            "-1",
            "9999-12-31T23:59:59.999Z",
            "\u{1f600}",
        ];
        (0..=self.below(3))
            .map(|_| PARTS[self.below(PARTS.len())].repeat(1 + self.below(3)))
            .collect()
    }

    fn value(&mut self) -> Value {
        match self.below(12) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(u64::MAX),
            4 => json!(i64::MIN),
            5 => json!(1.5e300),
            6 => json!([]),
            7 => json!({}),
            8 => json!([[], {}, null]),
            9 => json!({ "S": self.text() }),
            10 => json!({ "N": "1" }),
            _ => json!(self.text()),
        }
    }

    /// Damages one node of a document. Damages nested JSON text (bodies) from within half of the
    /// time.
    fn damage(&mut self, value: &mut Value) {
        let deeper = self.below(5) > 0;
        match value {
            Value::Object(members) if deeper && !members.is_empty() => {
                let at = self.below(members.len());
                let name = members.keys().nth(at).cloned().unwrap();
                match self.below(12) {
                    0 => drop(members.remove(&name)),
                    1 => drop(members.insert(self.text(), json!(1))),
                    2 => {
                        let moved = members.remove(&name).unwrap();
                        members.insert(
                            if self.below(2) == 0 { name.to_uppercase() } else { self.text() },
                            moved,
                        );
                    }
                    _ => self.damage(members.get_mut(&name).unwrap()),
                }
            }
            Value::Array(items) if deeper && !items.is_empty() => {
                let at = self.below(items.len());
                match self.below(8) {
                    0 => drop(items.remove(at)),
                    1 => items.push(items[at].clone()),
                    _ => self.damage(&mut items[at]),
                }
            }
            Value::String(text) if deeper => {
                if let Ok(mut inner @ (Value::Object(_) | Value::Array(_))) =
                    serde_json::from_str::<Value>(text)
                    && self.below(3) > 0
                {
                    self.damage(&mut inner);
                    *text = inner.to_string();
                } else {
                    let mut bytes = text.clone().into_bytes();
                    for _ in 0..=self.below(3) {
                        let at = self.below(bytes.len() + 1);
                        match self.below(4) {
                            0 if at < bytes.len() => drop(bytes.remove(at)),
                            1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                            2 => bytes.truncate(at),
                            _ => bytes.splice(at..at, self.text().into_bytes()).for_each(drop),
                        }
                    }
                    *text = String::from_utf8_lossy(&bytes).into_owned();
                }
            }
            _ => *value = self.value(),
        }
    }
}

#[tokio::test]
async fn randomly_damaged_events_cause_no_panic_and_no_5xx() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = setting("EDGE_SEED").unwrap_or(20_261_121);
    let rounds = setting("EDGE_MUTATIONS").unwrap_or(100);
    let mut chance = Chance(seed);
    let (mut checked, mut refused, mut violations) = (0, 0, Vec::new());
    for operation in &operation_names() {
        let mut edge = ApiFixture::new("mutations").await;
        for round in 0..rounds {
            // A fresh shop, without the data of earlier rounds.
            if round % 40 == 39 {
                edge = ApiFixture::new("mutations").await;
            }
            let http = ROUTES.iter().any(|route| route.operation == operation);
            let mut event = if http { edge.valid(operation) } else { sample(operation) };
            for _ in 0..=chance.below(3) {
                chance.damage(&mut event);
            }
            // A receipt handle does not refer to a message here.
            let records = event.get_mut("Records").and_then(Value::as_array_mut);
            let mut ids = Vec::new();
            for record in records.into_iter().flatten().filter_map(Value::as_object_mut) {
                record.remove("receiptHandle");
                ids.push(record.get("messageId").cloned().unwrap_or_default());
            }
            checked += 1;
            let (lambda, aws, shown) =
                (edge.shop.lambda(operation), edge.shop.aws.clone(), event.to_string());
            let called =
                tokio::spawn(
                    async move { aws.invoke(&lambda, Invocation::with_event(event)).await },
                )
                .await;
            let violation = match called {
                Err(panic) => Some(format!("it panics: {panic}")),
                Ok(called) if http => {
                    let answer = called.ok();
                    let status = answer["statusCode"].as_u64().unwrap_or(0);
                    refused += usize::from(status >= 400);
                    let whole = status < 400 || called.json()["code"].is_string();
                    (!(200..500).contains(&status) || !whole)
                        .then(|| format!("it answers {answer}"))
                }
                Ok(called) => match called.answer {
                    Err(_) => {
                        refused += 1;
                        None
                    }
                    Ok(answer) => {
                        let failures =
                            answer["batchItemFailures"].as_array().cloned().unwrap_or_default();
                        refused += usize::from(!failures.is_empty());
                        let unknown = failures.iter().any(|failure| {
                            !ids.contains(&failure["itemIdentifier"])
                                || failure["itemIdentifier"] == ""
                        });
                        unknown.then(|| {
                            format!("it returns a record that it did not receive: {answer}")
                        })
                    }
                },
            };
            if let Some(violation) = violation {
                violations
                    .push(format!("{operation}, round {round}: {violation:.300}: {shown:.1500}"));
            }
        }
    }
    eprintln!(
        "edge: mutations: seed {seed}, {checked} events, {refused} refused, {} violations",
        violations.len()
    );
    assert!(
        violations.is_empty(),
        "seed {seed}: {} violations, the first of them: {:#?}",
        violations.len(),
        &violations[..violations.len().min(8)]
    );
}
