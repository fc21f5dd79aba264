//! The number of resources of each stack after the SAM transform, of which CloudFormation accepts
//! 500, and the length of files.

use super::{all_files, none, transformed_files};

/// Above this number a service must be divided, before it reaches CloudFormation's limit.
const MOST: usize = 450;

/// A longer file has more than one topic: split it into modules.
const MOST_LINES: usize = 500;

#[test]
fn every_stack_stays_well_below_cloudformations_limit() {
    let mut sizes: Vec<(usize, &String)> = transformed_files()
        .iter()
        .map(|(file, template)| (template["Resources"].as_object().unwrap().len(), file))
        .collect();
    sizes.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let list: Vec<String> = sizes.iter().map(|(size, file)| format!("{size:>5}  {file}")).collect();
    let list = format!(
        "resources, of which {MOST} are allowed here and 500 by CloudFormation:\n{}",
        list.join("\n")
    );
    assert!(sizes[0].0 <= MOST, "{list}");
    // Shown by `cargo test -p tests --test repository -- --nocapture every_stack`.
    eprintln!("{list}");
}

#[test]
fn every_rust_file_has_at_most_500_lines() {
    let files = ["functions", "provider", "shared", "tests"].map(|folder| all_files(folder, "rs"));
    let long = files.into_iter().flatten().map(|(file, text)| (file, text.lines().count()));
    let violations: Vec<String> = long
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(file, lines)| {
            format!("{file} has {lines} lines, of at most {MOST_LINES}: split it by topic")
        })
        .collect();
    none(violations);
}
