//! The fields of request bodies, from the API document: position, whether required, and values out
//! of bounds.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::routes::DOCUMENT;

/// A field of a request body; `place` is `""` for the body itself.
pub struct Field {
    pub operation: String,
    /// A JSON pointer. Lists have one element.
    pub place: String,
    required: bool,
    schema: Value,
}

/// Fields that the document declares as optional, but that the other fields of the fixture's body
/// require. Addresses are in a country with postal codes, a new e-mail address requires the
/// password, and dates require the price that they limit.
const NEEDED: [(&str, &str); 11] = [
    ("change-cart", "/billing_address/postal_code"),
    ("change-cart", "/shipping_address/postal_code"),
    ("create-address", "/address/postal_code"),
    ("create-order", "/billing_address/postal_code"),
    ("create-order", "/shipping_address/postal_code"),
    ("preview-prices", "/shipping_address/postal_code"),
    ("create-product", "/prices/0/compare_at"),
    ("update-address", "/address/postal_code"),
    ("update-me", "/current_password"),
    ("update-order", "/shipping_address/postal_code"),
    ("update-product", "/prices/0/compare_at"),
];

/// Optional fields that the rest of this operation's body needs, with the code of the problem
/// without them: an order in a market, and a promotion without a fixed discount.
const NEEDED_WITH_CODE: [(&str, &str, &str); 4] = [
    ("create-promotion", "/percent_bp", "invalid_effect"),
    ("create-order", "/market", "required"),
    ("create-order", "/shipping_address", "shipping_address_required"),
    ("create-order", "/shipping_method", "shipping_method_required"),
];

pub fn fields() -> &'static [Field] {
    static FIELDS: OnceLock<Vec<Field>> = OnceLock::new();
    FIELDS.get_or_init(|| {
        let document: &Value = &DOCUMENT;
        let mut fields = Vec::new();
        let operations = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|path| path.as_object().unwrap().values());
        for operation in
            operations.filter(|operation| operation["operationId"] != "receive-payment-webhook")
        {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if !schema.is_null() {
                walk(
                    operation["operationId"].as_str().unwrap(),
                    "",
                    true,
                    expanded(document, schema),
                    &mut fields,
                );
            }
        }
        fields
    })
}

/// Whether a field may be null or an empty text.
pub fn may_be_null(operation: &str, place: &str) -> bool {
    !NEEDED.contains(&(operation, place))
        && fields().iter().any(|field| field.is(operation, place) && field.is_nullable())
}

/// The code of a valid body without this field, if the rest of the body needs it.
pub fn code_without(operation: &str, place: &str) -> Option<&'static str> {
    let needed = NEEDED_WITH_CODE.iter().find(|row| (row.0, row.1) == (operation, place));
    needed.map(|(_, _, code)| *code)
}

pub fn may_be_absent(operation: &str, place: &str) -> bool {
    !NEEDED.contains(&(operation, place))
        && fields().iter().any(|field| field.is(operation, place) && !field.required)
}

fn walk(operation: &str, place: &str, required: bool, schema: Value, fields: &mut Vec<Field>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let is_required = schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|required| required == name));
        walk(operation, &format!("{place}/{name}"), is_required, property.clone(), fields);
    }
    if schema["items"].is_object() {
        walk(operation, &format!("{place}/0"), true, schema["items"].clone(), fields);
    }
    fields.push(Field {
        operation: operation.to_owned(),
        place: place.to_owned(),
        required,
        schema,
    });
}

/// Expands a schema's references and alternatives. A nullable schema is marked by an extra member.
fn expanded(document: &Value, schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return expanded(document, document.pointer(name.trim_start_matches('#')).unwrap());
    }
    if let Some(all) = schema["allOf"].as_array() {
        return all.iter().map(|part| expanded(document, part)).reduce(merged).unwrap();
    }
    match schema["oneOf"].as_array().map(Vec::as_slice) {
        Some([other, null]) if null["type"] == "null" => {
            let mut schema = expanded(document, other);
            schema["nullable"] = json!(true);
            return schema;
        }
        // The fixture's body has the first form.
        Some([first, ..]) => return expanded(document, first),
        _ => {}
    }
    let mut whole = schema.clone();
    // A nullable list has both types.
    if let Some([other, null]) = schema["type"].as_array().map(Vec::as_slice)
        && null == "null"
    {
        whole["type"] = other.clone();
        whole["nullable"] = json!(true);
    }
    for property in whole["properties"].as_object_mut().into_iter().flatten() {
        *property.1 = expanded(document, property.1);
    }
    if schema["items"].is_object() {
        whole["items"] = expanded(document, &schema["items"]);
    }
    whole
}

