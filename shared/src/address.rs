//! Shipping addresses. Deserializing one checks every field.

use self::countries::{ASSIGNED, WITHOUT_POSTAL_CODE};
use crate::{checked_text, validation::Violation};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

mod countries;

/// A shipping address.
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
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Fields { name, line1, line2, city, region, postal_code, country } =
            Fields::deserialize(deserializer)?;
        if postal_code.is_none() && country.has_postal_codes() {
            return Err(D::Error::missing_field("postal_code"));
        }
        Ok(Self { name, line1, line2, city, region, postal_code, country })
    }
}

checked_text!(
    /// One line of an address: up to 100 characters.
    AddressLine: single_line(100), "One line of an address.", "12 St James's Square"
);

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
