//! Patterns (ECMA-262) of the texts that [`crate::text`] parses, made from the rules that it
//! applies.
//!
//! They name characters of the basic plane alone, as `\\uXXXX`: tools that read a pattern without
//! the flag `u`, or in another dialect, read these as they are meant. Rejected characters beyond
//! that plane, and those that depend on their neighbours, pass the pattern.

use crate::text;

/// Text of people, of one or more lines.
pub fn free_text() -> String {
    format!("^{}*$", none_of(text::is_rejected_everywhere))
}

/// Text of one word or number within the white space that [`text::trimmed`] removes; `inner` is a
/// pattern without `^` and `$`.
pub fn trimmed(inner: &str) -> String {
    let space = class("[", |c| c.is_whitespace() || text::is_dropped(c));
    format!("^{space}*{inner}{space}*$")
}

/// One character that text of people can hold and that is not `rejected`.
pub fn none_of(rejected: impl Fn(char) -> bool) -> String {
    class("[^", |c| text::is_rejected_everywhere(c) || rejected(c))
}

/// A class of characters, as ranges.
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
