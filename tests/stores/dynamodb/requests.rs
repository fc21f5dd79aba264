//! Random requests over the tables of the shop: mostly valid ones, over few keys, so that writes
//! meet existing items.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tests::{rng::Rng, template::Template};

const CONDITIONS: &[&str] = &[
    "attribute_not_exists(#k)",
    "attribute_exists(#k)",
    "#x = :v",
    "#x <> :v",
    "#x < :n",
    "#x <= :n",
    "#x > :v",
    "#x >= :v",
    "attribute_not_exists(#k) OR #x < :n",
    "attribute_exists(#k) AND (attribute_not_exists(#x) OR #x < :v)",
    "(#x = :v OR #y = :w) AND NOT attribute_exists(#z)",
    "#x BETWEEN :n AND :n",
    "#x IN (:v, :w)",
    "begins_with(#x, :s)",
    "contains(#x, :v)",
    "size(#x) > :n",
    "attribute_type(#x, :t)",
    "#x = #y",
    "a = :v AND NOT b = :w",
];

const MALFORMED_CONDITIONS: &[&str] = &[
    "",
    " ",
    "#x",
    "#x =",
    "#x = :v AND",
    "#x = :v #y",
    "((#x = :v))",
    "(#x = :v",
    "status = :v",
    "matches(#x, :v)",
    "#x ! :v",
    "#x == :v",
    "AND = :v",
    "attribute_exists(:v)",
    "#x BETWEEN :v OR :w",
    "#x IN ()",
    ": = #x",
    "a-b = :v",
    "contains(#x, #x)",
    "begins_with(#x, :n)",
    "#x BETWEEN :s AND :n",
];
/// The last of them have operands of the wrong type.
const CONDITIONS_OF_WRONG_TYPES: usize = 3;

const UPDATES: &[&str] = &[
    "SET #x = :v",
    "SET #x = :v, #y = :w",
    "SET #x = #y",
    "SET #x = #x + :n",
    "SET #x = #y - :n, #y = :m",
    "SET #x = if_not_exists(#x, :n) - :m",
    "SET #x = if_not_exists(#x, :n) + :m, #y = :v",
    "SET #x = list_append(if_not_exists(#x, :l), :l)",
    "REMOVE #x",
    "REMOVE #x, #y",
    "ADD #x :n",
    "ADD #x :n, #y :m",
    "SET #x = :v REMOVE #y ADD #z :n",
    "set #x = :v remove #y",
    "SET #i = :s",
    "SET #i = :v",
    "REMOVE #i",
];

const MALFORMED_UPDATES: &[&str] = &[
    "",
    "SET",
    "SET #x",
    "SET #x = :v,",
    "SET #x = :v SET #y = :w",
    "SET #x = :v, #x = :w",
    "SET #x = :v REMOVE #x",
    "SET status = :v",
    "SET #x = upper(:v)",
    "UPDATE #x = :v",
    "REMOVE :v",
    "SET #k = :v",
    "SET #x = :s + :n",
    "SET #x = list_append(:v, :n)",
    "ADD #x :s",
];
/// The last of them have operands of the wrong type, or change a key.
const UPDATES_OF_WRONG_TYPES: usize = 4;

/// Tests of a sort key, after `#p = :p`.
const SORT_TESTS: &[&str] = &[
    "",
    "",
    " AND #s = :s",
    " AND #s < :s",
    " AND #s <= :s",
    " AND #s > :s",
    " AND #s >= :s",
    " AND #s BETWEEN :s AND :u",
    " AND begins_with(#s, :s)",
];

const MALFORMED_QUERIES: &[&str] = &[
    "",
    "#s = :s",
    "#p > :p",
    "#p = :p AND #p = :s",
    "#p = :p AND #x = :s",
    "#p = :p AND #s <> :s",
    "#p = :p AND #s = :s AND #x = :u",
    "#p = :p OR #s = :s",
    "#p = :n",
    "#p = :p AND begins_with(#s, :n)",
    "#p = :p AND contains(#s, :s)",
    "#p = :p AND",
    "status = :p",
];

/// A table: its key attributes, and those of its indexes.
struct Shape {
    name: String,
    keys: Vec<String>,
    indexes: Vec<(String, Vec<String>)>,
}

