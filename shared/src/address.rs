//! Postal addresses, for shipping and billing. Deserializing one checks every field.

use self::countries::{ASSIGNED, WITHOUT_POSTAL_CODE};
use crate::{checked_text, validation::Violation};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

mod countries;

/// A postal address.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The name of the recipient.
    pub name: AddressLine,
    /// Street and house number.
    pub line1: AddressLine,
    /// Apartment, floor or other details.
    pub line2: Option<AddressLine>,
    pub city: AddressLine,
    /// State or province, if the country has them.
    pub region: Option<AddressLine>,
    /// Required if the country has postal codes.
    pub postal_code: Option<AddressLine>,
    /// ISO 3166-1 alpha-2, such as `DE`.
    pub country: CountryCode,
    /// The company of the recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company: Option<AddressLine>,
    /// The number that a carrier calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<PhoneNumber>,
}

/// An address in a request, before the check of the postal code.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: AddressLine,
    line1: AddressLine,
    #[serde(default)]
    line2: Option<AddressLine>,
    city: AddressLine,
    #[serde(default)]
    region: Option<AddressLine>,
    #[serde(default)]
    postal_code: Option<AddressLine>,
    country: CountryCode,
    #[serde(default)]
    company: Option<AddressLine>,
    #[serde(default)]
    phone: Option<PhoneNumber>,
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Fields { name, line1, line2, city, region, postal_code, country, company, phone } =
            Fields::deserialize(deserializer)?;
        if postal_code.is_none() && country.has_postal_codes() {
            return Err(D::Error::missing_field("postal_code"));
        }
        Ok(Self { name, line1, line2, city, region, postal_code, country, company, phone })
    }
}

checked_text!(
    /// One line of an address: up to 100 characters.
    AddressLine: single_line(100), "One line of an address.", "12 St James's Square"
);

checked_text!(
    /// An international telephone number in the form of ITU-T E.164: a plus sign, the country code
    /// and the number, together 7 to 15 digits, without spaces.
    PhoneNumber: code(
        8..=16,
        "^[+][1-9][0-9]*$",
        is_international,
        Violation::new(
            "invalid_phone",
            "A telephone number is + and 7 to 15 digits that begin with the country code, such as +442079460958.",
        ),
    ),
    "An international telephone number: a plus sign, then 7 to 15 digits that begin with the country code.",
    "+442079460958"
);

fn is_international(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        !digits.starts_with('0') && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

checked_text!(
    /// A country code of ISO 3166-1 alpha-2, in upper case.
    CountryCode: by(
        assigned,
        one_of("A country: an assigned code of ISO 3166-1 alpha-2.", &ASSIGNED).problem_codes(&["invalid_country"])
    )
);

fn assigned(text: &str) -> Result<String, Violation> {
    let detail = "Use an assigned code of ISO 3166-1 in two upper-case letters, such as DE. The United Kingdom is GB.";
    let is_assigned = ASSIGNED.binary_search(&text).is_ok();
    is_assigned.then(|| text.to_owned()).ok_or_else(|| Violation::new("invalid_country", detail))
}

impl CountryCode {
    fn has_postal_codes(&self) -> bool {
        WITHOUT_POSTAL_CODE.binary_search(&self.as_str()).is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json, to_value};

    fn read(change: impl FnOnce(&mut Value)) -> Result<Address, String> {
        let mut address = json!({ "name": "Ada", "line1": "12 Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB" });
        change(&mut address);
        serde_json::from_value(address).map_err(|error| error.to_string())
    }

    #[test]
    fn postal_code_is_optional_in_countries_without_one() {
        for country in [
            "AE", "AG", "AO", "BS", "BZ", "CI", "FJ", "GY", "HK", "JM", "KP", "MO", "QA", "RW",
            "UG", "YE", "ZW",
        ] {
            let without = read(|address| {
                address["country"] = json!(country);
                address.as_object_mut().unwrap().remove("postal_code");
            });
            assert_eq!(without.unwrap().postal_code, None, "{country}");
            let null = read(|address| {
                (address["country"], address["postal_code"]) = (json!(country), Value::Null)
            });
            assert_eq!(null.unwrap().postal_code, None, "{country}");
            assert!(
                read(|address| address["country"] = json!(country)).unwrap().postal_code.is_some(),
                "{country}"
            );
        }
        for country in ["GB", "DE", "US", "JP", "FR", "IN", "BR", "CA", "CH", "AU"] {
            let error = read(|address| {
                address["country"] = json!(country);
                address.as_object_mut().unwrap().remove("postal_code");
            });
            assert!(error.unwrap_err().starts_with("missing field `postal_code`"), "{country}");
        }
    }

    #[test]
    fn address_round_trips_and_rejects_unknown_fields() {
        let address = read(|address| address["country"] = json!("HK")).unwrap();
        assert_eq!(
            serde_json::from_value::<Address>(to_value(&address).unwrap()).unwrap(),
            address
        );
        assert!(
            read(|address| address["planet"] = json!("Earth"))
                .unwrap_err()
                .starts_with("unknown field")
        );
    }

    #[test]
    fn only_assigned_countries_are_accepted() {
        for code in ASSIGNED {
            assert!(CountryCode::try_from(code.to_owned()).is_ok(), "{code}");
        }
        for code in [
            "UK", "XX", "ZZ", "EU", "XK", "AN", "CS", "SU", "YU", "AA", "QM", "AC", "IC", "", "de",
            "De", "DEU", "D", "D1", "ＤＥ", "É", "DE ",
        ] {
            assert_eq!(
                CountryCode::try_from(code.to_owned()).unwrap_err().code,
                "invalid_country",
                "{code}"
            );
        }
    }

    #[test]
    fn company_and_phone_are_optional_and_omitted_without_a_value() {
        let plain = to_value(read(|_| {}).unwrap()).unwrap();
        assert_eq!((plain.get("company"), plain.get("phone")), (None, None));
        let full = read(|address| {
            (address["company"], address["phone"]) =
                (json!("Analytical Engines Ltd"), json!("+442079460958"))
        });
        let full = to_value(full.unwrap()).unwrap();
        assert_eq!(
            (&full["company"], &full["phone"]),
            (&json!("Analytical Engines Ltd"), &json!("+442079460958"))
        );
        let null = read(|address| address["phone"] = Value::Null).unwrap();
        assert_eq!((null.company, null.phone), (None, None));
    }

    #[test]
    fn phone_numbers_are_international_digits() {
        for good in ["+442079460958", "+1234567", "+123456789012345"] {
            assert_eq!(PhoneNumber::parse(good).map(String::from).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "+",
            "+123456",
            "+1234567890123456",
            "442079460958",
            "0442079460958",
            "+0442079460958",
            "+44 20 7946 0958",
            "+44-2079460958",
            "+44(0)2079460958",
            "++442079460958",
            "+44207946095x",
            "+４４２０７９４６０９５８",
            "+442079460958\n",
        ] {
            assert_eq!(PhoneNumber::parse(bad).unwrap_err().code, "invalid_phone", "{bad:?}");
        }
    }

    #[test]
    fn address_lines_are_single_lines() {
        let line = |text: &str| {
            AddressLine::try_from(text.to_owned())
                .map(String::from)
                .map_err(|violation| violation.code)
        };
        assert_eq!(line("12 Square\r\nFlat 3\t").as_deref(), Ok("12 Square Flat 3"));
        assert_eq!(line("\u{3164}"), Err("blank".to_owned()));
        assert_eq!(line("a\u{202e}b"), Err("invalid_characters".to_owned()));
    }
}
