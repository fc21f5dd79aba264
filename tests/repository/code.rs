//! Rules for the code that neither the compiler nor the lints check.

use std::collections::BTreeMap;

use tests::template;

use super::{all_files, none, services};

/// The deployed part of a file.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

/// Whether a file is a test-only module, according to its `mod` declaration.
fn is_of_tests(file: &str, files: &BTreeMap<String, String>) -> bool {
    let Some((folder, name)) = file.trim_end_matches(".rs").rsplit_once('/') else { return false };
    let parents = [format!("{folder}/mod.rs"), format!("{folder}/lib.rs"), format!("{folder}.rs")];
    let one_line = |text: &str| text.replace(")]\n", ")] ").replace("pub(crate) ", "");
    let declared = format!("#[cfg(test)] mod {name};");
    parents
        .iter()
        .filter_map(|parent| files.get(parent))
        .any(|parent| one_line(parent).contains(&declared))
        || files.keys().any(|parent| {
            parent.ends_with("/tests.rs")
                && file.starts_with(&format!("{}/", parent.trim_end_matches(".rs")))
        })
}

/// Whether a line has this word; `.awaits()` does not have the word `.await`.
fn has_word(line: &str, word: &str) -> bool {
    let continues = |rest: &str| {
        word.starts_with('.')
            && rest.starts_with(|next: char| next.is_alphanumeric() || next == '_')
    };
    line.split(word).skip(1).any(|rest| !continues(rest))
}

/// The lines of deployed code that contain one of these words, without comments.
fn lines_with<'a>(folder: &str, words: &'a [(&'a str, &'a str)]) -> Vec<String> {
    let mut found = Vec::new();
    let files: BTreeMap<String, String> = all_files(folder, "rs").into_iter().collect();
    for (file, text) in &files {
        if is_of_tests(file, &files) {
            continue;
        }
        for (number, line) in without_tests(text).lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for (word, instead) in words.iter().filter(|(word, _)| has_word(line, word)) {
                found.push(format!("{file}:{} uses {word}: {instead}", number + 1));
            }
        }
    }
    found
}

#[test]
fn only_shared_uses_environment_clock_and_random_numbers() {
    let words = [
        ("env::var", "read it in from_env with shared::config"),
        ("SystemTime", "take the time from shared::clock"),
        ("Instant::now", "take the time from shared::clock"),
        ("Timestamp::now", "take the time from shared::clock"),
        ("OsRng", "take random bytes from shared::ids"),
        ("SystemRandom", "take random bytes from shared::ids"),
        ("thread_rng", "take random bytes from shared::ids"),
        ("getrandom", "take random bytes from shared::ids"),
        ("rand::", "take random bytes from shared::ids"),
        ("now_v7", "make ids with shared::ids"),
        ("new_v4", "make ids with shared::ids"),
    ];
    none(
        ["functions", "provider"]
            .into_iter()
            .flat_map(|folder| lines_with(folder, &words))
            .collect(),
    );
}

#[test]
fn domain_uses_no_aws_http_json_or_clock() {
    let words: Vec<(&str, &str)> = [
        "async fn",
        ".await",
        "aws_sdk_",
        "lambda_http",
        "shared::http",
        "shared::table",
        "shared::queue",
        "shared::problem",
        "serde_json",
        "Clock",
    ]
    .into_iter()
    .map(|word| (word, "the domain is pure; do that in the operation or the store"))
    .collect();
    let in_domain =
        |line: &String| line.contains("/src/domain.rs:") || line.contains("/src/domain/");
    none(lines_with("functions", &words).into_iter().filter(in_domain).collect());
}

#[test]
fn domain_imports_no_other_module_of_its_service() {
    let mut violations = Vec::new();
    for (file, text) in all_files("functions", "rs") {
        let Some((_, inside)) = file.split_once("/src/domain") else { continue };
        let is_root = [".rs", "/mod.rs"].contains(&inside);
        let code = if is_root { without_tests(&text) } else { text.as_str() };
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            let of_crate = line.split("crate::").skip(1).any(|rest| !rest.starts_with("domain"));
            if of_crate || is_root && line.contains("super::") {
                violations.push(format!(
                    "{file}:{} imports from outside the domain: give the domain its own type, and wrap it in error.rs or store.rs",
                    number + 1
                ));
            }
        }
    }
    none(violations);
}