/// Generates requests. A request has at most one error, so that the order of the checks does not
/// matter.
pub struct Requests {
    rng: Rng,
    tables: Vec<Shape>,
    /// Whether the request has an error.
    is_wrong: bool,
    in_transaction: bool,
}

impl Requests {
    pub fn new(template: &Template, seed: u64) -> Self {
        let keys = |schema: &Value| -> Vec<String> {
            let mut elements = schema["KeySchema"].as_array().unwrap().clone();
            elements.sort_by_key(|element| element["KeyType"] != "HASH");
            elements.iter().map(|key| key["AttributeName"].as_str().unwrap().to_owned()).collect()
        };
        let index = |index: &Value| (index["IndexName"].as_str().unwrap().to_owned(), keys(index));
        let shape = |(name, request): (String, Value)| Shape {
            name,
            keys: keys(&request),
            indexes: request["GlobalSecondaryIndexes"]
                .as_array()
                .into_iter()
                .flatten()
                .map(index)
                .collect(),
        };
        Self {
            rng: Rng::new(seed),
            tables: template.tables().into_iter().map(shape).collect(),
            is_wrong: false,
            in_transaction: false,
        }
    }

    /// The next operation with its request.
    pub fn next(&mut self) -> (&'static str, Value) {
        (self.is_wrong, self.in_transaction) = (false, false);
        let table = self.rng.within(0..self.tables.len());
        match self.rng.within(0..20) {
            0..5 => ("PutItem", self.put(table)),
            5..9 => ("UpdateItem", self.update(table)),
            9 | 10 => ("DeleteItem", self.delete(table)),
            11..14 => ("TransactWriteItems", self.transaction()),
            14 => ("GetItem", json!({ "TableName": self.name(table), "Key": self.key(table) })),
            15 => ("BatchGetItem", self.batch()),
            _ => ("Query", self.query(table)),
        }
    }

    /// Whether an error is made now: in about one of `cases`, and once in a request.
    fn errs(&mut self, cases: usize) -> bool {
        let errs = !self.is_wrong && self.rng.within(0..cases) == 0;
        self.is_wrong |= errs;
        errs
    }

