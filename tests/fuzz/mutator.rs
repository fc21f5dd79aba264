//! Changes one place of the JSON in an input, so that the result is still JSON. Most random changes
//! of bytes break it, and only test its parser.

use serde_json::{Value, json};
use tests::rng::Rng;

/// Changes the input in `data[..size]`, and returns its new size. `None` if it has no JSON, or if
/// the result is longer than `most`.
pub fn mutate(data: &mut [u8], size: usize, most: usize, rng: &mut Rng) -> Option<usize> {
    let (head, mut document) = split(&data[..size])?;
    for _ in 0..=rng.within(0..3) {
        damage(&mut document, rng);
    }
    let changed = [head, document.to_string().as_bytes()].concat();
    if changed.len() > most {
        return None;
    }
    data.get_mut(..changed.len())?.copy_from_slice(&changed);
    Some(changed.len())
}

/// Splits an input into its first lines and the JSON after them.
fn split(input: &[u8]) -> Option<(&[u8], Value)> {
    let starts = input.windows(2).enumerate().filter(|(_, pair)| *pair == b"\n{");
    let mut documents = starts.map(|(at, _)| input.split_at(at + 1));
    documents.find_map(|(head, text)| Some((head, serde_json::from_slice(text).ok()?)))
}

fn damage(document: &mut Value, rng: &mut Rng) {
    let mut places = Vec::new();
    list(document, String::new(), &mut places);
    let place = rng.one(&places).clone();
    let other = rng.one(&places).clone();
    let other = document.pointer(&other).cloned().unwrap_or_default();
    let choice = rng.within(0..10);
    if choice < 2 {
        let (parent, name) = place.rsplit_once('/').unwrap_or(("", ""));
        match document.pointer_mut(parent) {
            Some(Value::Object(members)) if choice == 0 => {
                members.remove(&name.replace("~1", "/").replace("~0", "~"));
            }
            Some(Value::Object(members)) => {
                members.insert(text(rng), other);
            }
            Some(Value::Array(items)) if choice == 0 => {
                items.pop();
            }
            Some(Value::Array(items)) => items.push(other),
            _ => {}
        }
    } else if let Some(value) = document.pointer_mut(&place) {
        match choice {
            2 => *value = other,
            3..=6 => near(value, rng),
            _ => *value = literal(rng),
        }
    }
}

/// The JSON pointers of all values in a document.
fn list(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            list(value, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), places);
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(number, value)| list(value, format!("{at}/{number}"), places)),
        _ => {}
    }
    places.push(at);
}

/// Changes a value a little, and keeps its type.
fn near(value: &mut Value, rng: &mut Rng) {
    match value {
        Value::String(old) => {
            let mut chars: Vec<char> = old.chars().collect();
            let at = rng.within(0..chars.len() + 1);
            match rng.within(0..4) {
                0 => chars.truncate(at),
                1 if at < chars.len() => {
                    chars.remove(at);
                }
                2 if at < chars.len() => chars[at] = *rng.one(&['0', '9', 'a', 'Z', '-', '#', ' ']),
                _ => {
                    let inserted: Vec<char> = text(rng).chars().collect();
                    chars.splice(at..at, inserted);
                }
            }
            *old = chars.into_iter().collect();
        }
        Value::Number(old) => {
            let number = old.as_i64().unwrap_or_default();
            *value = json!(match rng.within(0..4) {
                0 => number.wrapping_add(1),
                1 => number.wrapping_sub(1),
                2 => number.wrapping_neg(),
                _ => number.wrapping_mul(10),
            });
        }
        Value::Bool(old) => *old = !*old,
        _ => *value = literal(rng),
    }
}

fn literal(rng: &mut Rng) -> Value {
    let literals = [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1.5e300),
        json!([]),
        json!({}),
        json!([[], {}, null]),
        json!({ "N": "1" }),
        json!({ "N": "9223372036854775807" }),
        json!({ "N": "-1" }),
        json!({ "NULL": true }),
        json!({ "M": {} }),
        json!({ "L": [] }),
    ];
    match rng.within(0..literals.len() + 4) {
        number if number < literals.len() => literals[number].clone(),
        number if number % 2 == 0 => json!({ "S": text(rng) }),
        _ => json!(text(rng)),
    }
}

fn text(rng: &mut Rng) -> String {
    const TEXTS: [&str; 16] = [
        "",
        "\0",
        "é",
        "\u{ffff}",
        "\u{202e}",
        "\"",
        "\r\n",
        "#",
        "null",
        "-1",
        "99999999999999999999",
        "9999-12-31T23:59:59.999Z",
        "-009999-01-01T00:00:00Z",
        "2026-11-21T10:00:00Z",
        "usr_0199c2a8-0000-7000-8000-000000000001",
        "\u{1f600}",
    ];
    rng.one(&TEXTS).repeat(1 + rng.within(0..2) * rng.within(0..300))
}