#[test]
fn spawned_tasks_log_within_their_invocation() {
    let mut violations = Vec::new();
    for (file, text) in
        ["functions", "provider", "shared"].into_iter().flat_map(|folder| all_files(folder, "rs"))
    {
        let text = without_tests(&text);
        for (at, _) in text.match_indices("spawn(") {
            // The whole statement, which may span several lines.
            let statement = text[at..].split(';').next().unwrap_or_default();
            if !statement.contains("in_current_span()") && !statement.contains(".instrument(") {
                let line = text[..at].lines().count();
                violations.push(format!(
                    "{file}:{line} spawns without a span: add .in_current_span(), or its log lines lack the operation"
                ));
            }
        }
    }
    none(violations);
}

#[test]
fn no_service_depends_on_another() {
    let services = services();
    let mut violations = Vec::new();
    for service in &services {
        let manifest = std::fs::read_to_string(
            template::root().join(format!("functions/{service}/Cargo.toml")),
        )
        .unwrap();
        for other in &services {
            let named = |line: &str| {
                line.starts_with(&format!("{other}."))
                    || line.starts_with(&format!("{other} "))
                    || line.starts_with(&format!("{other}="))
            };
            if other != service && manifest.lines().any(named) {
                violations.push(format!(
                    "{service} depends on {other}: services meet in queues and over HTTP only"
                ));
            }
        }
    }
    for library in ["shared", "provider"] {
        let manifest =
            std::fs::read_to_string(template::root().join(format!("{library}/Cargo.toml")))
                .unwrap();
        let named = services
            .iter()
            .map(String::as_str)
            .chain(["provider"])
            .filter(|name| manifest.contains(&format!("\n{name}.")));
        violations.extend(named.map(|name| format!("{library} depends on {name}: only services depend on libraries, and provider on shared")));
    }
    none(violations);
}

#[test]
fn services_have_the_same_modules_and_no_catch_all_module() {
    let mut violations = Vec::new();
    for (file, text) in
        ["functions", "provider", "shared"].into_iter().flat_map(|folder| all_files(folder, "rs"))
    {
        let name = file.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        let folder = file.rsplit('/').nth(1).unwrap_or_default();
        if [name, folder].iter().any(|name| {
            ["utils", "util", "common", "helpers", "helper", "types", "manager", "misc"]
                .contains(name)
        }) {
            violations.push(format!("{file} has a catch-all name: name it after its content"));
        }
        if !text.starts_with("//!") {
            violations.push(format!("{file} has no module documentation"));
        }
    }
    for service in services() {
        for module in ["src/lib.rs", "src/operations/mod.rs"] {
            if !template::root().join(format!("functions/{service}/{module}")).is_file() {
                violations.push(format!("{service} has no {module}"));
            }
        }
    }
    none(violations);
}

#[test]
fn old_tls_stack_and_slow_cryptography_are_not_dependencies() {
    let lock = std::fs::read_to_string(template::root().join("Cargo.lock")).unwrap();
    let mut versions: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(quoted) = line.strip_prefix("name = ") {
            name = quoted.trim_matches('"');
        } else if let Some(quoted) = line.strip_prefix("version = ") {
            let mut parts =
                quoted.trim_matches('"').split('.').map(|part| part.parse().unwrap_or(0));
            versions
                .entry(name)
                .or_default()
                .push((parts.next().unwrap_or(0), parts.next().unwrap_or(0)));
        }
    }
    assert!(versions.len() > 100, "Cargo.lock is not written as it was");
    let oldest =
        |name: &str| versions.get(name).and_then(|versions| versions.iter().min().copied());
    let mut violations = Vec::new();
    for slow in ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls"] {
        if oldest(slow).is_some() {
            violations.push(format!(
                "{slow} is in Cargo.lock: find out with `cargo tree -i {slow}` who brings it, and turn its default features off"
            ));
        }
    }
    for (name, least) in [("hyper", (1, 0)), ("rustls", (0, 23))] {
        if oldest(name).is_some_and(|version| version < least) {
            violations.push(format!(
                "an old {name} is in Cargo.lock: an AWS crate is used with its default features"
            ));
        }
    }
    none(violations);
}

#[test]
fn no_test_is_ignored_or_sleeps() {
    // In two parts, so that this file does not match itself.
    let words = [concat!("#[ig", "nore"), concat!("thread::sl", "eep(")];
    let files = ["functions", "provider", "shared", "tests"]
        .iter()
        .flat_map(|folder| all_files(folder, "rs"))
        // The benchmark waits for the processes that it measures.
        .filter(|(file, _)| !file.starts_with("tests/bench/"));
    let hits = files.flat_map(|(file, text)| {
        words
            .iter()
            .filter(|word| text.contains(**word))
            .map(|word| format!("{file} contains {word}"))
            .collect::<Vec<_>>()
    });
    none(hits.collect());
}
