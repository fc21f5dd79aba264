//! Which texts are accepted, and how they are normalized.

use super::*;

fn code(text: &str) -> Result<String, String> {
    let parsed = single_line(text, 100).map_err(|violation| violation.code);
    if let Ok(parsed) = &parsed {
        assert_eq!(single_line(parsed, 100).as_ref(), Ok(parsed), "parsing is idempotent");
    }
    parsed
}

#[test]
fn joiners_within_words_and_emoji_are_kept() {
    for text in [
        // Persian, Kurdish, Urdu; a Persian abbreviation that ends in a joiner.
        "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
        "\u{639}\u{644}\u{6cc}\u{200c}\u{631}\u{636}\u{627}",
        "\u{626}\u{6d5}\u{631}\u{6cc}\u{6c6}\u{200c}\u{646}",
        "\u{647}\u{200d}",
        // Sinhala, Malayalam, Bengali, Kannada, Devanagari, Marathi.
        "\u{dc1}\u{dca}\u{200d}\u{dbb}\u{dd3} \u{dbd}\u{d82}\u{d9a}\u{dcf}",
        "\u{d05}\u{d35}\u{d28}\u{d4d}\u{200d}",
        "\u{9b0}\u{200d}\u{9cd}\u{9af}\u{9be}\u{9ac}",
        "\u{cb0}\u{ccd}\u{200c}\u{c95}",
        "\u{915}\u{94d}\u{200d}\u{937}",
        "\u{915}\u{94d}\u{200c}\u{937}",
        // German, where the joiner prevents a ligature.
        "Auf\u{200c}lage",
        // A family, a profession with a skin tone, a heart on fire, a rainbow flag, a pirate flag,
        // a person shaking their head.
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}",
        "\u{1f469}\u{1f3fd}\u{200d}\u{1f680}",
        "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
        "\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",
        "\u{1f3f4}\u{200d}\u{2620}\u{fe0f}",
        "\u{1f642}\u{200d}\u{2194}\u{fe0f}",
        "\u{26f9}\u{1f3fb}\u{200d}\u{2640}\u{fe0f}",
    ] {
        assert_eq!(code(text).as_deref(), Ok(text), "{}", text.escape_unicode());
    }
}

#[test]
fn joiners_outside_words_and_emoji_are_rejected() {
    for text in [
        "\u{200d}a",
        "\u{200c}a",
        "a \u{200d}b",
        "a-\u{200c}b",
        "1\u{200d}2",
        "7\u{200c}",
        ".\u{200d}.",
        "a\u{200d}\u{200d}b",
        "a\u{200c}\u{200d}b",
        "(\u{200d})",
    ] {
        assert_eq!(code(text), Err("invalid_characters".to_owned()), "{}", text.escape_unicode());
    }
    for text in ["\u{200d}", "\u{200c}\u{200d}", " \u{200d} "] {
        assert_eq!(code(text), Err("blank".to_owned()), "{}", text.escape_unicode());
    }
}

#[test]
fn pasted_line_breaks_and_tabs_are_normalized() {
    for (text, line, lines) in [
        ("a\r\nb", "a b", "a\nb"),
        ("a\rb", "a b", "a\nb"),
        ("a\nb", "a b", "a\nb"),
        ("a\n\rb", "a  b", "a\n\nb"),
        ("a\r\n\r\nb", "a  b", "a\n\nb"),
        ("a\r\rb", "a  b", "a\n\nb"),
        ("a\tb", "a b", "a b"),
        ("a\u{2028}b", "a b", "a\nb"),
        ("a\u{2029}b", "a b", "a\nb"),
        ("a\u{85}b", "a b", "a\nb"),
        ("a\u{b}b", "a b", "a\nb"),
        ("a\u{c}b", "a b", "a\nb"),
        ("\u{feff}a b\u{feff}", "a b", "a b"),
        ("a\u{200b}b", "ab", "ab"),
        ("a\r\u{feff}\nb", "a b", "a\nb"),
        ("\r\n\t a \t\r\n", "a", "a"),
        ("\u{2028}a\u{2029}", "a", "a"),
        ("\u{feff} a\u{200b} ", "a", "a"),
    ] {
        assert_eq!(single_line(text, 100).as_deref(), Ok(line), "{}", text.escape_unicode());
        assert_eq!(multi_line(text, 100).as_deref(), Ok(lines), "{}", text.escape_unicode());
    }
}

#[test]
fn text_without_a_visible_character_is_blank() {
    for text in [
        "",
        " ",
        "\t",
        "\r\n",
        "\u{a0}\u{2003}\u{3000}",
        "\u{feff}",
        "\u{200b}\u{200b}",
        "\u{3164}",
        "\u{ffa0}",
        "\u{115f}\u{1160}",
        "\u{2800}",
        "\u{2800} \u{2800}",
        "\u{ad}",
        "\u{34f}",
        "\u{180e}",
        "\u{180b}",
        "\u{fff9}\u{fffb}",
        "\u{fffc}",
        "\u{fe0f}",
        "\u{e0100}",
        "\u{e0041}\u{e0042}",
        "\u{2060}",
        "\u{2062}",
        "\u{202e}",
        "\u{200e}\u{200f}",
        "\u{61c}",
        "\u{301}",
        "\u{17b4}",
        "\u{1d173}",
        "\u{13430}",
        "\u{16fe4}",
        "\u{1d159}",
        "\u{1bca0}",
        "\u{0}",
        "\u{7f}",
    ] {
        assert_eq!(code(text), Err("blank".to_owned()), "{}", text.escape_unicode());
    }
}

