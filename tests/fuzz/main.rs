//! Input from outside: runs every seed and every kept input of `tests/fuzz/corpus` through its
//! target. `make fuzz` searches for new inputs with coverage guidance; see `libfuzzer.rs`.
//!
//! - [`targets`]: what is parsed, and the properties that must hold.
//! - [`fixture`]: the shop that receives the inputs, in the same state for each of them.
//! - [`http`]: what applies to every HTTP request.
//! - [`input`]: the form of the inputs.

mod fixture;
mod http;
mod input;
mod targets;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use tests::template;

use self::{
    fixture::FuzzFixture,
    targets::{TARGETS, target},
};

/// The kept inputs of a target.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = template::root().join("tests/fuzz/corpus").join(target);
    let files = fs::read_dir(folder).expect("every target has a corpus");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

/// Runs the seeds and the kept inputs of a target.
fn replay(name: &str) {
    let target = target(name).expect("a target");
    let mut fixture = FuzzFixture::new();
    let seeds = (target.seeds)(&mut fixture);
    let seeds =
        seeds.into_iter().enumerate().map(|(number, seed)| (format!("seed {number}"), seed));
    let kept = corpus(name).into_iter().map(|file| {
        let input = fs::read(&file).expect("an input can be read");
        (file.display().to_string(), input)
    });
    let mut failures = Vec::new();
    for (what, input) in seeds.chain(kept) {
        fixture.reset();
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&mut fixture, &input)));
        if outcome.is_err() {
            failures.push(format!("{what}: {}", String::from_utf8_lossy(&input)));
            fixture = FuzzFixture::new();
        }
    }
    assert!(failures.is_empty(), "{name}: {} inputs fail: {failures:#?}", failures.len());
}

/// One test per target, so that they run concurrently.
macro_rules! replays {
    ($($target:ident)*) => {
        mod input_keeps_the_properties_of {
            $(
                #[test]
                fn $target() {
                    super::replay(stringify!($target));
                }
            )*

            #[test]
            fn every_target() {
                let names = super::TARGETS.each_ref().map(|target| target.name);
                assert_eq!([$(stringify!($target)),*], names);
            }
        }
    };
}

replays! { bodies requests tokens cursors webhooks messages changes items }
