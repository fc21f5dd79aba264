//! The committed goldens: items by table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::{Map, Value, json};
use tests::{
    aws::Aws,
    shop::{Shop, clock},
    template::{self, STACK, template},
};

use crate::text;

/// The shop of the last release.
#[derive(Clone)]
pub struct Golden {
    /// By the name of the table without the stack.
    items: BTreeMap<String, Vec<Value>>,
    /// The refresh token of a stored session.
    pub refresh_token: String,
}

#[expect(clippy::disallowed_methods, reason = "the caller of the test requests an update")]
pub fn is_updating() -> bool {
    std::env::var("UPDATE_GOLDENS").is_ok_and(|asked| asked == "1")
}

fn folder() -> PathBuf {
    template::root().join("tests/upgrade/goldens")
}

/// Reads the goldens of the items.
pub fn read() -> Golden {
    let files = fs::read_dir(folder().join("items")).unwrap().map(|entry| entry.unwrap().path());
    let table = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap())
    };
    let refresh_token = fs::read_to_string(folder().join("refresh_token.txt")).unwrap();
    Golden { items: files.map(table).collect(), refresh_token: refresh_token.trim().to_owned() }
}

pub fn of((shop, refresh_token): &(Shop, String)) -> Golden {
    let names = template().tables().into_keys();
    let names = names.map(|name| name.trim_start_matches(STACK).trim_start_matches('-').to_owned());
    let items = names.map(|name| (name.clone(), shop.aws.items(&name))).collect();
    Golden { items, refresh_token: refresh_token.clone() }
}

/// Writes the goldens.
pub fn write(golden: &Golden) {
    let items = folder().join("items");
    let _absent = fs::remove_dir_all(&items);
    fs::create_dir_all(&items).unwrap();
    for (table, all) in &golden.items {
        fs::write(items.join(format!("{table}.json")), format!("{:#}\n", json!(all))).unwrap();
    }
    let token = format!("{}\n", golden.refresh_token);
    fs::write(folder().join("refresh_token.txt"), token).unwrap();
}

/// The keys and indexes of each table, by its name without the stack.
pub fn tables() -> Value {
    let table = |(name, request): (String, Value)| {
        let name = name.trim_start_matches(STACK).trim_start_matches('-').to_owned();
        (
            name,
            json!({ "keys": request["KeySchema"], "indexes": request["GlobalSecondaryIndexes"] }),
        )
    };
    Value::Object(template().tables().into_iter().map(table).collect::<Map<_, _>>())
}

impl Golden {
    /// A shop with these items, some minutes after they were written: the unpaid order has not yet
    /// expired, and the ledger audits everything. Nothing is in its queues.
    pub fn shop(&self) -> Shop {
        let aws = Aws::new();
        for (table, item) in self.items() {
            aws.put(table, item);
        }
        let clock = clock();
        clock.advance(std::time::Duration::from_secs(22 * 60));
        Shop::over(aws, clock)
    }

    /// Each item with its table.
    pub fn items(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.items.iter().flat_map(|(table, items)| items.iter().map(|item| (table.as_str(), item)))
    }

    pub fn items_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.items.values_mut().flatten()
    }

    pub fn kinds(&self) -> BTreeSet<String> {
        self.items().map(|(table, item)| kind(table, item)).collect()
    }
}

/// The kind of an item: its table, and the fixed parts of its key. A tombstone is a kind of its
/// own.
pub fn kind(table: &str, item: &Value) -> String {
    let fixed = |name: &str| {
        let key = text(item, name);
        let part = key.split('#').next().unwrap_or_default();
        // An id or a number is not fixed.
        let is_fixed = part.chars().all(|each| each.is_ascii_uppercase() || each == '_');
        if is_fixed { part.to_owned() } else { "*".to_owned() }
    };
    let tombstone = if item.get("deleted_at").is_some() { " deleted" } else { "" };
    match item.get("sk") {
        Some(_) => format!("{table} {} {}{tombstone}", fixed("pk"), fixed("sk")),
        None => format!("{table} {}{tombstone}", fixed("pk")),
    }
}

pub fn key(item: &Value) -> Value {
    let key = ["pk", "sk"]
        .into_iter()
        .filter_map(|name| item.get(name).map(|value| (name.to_owned(), value.clone())));
    Value::Object(key.collect())
}
