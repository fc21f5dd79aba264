//! Checks of the repository itself. Every failure says what to do and where.
#![allow(clippy::unwrap_used)]

mod alarms;
mod api_document;
mod code;
mod dashboards;
mod functions;
mod gateway;
mod generated;
mod indexes;
mod metrics;
mod operations;
mod prose;
mod queues;
mod releases;
mod size;
mod templates;

use std::{collections::BTreeMap, path::PathBuf, process::Command, sync::OnceLock};

use serde_json::Value;
use tests::template::{self, Template};

/// An operation, in its spellings.
pub struct Operation {
    /// `orders`
    pub service: String,
    /// `create-order`
    pub name: String,
}

impl Operation {
    /// `create_order`
    fn module(&self) -> String {
        self.name.replace('-', "_")
    }

    /// `CreateOrderFunction`
    fn logical_id(&self) -> String {
        format!("{}Function", pascal(&self.name))
    }
}

/// `CreateOrder` of `create-order`.
pub fn pascal(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(capital).collect()
}

pub fn operations() -> Vec<Operation> {
    let operation = |operation: &shared::operation::Operation| Operation {
        service: operation.service.to_owned(),
        name: operation.name(),
    };
    tests::shop::operations().map(operation).collect()
}

/// The crates below `functions`.
pub fn services() -> Vec<String> {
    let mut services: Vec<String> = std::fs::read_dir(template::root().join("functions"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    services.sort();
    services
}

/// The files directly in a folder that have this extension, sorted.
pub fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(template::root().join(folder)) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}

/// The text of a file, by its path from the root.
#[track_caller]
pub fn source(path: &str) -> String {
    std::fs::read_to_string(template::root().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files anywhere below a folder that have this extension, sorted, with their path from the
/// root.
pub fn all_files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![template::root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let name =
                    path.strip_prefix(template::root()).unwrap().to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn stem(path: &std::path::Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The functions of the template by operation: logical id and resolved properties.
pub fn functions(template: &Template) -> BTreeMap<String, (String, Value)> {
    let function = |(id, resource): (&str, &Value)| {
        let properties = template.resolve(&resource["Properties"]);
        let name = properties["FunctionName"].as_str().unwrap_or(id);
        (name.strip_prefix("ferrocart-").unwrap_or(name).to_owned(), (id.to_owned(), properties))
    };
    template.resources("AWS::Serverless::Function").map(function).collect()
}

/// The templates after the SAM transform, merged into one. Needs the SAM tools of `make setup`.
///
/// # Panics
/// If the tools are missing or SAM rejects a template.
pub fn transformed() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| merged(transformed_files().clone()))
}

fn merged(mut files: BTreeMap<String, Value>) -> Template {
    let root = files.remove("template.yaml").unwrap();
    Template::merged(root, files.into_values())
}

/// As [`transformed`], with a parameter that the transform itself reads: `XRay=Active`.
///
/// # Panics
/// As [`transformed`].
pub fn transformed_with(name: &str, value: &str) -> Template {
    merged(transform(&[&format!("{name}={value}")])).with(&[(name, value)])
}

/// Each template after the SAM transform, by its path.
///
/// # Panics
/// As [`transformed`].
pub fn transformed_files() -> &'static BTreeMap<String, Value> {
    static TEMPLATES: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    TEMPLATES.get_or_init(|| transform(&[]))
}

fn transform(parameters: &[&str]) -> BTreeMap<String, Value> {
    let root = template::root();
    let python = root.join("localstack/.venv-sam/bin/python");
    assert!(python.is_file(), "the SAM tools are missing: run python3 localstack/stack.py setup");
    let output = Command::new(python)
        .arg(root.join("tests/repository/transform.py"))
        .args(parameters)
        .current_dir(root)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "SAM rejects a template: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The timeout of a function in seconds.
pub fn timeout(properties: &Value) -> u64 {
    properties["Timeout"].as_u64().expect("a function has a time limit")
}

/// Fails with all complaints at once, so that the author of an operation sees the whole list.
#[track_caller]
pub fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