    /// An expression, or a malformed one. dynoxide does not check the types of the operands in a
    /// transaction before it evaluates them, and lets it change keys.
    fn expression(
        &mut self,
        all: &'static [&str],
        malformed: &'static [&str],
        of_wrong_types: usize,
    ) -> &'static str {
        if !self.errs(25) {
            return self.rng.one::<&str>(all);
        }
        let left_out = if self.in_transaction { of_wrong_types } else { 0 };
        self.rng.one::<&str>(&malformed[..malformed.len() - left_out])
    }

    fn name(&mut self, table: usize) -> String {
        if self.errs(100) {
            "ferrocart-unknown".to_owned()
        } else {
            self.tables[table].name.clone()
        }
    }

    fn text(&mut self) -> String {
        (*self.rng.one(&["a", "ab", "b", "b#1", "b#2", "c", "é"])).to_owned()
    }

    fn number(&mut self) -> Value {
        let numbers = ["0", "1", "2", "-3", "1.5", "0.10", "1e3", "99999999999999999999"];
        // In a transaction, the message names the place of the number.
        if !self.in_transaction && self.errs(300) {
            return json!({ "N": *self.rng.one(&["x", "", "1e200", "1e-200", "1.2.3"]) });
        }
        json!({ "N": *self.rng.one(&numbers) })
    }

    fn value(&mut self) -> Value {
        match self.rng.within(0..10) {
            0..3 => self.number(),
            3..6 => json!({ "S": self.text() }),
            6 => json!({ "BOOL": self.rng.chance(50) }),
            7 => json!({ "NULL": true }),
            8 => json!({ "L": [self.number(), { "S": self.text() }] }),
            _ => json!({ "M": { "a": self.number(), "b": { "L": [] } } }),
        }
    }

    fn key(&mut self, table: usize) -> Value {
        let mut names = self.tables[table].keys.clone();
        if self.errs(150) {
            names.pop();
        }
        let mut key = Map::new();
        for name in names {
            key.insert(name, self.key_value());
        }
        key.into()
    }

    fn key_value(&mut self) -> Value {
        if self.errs(100) {
            let wrong = ["", &"k".repeat(2049), &"k".repeat(1025)].map(|text| json!({ "S": text }));
            let wrong =
                [wrong.as_slice(), &[json!({ "N": "1" }), json!({ "NULL": true })]].concat();
            return self.rng.one(&wrong).clone();
        }
        json!({ "S": self.text() })
    }

    fn item(&mut self, table: usize) -> Value {
        let mut item = self.key(table);
        let indexes = self.tables[table].indexes.clone();
        for name in indexes.into_iter().flat_map(|(_, keys)| keys) {
            if item.get(&name).is_none() && self.rng.chance(70) {
                item[&name] = self.key_value();
            }
        }
        for name in ["a", "b", "c", "status"] {
            if self.rng.chance(60) {
                item[name] = self.value();
            }
        }
        if self.rng.chance(20) {
            item["tags"] = json!({ "SS": ["a", "b"] });
        }
        if self.errs(100) {
            item["large"] = json!({ "S": "x".repeat(400 * 1024 - self.rng.within(0..60)) });
        }
        item
    }

    /// Adds a condition, and defines the placeholders of all expressions.
    fn with_condition(&mut self, table: usize, mut request: Value) -> Value {
        if self.rng.chance(80) {
            request["ConditionExpression"] =
                self.expression(CONDITIONS, MALFORMED_CONDITIONS, CONDITIONS_OF_WRONG_TYPES).into();
        }
        if self.rng.chance(80) {
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD".into();
        }
        self.define(table, &mut request, &["ConditionExpression", "UpdateExpression"]);
        request
    }

    fn define(&mut self, table: usize, request: &mut Value, expressions: &[&str]) {
        let texts: Vec<String> = expressions
            .iter()
            .filter_map(|name| request[*name].as_str().map(str::to_owned))
            .collect();
        // dynoxide checks the placeholders of a transaction's updates only when it runs them.
        let may_err = !self.in_transaction;
        let uses = |placeholder: &str| texts.iter().any(|text| text.contains(placeholder));
        let (mut names, mut values) = (Map::new(), Map::new());
        for (placeholder, name) in self.names(table) {
            if uses(placeholder) != (may_err && self.errs(300)) {
                names.insert(placeholder.to_owned(), name.into());
            }
        }
        for placeholder in [":v", ":w", ":n", ":m", ":l", ":s", ":t"] {
            if uses(placeholder) != (may_err && self.errs(300)) {
                let value = match placeholder {
                    ":n" | ":m" => self.number(),
                    ":l" => json!({ "L": [self.number()] }),
                    ":s" => json!({ "S": self.text() }),
                    ":t" => json!({ "S": *self.rng.one(&["S", "N", "L", "M", "BOOL", "NULL"]) }),
                    _ => self.value(),
                };
                values.insert(placeholder.to_owned(), value);
            }
        }
        for (member, definitions) in
            [("ExpressionAttributeNames", names), ("ExpressionAttributeValues", values)]
        {
            if !definitions.is_empty() {
                request[member] = definitions.into();
            }
        }
    }

    fn names(&mut self, table: usize) -> BTreeMap<&'static str, String> {
        let shape = &self.tables[table];
        let index_key = shape.indexes.iter().flat_map(|(_, keys)| keys).next().cloned();
        let key = shape.keys[0].clone();
        let mut attributes = ["a", "b", "c", "status"];
        let turn = self.rng.within(0..4);
        attributes.rotate_left(turn);
        BTreeMap::from([
            ("#k", key),
            ("#i", index_key.unwrap_or_else(|| "a".to_owned())),
            ("#x", attributes[0].to_owned()),
            ("#y", attributes[1].to_owned()),
            ("#z", attributes[2].to_owned()),
        ])
    }

    fn put(&mut self, table: usize) -> Value {
        let request = json!({ "TableName": self.name(table), "Item": self.item(table) });
        self.with_condition(table, request)
    }

    fn update(&mut self, table: usize) -> Value {
        let update = self.expression(UPDATES, MALFORMED_UPDATES, UPDATES_OF_WRONG_TYPES);
        let request = json!({
            "TableName": self.name(table),
            "Key": self.key(table),
            "UpdateExpression": update,
        });
        self.with_condition(table, request)
    }

    fn delete(&mut self, table: usize) -> Value {
        let request = json!({ "TableName": self.name(table), "Key": self.key(table) });
        self.with_condition(table, request)
    }

    fn transaction(&mut self) -> Value {
        self.in_transaction = true;
        let mut writes = Vec::new();
        let least = usize::from(!self.errs(100));
        for _ in 0..self.rng.within(least..5) {
            let table = self.rng.within(0..self.tables.len());
            writes.push(match self.rng.within(0..4) {
                0 => json!({ "Put": self.put(table) }),
                1 => json!({ "Update": self.update(table) }),
                2 => json!({ "Delete": self.delete(table) }),
                _ => {
                    let mut check = self.delete(table);
                    if check.get("ConditionExpression").is_none() {
                        check["ConditionExpression"] = "attribute_exists(#k)".into();
                        self.define(table, &mut check, &["ConditionExpression"]);
                    }
                    json!({ "ConditionCheck": check })
                }
            });
        }
        if self.errs(200) {
            writes = (0..101).map(|_| json!({ "Put": self.put(0) })).collect();
        }
        let mut request = json!({ "TransactItems": writes });
        if self.rng.chance(30) {
            request["ClientRequestToken"] = format!("token-{}", self.rng.within(0..1000)).into();
        }
        request
    }

    fn batch(&mut self) -> Value {
        let mut items = Map::new();
        let least = usize::from(!self.errs(50));
        for _ in 0..self.rng.within(least..3) {
            let table = self.rng.within(0..self.tables.len());
            let least = usize::from(!self.errs(50));
            let mut keys: Vec<Value> =
                (0..self.rng.within(least..4)).map(|_| self.key(table)).collect();
            if !self.errs(20) {
                keys.sort_by_key(Value::to_string);
                keys.dedup();
            }
            let keys = json!({ "Keys": keys, "ConsistentRead": true });
            items.insert(self.name(table), keys);
        }
        json!({ "RequestItems": items })
    }

    fn query(&mut self, table: usize) -> Value {
        let shape = &self.tables[table];
        let (index, keys) = match self.rng.within(0..shape.indexes.len() + 1) {
            0 => (None, shape.keys.clone()),
            index => (Some(shape.indexes[index - 1].0.clone()), shape.indexes[index - 1].1.clone()),
        };
        let condition = if self.errs(12) {
            (*self.rng.one(MALFORMED_QUERIES)).to_owned()
        } else if keys.len() > 1 {
            format!("#p = :p{}", self.rng.one(SORT_TESTS))
        } else {
            "#p = :p".to_owned()
        };
        let (mut low, mut high) = (self.text(), self.text());
        if low > high && !self.errs(10) {
            std::mem::swap(&mut low, &mut high);
        }
        let sort_key = keys.get(1).map_or("a", String::as_str);
        let names = [("#p", keys[0].as_str()), ("#s", sort_key), ("#x", "b")];
        let values = [
            (":p", json!({ "S": self.text() })),
            (":s", json!({ "S": low })),
            (":u", json!({ "S": high })),
            (":n", json!({ "N": "1" })),
        ];
        let names: Map<_, _> = names
            .into_iter()
            .filter(|(name, _)| condition.contains(name))
            .map(|(name, attribute)| (name.to_owned(), attribute.into()))
            .collect();
        let values: Map<_, _> = values
            .into_iter()
            .filter(|(value, _)| condition.contains(value))
            .map(|(value, text)| (value.to_owned(), text))
            .collect();
        let mut request = json!({
            "TableName": self.tables[table].name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "ScanIndexForward": self.rng.chance(60),
        });
        for member in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
            if request[member].as_object().is_some_and(Map::is_empty) {
                request.as_object_mut().unwrap().remove(member);
            }
        }
        if let Some(index) = index {
            request["IndexName"] =
                if self.errs(100) { "unknown-index".into() } else { index.into() };
        }
        if request["IndexName"].is_null() || self.errs(50) {
            request["ConsistentRead"] = self.rng.chance(50).into();
        }
        if self.rng.chance(70) {
            request["Limit"] = self.rng.within(1..4).into();
        }
        if keys.len() > 1 && self.errs(20) {
            request["ExclusiveStartKey"] = self.key(table);
        }
        request
    }
}
