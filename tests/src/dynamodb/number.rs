//! Numbers of DynamoDB: decimal, with up to 38 significant digits.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// The largest number of significant digits.
const MOST_DIGITS: u32 = 38;

/// A number in its canonical text: without exponent, and without superfluous zeros.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Number(String);

/// `coefficient * 10^exponent`. The coefficient does not end in a zero, unless it is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal {
    coefficient: i128,
    exponent: i32,
}

impl Number {
    /// The canonical text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The sum of two numbers.
    ///
    /// # Errors
    /// A validation message if the sum has more than 38 significant digits, or is out of range.
    pub(super) fn plus(&self, other: &Self) -> Result<Self, String> {
        let sum = self.decimal().plus(other.decimal()).and_then(Decimal::within_limits);
        sum.map(|sum| Self(sum.text()))
    }

    /// The difference of two numbers.
    ///
    /// # Errors
    /// Like [`Number::plus`].
    pub(super) fn minus(&self, other: &Self) -> Result<Self, String> {
        let other = other.decimal();
        let negated = Decimal { coefficient: -other.coefficient, ..other };
        let difference = self.decimal().plus(negated).and_then(Decimal::within_limits);
        difference.map(|difference| Self(difference.text()))
    }

    /// The bytes that the number adds to its item: one, and one per two digits on each side of the
    /// decimal point.
    pub(super) fn size(&self) -> usize {
        let decimal = self.decimal();
        let digits = decimal.digits();
        let before_point = (decimal.exponent + digits).clamp(0, digits);
        let bytes = |digits: i32| usize::try_from(digits).unwrap_or_default().div_ceil(2);
        let sign = usize::from(decimal.coefficient < 0);
        bytes(before_point) + bytes(digits - before_point) + 1 + sign
    }

    fn decimal(&self) -> Decimal {
        Decimal::parse(&self.0).expect("a canonical number is a number")
    }

    fn integer(&self) -> Option<i64> {
        self.0.parse().ok()
    }
}

impl TryFrom<String> for Number {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_canonical = text.len() < 18
            && !text.starts_with('0')
            && !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_canonical {
            return Ok(Self(text));
        }
        Ok(Self(Decimal::parse(&text)?.within_limits()?.text()))
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self(number.to_string())
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.integer(), other.integer()) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => self.decimal().compare(other.decimal()),
        }
    }
}

impl Decimal {
    fn parse(text: &str) -> Result<Self, String> {
        let malformed = || format!("The parameter cannot be converted to a numeric value: {text}");
        let (is_negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (digits, power) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return Err(malformed());
        }
        let power: i64 = power.parse().map_err(|_| malformed())?;
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0').trim_end_matches('0');
        let trailing = all.len() - all.trim_end_matches('0').len();
        if significant.is_empty() {
            return Ok(Self { coefficient: 0, exponent: 0 });
        }
        let coefficient: i128 = significant.parse().map_err(|_| too_many_digits())?;
        let shift = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        let exponent = power.saturating_sub(shift(fraction.len())).saturating_add(shift(trailing));
        let exponent = exponent.clamp(-10_000, 10_000);
        Ok(Self {
            coefficient: if is_negative { -coefficient } else { coefficient },
            exponent: i32::try_from(exponent).unwrap_or_default(),
        })
    }

    /// The number itself, if DynamoDB can store it.
    fn within_limits(self) -> Result<Self, String> {
        if self.coefficient == 0 {
            return Ok(self);
        }
        if self.digits() > MOST_DIGITS.cast_signed() {
            return Err(too_many_digits());
        }
        // The number is `0.digits * 10^magnitude`.
        let magnitude = self.exponent + self.digits();
        let (size, than) = match magnitude {
            127.. => ("overflow", "larger"),
            ..-129 => ("underflow", "smaller"),
            _ => return Ok(self),
        };
        Err(format!(
            "Number {size}. Attempting to store a number with magnitude {than} than supported range"
        ))
    }

    fn digits(self) -> i32 {
        self.coefficient.unsigned_abs().checked_ilog10().map_or(0, |log| log.cast_signed() + 1)
    }

