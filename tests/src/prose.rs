//! Documentation comments as running text, without the line breaks of the source.

use serde_json::Value;

/// Joins the lines of every `description` and `summary` in a document. Paragraphs and lists keep
/// their line breaks.
pub fn join_lines(document: &mut Value) {
    match document {
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" || name == "summary" => {
                        *text = joined(text);
                    }
                    member => join_lines(member),
                }
            }
        }
        _ => {}
    }
}

fn joined(text: &str) -> String {
    let mut joined = String::new();
    for line in text.lines().map(str::trim) {
        let starts_line = line.is_empty() || line.starts_with(['-', '|', '#']);
        let continues = !joined.is_empty() && !joined.ends_with('\n');
        if continues {
            joined.push(if starts_line { '\n' } else { ' ' });
        }
        joined.push_str(line);
        if line.is_empty() {
            joined.push('\n');
        }
    }
    joined.trim_end().to_owned()
}