#[test]
fn invisible_characters_within_text_are_rejected() {
    for c in [
        '\u{0}',
        '\u{7}',
        '\u{1b}',
        '\u{7f}',
        '\u{80}',
        '\u{9f}',
        '\u{ad}',
        '\u{34f}',
        '\u{61c}',
        '\u{115f}',
        '\u{1160}',
        '\u{17b4}',
        '\u{17b5}',
        '\u{180b}',
        '\u{180c}',
        '\u{180d}',
        '\u{180e}',
        '\u{180f}',
        '\u{200e}',
        '\u{200f}',
        '\u{202a}',
        '\u{202e}',
        '\u{2060}',
        '\u{2061}',
        '\u{2066}',
        '\u{2069}',
        '\u{206a}',
        '\u{206f}',
        '\u{2800}',
        '\u{3164}',
        '\u{fe00}',
        '\u{fe0e}',
        '\u{fe0f}',
        '\u{ffa0}',
        '\u{fdd0}',
        '\u{fff0}',
        '\u{fff9}',
        '\u{fffa}',
        '\u{fffb}',
        '\u{fffc}',
        '\u{fffd}',
        '\u{ffff}',
        '\u{fffe}',
        '\u{16fe4}',
        '\u{13430}',
        '\u{1bca3}',
        '\u{1d173}',
        '\u{1fffe}',
        '\u{e0001}',
        '\u{e0020}',
        '\u{e0041}',
        '\u{e007f}',
        '\u{e0100}',
        '\u{e01ef}',
        '\u{e0fff}',
        '\u{10ffff}',
    ] {
        for text in [format!("Ada{c}Lovelace"), format!("{c}Ada"), format!("Ada{c}")] {
            let expected = Err("invalid_characters".to_owned());
            // A control character at the end can be white space, which is removed.
            assert_eq!(code(&text), expected, "{}", text.escape_unicode());
            assert_eq!(
                multi_line(&text, 100).map_err(|violation| violation.code),
                expected,
                "{}",
                text.escape_unicode()
            );
        }
    }
}

#[test]
fn selectors_and_tags_are_kept_after_their_base_character() {
    for text in [
        "I \u{2764}\u{fe0f} tea",
        "1\u{fe0f}\u{20e3} lamp",
        "#\u{fe0f}\u{20e3}",
        "\u{a9}\u{fe0f}",
        "\u{2194}\u{fe0e}",
        "\u{845b}\u{e0100}\u{57ce}",
        "\u{fa1f}\u{fe00}",
        "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} Edinburgh",
        "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        "\u{1f3f4}\u{e0075}\u{e0073}\u{e0074}\u{e0078}\u{e007f}",
        "\u{1f3f4} ahoy",
        "\u{1f1e9}\u{1f1ea}",
    ] {
        assert_eq!(code(text).as_deref(), Ok(text), "{}", text.escape_unicode());
    }
    for text in [
        "1\u{fe0f}",
        "Ada\u{fe0f}",
        "\u{2764}\u{fe0f}\u{fe0f}",
        "\u{2764}\u{e0100}",
        "a\u{e0100}",
        "\u{1f3f4}\u{e0067}\u{e0062}",
        "\u{1f3f4}\u{e0067}\u{e0062}\u{e007f}",
        "\u{1f3f4}\u{e007f}",
        "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e0074}\u{e0074}\u{e007f}",
        "\u{1f3f4}\u{e0048}\u{e0069}\u{e0021}\u{e007f}",
        "\u{1f1e9}\u{e0067}\u{e0062}\u{e0073}\u{e007f}",
    ] {
        assert_eq!(code(text), Err("invalid_characters".to_owned()), "{}", text.escape_unicode());
    }
}

#[test]
fn text_is_limited_in_characters_and_bytes() {
    assert!(single_line("O'Hara <script> {{7*7}}", 100).is_ok());
    assert!(single_line(&"x".repeat(100), 100).is_ok());
    assert!(single_line(&format!(" {} ", "x".repeat(100)), 100).is_ok());
    let zalgo = format!("a{}", "\u{0301}".repeat(10_000));
    for text in [&zalgo, &"x".repeat(101), &"\u{1f600}".repeat(101)] {
        assert_eq!(code(text), Err("too_long".to_owned()));
    }
}

#[test]
fn white_space_around_a_word_is_trimmed() {
    for text in [
        "ada",
        " ada ",
        "\tada\r\n",
        "\u{a0}ada\u{3000}",
        "\u{feff}ada\u{200b}",
        "\u{200b} \u{feff}ada",
    ] {
        assert_eq!(trimmed(text), "ada", "{}", text.escape_unicode());
    }
}
