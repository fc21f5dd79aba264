//! Why somebody who runs the shop gives money back: a sentence for whoever looks at the payment
//! later.

use shared::checked_text;

checked_text!(
    /// One or more lines, 1 to 200 characters together.
    RefundReason: multi_line(200), "Why the money goes back, in one or more lines.", "The lid was broken"
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
        for odd in ["", " ", "\u{2800}", "a\u{0}", "a\u{202e}b", &"x".repeat(201)] {
            assert!(RefundReason::try_from(odd.to_owned()).is_err(), "{odd:?}");
        }
    }
}
