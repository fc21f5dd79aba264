//! ECMA-262 patterns of the texts that [`crate::text`] parses, generated from the rules that it
//! applies.
//!
//! The patterns contain only characters of the Basic Multilingual Plane, as `\\uXXXX`. Tools that
//! ignore the flag `u` or use another dialect interpret them correctly. A pattern is therefore
//! weaker than the parser: it accepts rejected characters outside that plane, and those that depend
//! on their neighbours.

use crate::text;

/// Free text of one or more lines.
pub fn free_text() -> String {
    format!("^{}*$", none_of(text::is_rejected_everywhere))
}

/// One word or number, surrounded by white space that [`text::trimmed`] removes. `inner` is a
/// pattern without `^` and `$`.
pub fn trimmed(inner: &str) -> String {
    let space = class("[", |c| c.is_whitespace() || text::is_dropped(c));
    format!("^{space}*{inner}{space}*$")
}

/// One character that free text can contain and that is not `rejected`.
pub fn none_of(rejected: impl Fn(char) -> bool) -> String {
    class("[^", |c| text::is_rejected_everywhere(c) || rejected(c))
}

/// A character class, written as ranges.
fn class(opening: &str, holds: impl Fn(char) -> bool) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for c in ('\0'..='\u{ffff}').filter(|c| holds(*c)).map(u32::from) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == c => *last = c,
            _ => ranges.push((c, c)),
        }
    }
    let range = |(first, last): (u32, u32)| match last - first {
        0 => format!("\\u{first:04x}"),
        _ => format!("\\u{first:04x}-\\u{last:04x}"),
    };
    format!("{opening}{}]", ranges.into_iter().map(range).collect::<String>())
}
