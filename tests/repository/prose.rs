//! The language of the repository: every sentence that a person reads uses the terms of the field.
//!
//! Checks comments, documentation, log lines, problems, mails, templates, the API document, the
//! texts of the tools, and the names that code defines. A failure names the file, the line and a
//! better word.

use std::{path::Path, process::Command};

use regex::Regex;
use tests::template::root;

/// Rejected patterns, each with a better word.
const PATTERNS: &[(&str, &str)] = &[
    (r"\bwho(m|se)?ever\b", "name the actor: the caller, the client, the operator"),
    (r"\b(no|some|every|any)body\b", "name the actor, or use the passive"),
    (r"(?-i:\b(is|are) none\b)", "\"is not a ...\""),
    (r"\b(it|that|which|this) is no [a-kmn-z]\w*", "\"is not a ...\""),
    (r"\b(tell|tells|telling|told)\b", "publishes, reports, notifies, records"),
    (r"\b(stands|stood)\b", "\"is\", \"is listed\", \"is stored\""),
    (r"\b(goes|went) on\b", "continues, keeps"),
    (
        r"\bg(ive|ives|iving|ave|iven) (it |them |an order |orders )?up\b",
        "cancels, gives up is not a state",
    ),
    (
        r"\bg(ive|ives|iving|ave|iven) (it |them |money |goods )?back\b",
        "refunds, releases, returns",
    ),
    (r"\bso many\b", "the number, the quantity, the limit"),
    (r"\bow(e|es|ed)\b", "pending command"),
    (r"\b(a|next|last) look\b", "check, scheduled check"),
    (r"\bnews\b", "event, history entry"),
    (r"\bnudg\w+", "retry, scheduled check"),
    (r"\b(the|all|its|their|own|whose|our|these) books\b", "ledger, reconciliation"),
    (r"\bbaskets?\b", "order request, cart"),
    (r"\bfence[ds]?\b", "payment lock"),
    (r"\bl(eft|eaves|eave) alone\b", "circuit breaker open; unchanged"),
    (r"\bshel(f|ves)\b", "stock, category"),
    (r"\bdice\b", "random number generator"),
    (r"\b(drawer|doorstep)\b", "module, table, end to end"),
    (r"\bhear(s|d)? (of|from)\b", "receives, is notified of"),
    (r"\b(came|comes|become|becomes|became) of\b", "outcome, result"),
    (r"\bmend(s|ed|ing)?\b", "repair"),
    (r"\bof (its|their) own accord\b", "unsolicited; by webhook"),
    (r"\b(anew|afresh)\b", "again"),
    (r"\bput(s)? aside\b", "moves to the dead-letter queue"),
    (r"\btroubles?\b", "error, failure"),
    (r"\bspoil(s|ed|ing|t)?\b", "inject a fault, fail"),
    (r"\b(can|to) be had\b", "available"),
    (r"\bmakes? up for\b", "compensates, retries"),
    (r"\bin clear\b", "in plain text"),
    (r"\bwho(m)? it is\b", "the identity"),
    (r"\bwhat is what\b|\bas it has it\b", "say it literally"),
    (r"\bone too many\b", "duplicate, above the limit"),
    (r"\bmade[- ]up\b", "invalid, unknown, random"),
    (r"\bcom(e|es|ing) to rest\b", "settles"),
    (r"\bthe like\b", "name the cases"),
    (r"\bof late\b", "recently; say since when"),
    (r"\bfor ever\b", "without a limit"),
    (r"\bside by side\b", "concurrently, in parallel"),
    (r"\bpass(es|ed)? over\b", "ignores, skips"),
    (r"\bwork(s|ed)? off\b", "processes"),
    (r"\bin vain\b", "without effect; name the error"),
];

/// The definition of a function, type, module, constant or variable in Rust or Python.
const DEFINITION: &str =
    r"\b(?:const fn|fn|def|struct|enum|trait|type|mod|const|static|let mut|let|for) (\w+)";

/// Files with foreign text, or about words.
const EXEMPT: &[&str] = &[
    "functions/users/src/domain/common_passwords.txt",
    "Cargo.lock",
    "LICENSE",
    "tests/repository/prose.rs",
    ".github/CONTRIBUTING.md",
];

#[test]
fn sentences_use_the_terms_of_the_field() {
    let patterns: Vec<(Regex, &str)> = PATTERNS
        .iter()
        .map(|(pattern, better)| (Regex::new(&format!("(?i){pattern}")).unwrap(), *better))
        .collect();
    let definition = Regex::new(DEFINITION).unwrap();
    let mut found = Vec::new();
    for file in tracked_files() {
        let Ok(text) = std::fs::read_to_string(root().join(&file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let read = [prose_of(&file, line), names(&file, line, &definition)];
            let read = read.into_iter().flatten().collect::<Vec<_>>().join("\n");
            for (pattern, better) in &patterns {
                if let Some(word) = pattern.find(&read) {
                    found.push(format!(
                        "{file}:{}: \"{}\": better: {better}",
                        number + 1,
                        word.as_str()
                    ));
                }
            }
        }
    }
    assert!(found.is_empty(), "{} sentences:\n{}", found.len(), found.join("\n"));
}

/// Every file under version control that is not exempt.
fn tracked_files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().filter(|file| !EXEMPT.contains(file)).map(str::to_owned).collect()
}

/// The part of a line that people read; `None` if the line has only code.
fn prose_of(file: &str, line: &str) -> Option<String> {
    match Path::new(file).extension().and_then(|extension| extension.to_str()) {
        Some("rs") => {
            let comment = line.find("//").filter(|at| !line[..*at].ends_with(':'));
            match comment {
                Some(at) => Some(line[at..].to_owned()),
                None => Some(texts(line)),
            }
        }
        Some("py") => Some(match line.find('#') {
            Some(at) => line[at..].to_owned(),
            None if line.contains("\"\"\"") => line.to_owned(),
            None => texts(line),
        }),
        Some("toml") => line.find('#').map(|at| line[at..].to_owned()),
        // The API document: its descriptions; the other texts are names and examples.
        Some("json") if file.starts_with("functions/platform/openapi") => {
            let line = line.trim_start();
            let is_prose = ["\"description\"", "\"summary\"", "\"title\"", "\"detail\""]
                .iter()
                .any(|name| line.starts_with(name));
            is_prose.then(|| line.to_owned())
        }
        Some("md" | "yaml" | "yml" | "html" | "txt") => Some(line.to_owned()),
        None if file.ends_with("Makefile") => Some(line.to_owned()),
        _ => None,
    }
}

/// The names that a line of code defines, with spaces between their words.
fn names(file: &str, line: &str, definition: &Regex) -> Option<String> {
    let is_code = [".rs", ".py"].iter().any(|extension| file.ends_with(extension));
    let code = line.trim_start();
    if !is_code || code.starts_with("//") || code.starts_with('#') {
        return None;
    }
    let names = definition.captures_iter(line).map(|found| words(&found[1]));
    Some(names.collect::<Vec<_>>().join("\n"))
}

/// The words of a name in snake case or camel case.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && words.ends_with(char::is_lowercase) {
            words.push(' ');
        }
        words.push(if letter == '_' { ' ' } else { letter });
    }
    words
}

/// The double-quoted strings with a space; others are names.
fn texts(line: &str) -> String {
    line.split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| text.contains(' '))
        .collect::<Vec<_>>()
        .join(" ")
}