fn merged(mut one: Value, other: Value) -> Value {
    match (one.as_object_mut(), other) {
        (Some(members), Value::Object(others)) => {
            for (name, value) in others {
                let before = members.remove(&name).unwrap_or_default();
                members.insert(name, merged(before, value));
            }
            one
        }
        (_, other) => other,
    }
}

impl Field {
    fn is(&self, operation: &str, place: &str) -> bool {
        self.operation == operation && self.place == place
    }

    pub fn is_nullable(&self) -> bool {
        self.schema["nullable"] == true
    }

    /// The codes of invalid values, where the schema lists them.
    pub fn codes(&self) -> Vec<&str> {
        let named: Vec<&str> = self.schema["x-problems"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        match &self.schema {
            _ if !named.is_empty() => named,
            schema if schema["enum"].is_array() => vec!["unknown_value"],
            schema if schema["type"] == "integer" => vec!["out_of_range"],
            _ => vec![],
        }
    }

    /// A valid item of a list.
    fn item(&self) -> Value {
        let product = "prd_0199c2a8-0000-7000-8000-00000000000a";
        match self.place.rsplit('/').next().unwrap() {
            "countries" => json!("AT"),
            "markets" => json!("fixture"),
            "categories" => json!("kitchen"),
            "products" => json!(product),
            "fixed" | "min_subtotal" => json!({ "amount": 100, "currency": "CHF" }),
            "rates" => json!({ "name": "VAT", "ppm": 1000 }),
            "attributes" => json!({ "name": "gift_wrapping", "value": "yes" }),
            "items" | "lines" => json!({ "product_id": product, "quantity": 1 }),
            other => panic!("a list of which items is {other}?"),
        }
    }

    /// The only code, or the one among several that is in `meant`.
    fn code(&self, meant: &[&str]) -> Option<&str> {
        let codes = self.codes();
        if let [only] = codes[..] {
            Some(only)
        } else {
            codes.into_iter().find(|code| meant.contains(code))
        }
    }

    /// Values outside the documented bounds, each with its code.
    pub fn out_of_bounds(&self) -> Vec<(Value, &str)> {
        let (bound, mut rows) = (|name: &str| self.schema[name].as_i64(), Vec::new());
        if let (Some(least), Some(most), Some(code)) =
            (bound("minimum"), bound("maximum"), self.code(&[]))
        {
            let outside =
                [least - 1, most + 1, -1, 4_294_967_295, 4_294_967_296, i64::MIN, i64::MAX];
            rows.extend(
                outside
                    .into_iter()
                    .filter(|value| !(least..=most).contains(value))
                    .map(|value| (json!(value), code)),
            );
        }
        let text = |length: i64| json!("x".repeat(usize::try_from(length).unwrap()));
        if let (Some(most), Some(code)) =
            (bound("maxLength"), self.code(&["too_long", "password_too_long"]))
        {
            rows.extend([most + 1, 200_000].map(|length| (text(length), code)));
        }
        // An empty text counts as left out where the field is optional.
        if let (Some(least), Some(code)) =
            (bound("minLength"), self.code(&["blank", "password_too_short"]))
            && !(self.is_nullable() && least == 1)
        {
            rows.push((text(least - 1), code));
        }
        if let (Some(values), Some(code)) = (self.schema["enum"].as_array(), self.code(&[])) {
            let first = values[0].as_str().unwrap();
            let near = [
                String::new(),
                format!("{first} "),
                format!("{first}\0"),
                first.to_uppercase(),
                first.to_lowercase(),
                first.repeat(999),
            ];
            rows.extend(
                near.map(Value::from)
                    .into_iter()
                    .filter(|value| !values.contains(value))
                    // An empty text counts as left out where the field is optional.
                    .filter(|value| !(self.is_nullable() && *value == ""))
                    .map(|value| (value, code)),
            );
        }
        if let (Some(least), Some(most)) = (bound("minItems"), bound("maxItems")) {
            let items = |length: i64| json!(vec![self.item(); usize::try_from(length).unwrap()]);
            let lengths = [least - 1, most + 1, 3000].into_iter().filter(|length| *length >= 0);
            rows.extend(lengths.map(|length| (items(length), "out_of_range")));
        }
        rows
    }
}
