//! Inputs are texts. The first line selects the target of the rest, so a stored input is readable,
//! and remains valid when operations are added.

use serde_json::Value;

/// Splits off the first line.
pub fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    end.map_or((input, &input[input.len()..]), |end| (&input[..end], &input[end + 1..]))
}

/// The element with this name. Another name chooses some element, so that no input is wasted.
pub fn choose<'a>(names: &[&'a str], name: &[u8]) -> &'a str {
    let exact = names.iter().find(|candidate| candidate.as_bytes() == name);
    let sum =
        name.iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    exact.unwrap_or_else(|| &names[sum % names.len()])
}

/// An input: the name of its receiver, and the rest.
pub fn input(name: &str, rest: impl AsRef<[u8]>) -> Vec<u8> {
    [name.as_bytes(), b"\n", rest.as_ref()].concat()
}

/// The names and types in a document, without its values: documents of the same shape need one seed.
pub fn shape(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name}:{}", shape(value))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.first().map(shape).unwrap_or_default()),
        Value::String(_) => "s".to_owned(),
        Value::Number(_) => "n".to_owned(),
        Value::Bool(_) => "b".to_owned(),
        Value::Null => "0".to_owned(),
    }
}
