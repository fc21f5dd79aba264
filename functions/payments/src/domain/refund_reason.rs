//! The reason of a requested refund, which an admin enters.

use shared::checked_text;

checked_text!(
    /// Text of one or more lines, 1 to 200 characters in total.
    RefundReason: multi_line(200), "Reason of the refund, in one or more lines.", "The lid was broken"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_readable_multi_line_text() {
        assert!(RefundReason::try_from("The lid was broken <b>".to_owned()).is_ok());
        let pasted =
            RefundReason::try_from(" The lid\r\nwas\tbroken\u{2028}twice.\u{feff} ".to_owned())
                .expect("a reason");
        assert_eq!(String::from(pasted), "The lid\nwas broken\ntwice.");
        for invalid in ["", " ", "\u{2800}", "a\u{0}", "a\u{202e}b", &"x".repeat(201)] {
            assert!(RefundReason::try_from(invalid.to_owned()).is_err(), "{invalid:?}");
        }
    }
}