    fn plus(self, other: Self) -> Result<Self, String> {
        if self.coefficient == 0 || other.coefficient == 0 {
            return Ok(if self.coefficient == 0 { other } else { self });
        }
        let exponent = self.exponent.min(other.exponent);
        let aligned = |number: Self| {
            let factor = 10_i128.checked_pow((number.exponent - exponent).unsigned_abs());
            factor.and_then(|factor| number.coefficient.checked_mul(factor))
        };
        let sum = aligned(self).zip(aligned(other)).and_then(|(one, other)| one.checked_add(other));
        Ok(Self { coefficient: sum.ok_or_else(too_many_digits)?, exponent }.reduced())
    }

    fn reduced(mut self) -> Self {
        while self.coefficient != 0 && self.coefficient % 10 == 0 {
            self.coefficient /= 10;
            self.exponent += 1;
        }
        self
    }

    fn compare(self, other: Self) -> Ordering {
        let sign = self.coefficient.signum().cmp(&other.coefficient.signum());
        if sign.is_ne() || self.coefficient == 0 {
            return sign;
        }
        let magnitude = (self.exponent + self.digits()).cmp(&(other.exponent + other.digits()));
        let padded = |number: Self| {
            let missing = MOST_DIGITS.cast_signed() - number.digits();
            number.coefficient.unsigned_abs() * 10_u128.pow(missing.unsigned_abs())
        };
        let size = magnitude.then_with(|| padded(self).cmp(&padded(other)));
        if self.coefficient < 0 { size.reverse() } else { size }
    }

    fn text(self) -> String {
        if self.coefficient == 0 {
            return "0".to_owned();
        }
        let digits = self.coefficient.unsigned_abs().to_string();
        let sign = if self.coefficient < 0 { "-" } else { "" };
        let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
        let point = self.exponent + self.digits();
        if self.exponent >= 0 {
            format!("{sign}{digits}{}", zeros(self.exponent))
        } else if point <= 0 {
            format!("{sign}0.{}{digits}", zeros(-point))
        } else {
            let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or_default());
            format!("{sign}{whole}.{fraction}")
        }
    }
}

fn too_many_digits() -> String {
    "Attempting to store more than 38 significant digits in a Number".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::try_from(text.to_owned()).expect("a number")
    }

    #[test]
    fn numbers_are_stored_in_their_canonical_form() {
        let canonical = [
            ("0", "0"),
            ("-0", "0"),
            ("0042", "42"),
            ("1.200", "1.2"),
            ("+.5", "0.5"),
            ("-5.", "-5"),
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ];
        for (text, expected) in canonical {
            assert_eq!(number(text).text(), expected);
        }
    }

    #[test]
    fn malformed_and_out_of_range_numbers_are_rejected() {
        for text in ["", "x", "1_000", " 5", "1.2.3", "1e", "--5", "1e+"] {
            let error = Number::try_from(text.to_owned()).unwrap_err();
            assert!(error.starts_with("The parameter cannot be converted"), "{text}: {error}");
        }
        for (text, reason) in [
            ("123456789012345678901234567890123456789", "38 significant digits"),
            ("1e126", "overflow"),
            ("1e-131", "underflow"),
        ] {
            let error = Number::try_from(text.to_owned()).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert_eq!(number("9.9e125").text().len(), 126);
        assert_eq!(number("1e-130").text().len(), 132);
    }

    #[test]
    fn arithmetic_is_decimal() {
        assert_eq!(number("0.1").plus(&number("0.2")), Ok(number("0.3")));
        assert_eq!(number("1e20").minus(&number("1")), Ok(number("99999999999999999999")));
        assert_eq!(number("5").minus(&number("5")), Ok(number("0")));
        assert!(number("1e100").plus(&number("1")).is_err());
    }

    #[test]
    fn order_is_numeric() {
        let sorted = ["-1e10", "-2", "-1.5", "0", "1e-9", "9", "10", "1e38", "1.1e38"];
        for (place, text) in sorted.iter().enumerate() {
            for (other_place, other) in sorted.iter().enumerate() {
                let order = number(text).cmp(&number(other));
                assert_eq!(order, place.cmp(&other_place), "{text} and {other}");
            }
        }
    }

    #[test]
    fn size_is_one_byte_per_two_digits() {
        for (text, size) in [("0", 1), ("7", 2), ("-42", 3), ("123", 3), ("1e10", 2), ("1.5", 3)] {
            assert_eq!(number(text).size(), size, "{text}");
        }
    }
}
