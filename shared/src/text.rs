//! Free text that people write: names, descriptions, reasons, addresses.
//!
//! The same character rules apply to all of it. Pasted text is normalized, not rejected: every line
//! break becomes `\n` (or a space, in single-line text), a tab becomes a space, and U+FEFF and
//! U+200B are dropped. Characters that are invisible or change the text direction can make two
//! texts look alike. They are rejected unless they belong to a visible character (see
//! [`is_invisible`]).

use unicode_normalization::char::is_combining_mark;

use crate::validation::Violation;

/// Characters that editors and clipboards insert: the byte order mark and the zero width space.
const DROPPED: [char; 2] = ['\u{feff}', '\u{200b}'];

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
const BLACK_FLAG: char = '\u{1f3f4}';
const CANCEL_TAG: char = '\u{e007f}';
const KEYCAP: char = '\u{20e3}';

/// Parses single-line text: 1 to `max` characters, at most `4 * max` bytes. Line breaks and tabs
/// become spaces; surrounding white space is removed.
///
/// # Errors
/// `blank`, `too_long` or `invalid_characters`.
pub fn single_line(text: &str, max: usize) -> Result<String, Violation> {
    checked(normalized(text, ' '), max)
}

/// Parses text of one or more lines: 1 to `max` characters, at most `4 * max` bytes. Line breaks of
/// every kind become `\n`, tabs become spaces; surrounding white space is removed.
///
/// # Errors
/// `blank`, `too_long` or `invalid_characters`.
pub fn multi_line(text: &str, max: usize) -> Result<String, Violation> {
    checked(normalized(text, '\n'), max)
}

/// Removes white space around a single word, such as an e-mail address, and the characters that
/// pasting inserts there.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_dropped(c))
}

/// Returns whether parsing drops this character instead of rejecting it.
pub fn is_dropped(c: char) -> bool {
    DROPPED.contains(&c)
}

/// Returns whether text with this character is rejected in any context.
#[cfg(feature = "api-document")]
pub(crate) fn is_rejected_everywhere(c: char) -> bool {
    let is_normalized = is_dropped(c) || is_line_break(c) || c == '\t';
    !is_normalized && !is_variation_selector(c) && (c.is_control() || is_invisible(c))
}

/// Returns whether a character has no visible shape, changes the text direction, or is a
/// noncharacter.
///
/// Text can still contain four kinds of them, each only after a character that gives it a meaning:
/// joiners (not listed here: see [`single_line`]), a variation selector, the tags of a flag, and
/// `\n`.
pub fn is_invisible(c: char) -> bool {
    // Noncharacters (Unicode 16.0, section 23.7) are not for interchange, and SQS rejects messages
    // that contain them.
    let is_noncharacter = matches!(c, '\u{fdd0}'..='\u{fdef}') || (c as u32) & 0xfffe == 0xfffe;
    is_noncharacter
        || is_variation_selector(c)
        || matches!(c,
            // Soft hyphen, grapheme joiner, Arabic letter mark; Hangul, Khmer, Khitan and Braille
            // fillers.
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
            | '\u{16fe4}'
            // Mongolian selectors and vowel separator.
            | '\u{180b}'..='\u{180f}'
            // Zero width space, direction marks, invisible operators. The joiners U+200C and U+200D
            // are excluded.
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            // Interlinear annotation, object replacement, replacement character.
            | '\u{fff0}'..='\u{fffd}'
            // Hieroglyph, shorthand and musical format controls; tags.
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

fn is_joiner(c: char) -> bool {
    matches!(c, ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER)
}

/// Returns whether this character ends a line (Unicode 16.0, section 5.8).
fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Replaces every line break by `line_break`.
fn normalized(text: &str, line_break: char) -> String {
    let mut normal = String::with_capacity(text.len());
    let mut rest = text.chars().filter(|c| !is_dropped(*c)).peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' => {
                rest.next_if_eq(&'\n');
                normal.push(line_break);
            }
            c if is_line_break(c) => normal.push(line_break),
            '\t' => normal.push(' '),
            other => normal.push(other),
        }
    }
    normal
}

/// Rejects normalized text that breaks a rule.
fn checked(text: String, max: usize) -> Result<String, Violation> {
    let text = text.trim();
    if !text.chars().any(is_visible) {
        return Err(Violation::new("blank", "This must not be empty or blank."));
    }
    // Counting characters is sufficient: a grapheme of more than a few characters exceeds the limit
    // of bytes.
    if text.chars().filter(|c| !is_stacked(*c)).count() > max || text.len() > max * 4 {
        return Err(Violation::new(
            "too_long",
            format!("This must not be longer than {max} characters."),
        ));
    }
    if contains_forbidden(text) {
        return Err(Violation::new(
            "invalid_characters",
            "Control, invisible and text-direction characters are not allowed.",
        ));
    }
    Ok(text.to_owned())
}

fn is_visible(c: char) -> bool {
    !c.is_whitespace()
        && !c.is_control()
        && !is_joiner(c)
        && !is_invisible(c)
        && !is_combining_mark(c)
}

fn contains_forbidden(text: &str) -> bool {
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let allowed = match c {
            '\n' => true,
            c if is_joiner(c) => before.is_some_and(|before: char| {
                before.is_alphabetic() || is_combining_mark(before) || is_emoji(before)
            }),
            c if is_variation_selector(c) => {
                before.is_some_and(|before| has_variation(before, c, rest.peek().copied()))
            }
            BLACK_FLAG if rest.peek().is_some_and(|next| is_tag(*next)) => {
                let tags: String =
                    std::iter::from_fn(|| rest.next_if(|next| is_tag(*next))).collect();
                names_a_region(&tags)
            }
            c => !c.is_control() && !is_invisible(c),
        };
        if !allowed {
            return true;
        }
        before = Some(c);
    }
    false
}

/// Returns whether a variation selector changes this character: an emoji, a keycap, or an ideograph
/// of a Japanese name.
fn has_variation(base: char, selector: char, next: Option<char>) -> bool {
    match selector {
        '\u{fe0e}' | '\u{fe0f}' => {
            is_emoji(base) || (matches!(base, '0'..='9' | '#' | '*') && next == Some(KEYCAP))
        }
        _ => {
            matches!(base, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
        }
    }
}

fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0020}'..='\u{e007f}')
}

/// Returns whether the tags after a black flag form a region flag (UTS #51, section 1.4.6): 3 to 6
/// letters or digits and the cancel tag.
fn names_a_region(tags: &str) -> bool {
    let Some(region) = tags.strip_suffix(CANCEL_TAG) else { return false };
    let letters = region
        .chars()
        .filter(|tag| matches!(tag, '\u{e0030}'..='\u{e0039}' | '\u{e0061}'..='\u{e007a}'))
        .count();
    letters == region.chars().count() && (3..=6).contains(&letters)
}

/// Symbols of emoji: a superset of the Unicode property `Extended_Pictographic`, with skin tones
/// and regional indicators.
fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}'
        | '\u{24c2}' | '\u{25a0}'..='\u{27bf}' | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}'
        | '\u{3299}' | '\u{1f000}'..='\u{1faff}')
}

/// Combining marks, which do not count towards the length of a text.
fn is_stacked(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests;
