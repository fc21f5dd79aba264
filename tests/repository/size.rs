//! The number of resources of each stack after the SAM transform. CloudFormation rejects more than
//! 500.

use super::transformed_files;

/// Above this number a service must be divided, before it reaches CloudFormation's limit.
const MOST: usize = 450;

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
