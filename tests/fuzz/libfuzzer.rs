//! The coverage-guided search of `make fuzz`: one target of `main.rs` in libFuzzer's loop.
//!
//! `FUZZ_TARGET` names the target, and `FUZZ_SEEDS` the folder for its seeds. The other arguments
//! are those of libFuzzer.
#![no_main]
#![allow(clippy::disallowed_methods, reason = "the settings come from the environment")]

mod fixture;
mod http;
mod input;
mod mutator;
mod targets;

use std::{cell::RefCell, fs, path::PathBuf};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use tests::rng::Rng;

use self::{
    fixture::FuzzFixture,
    targets::{Target, target},
};

thread_local! {
    static STAGE: RefCell<Option<(&'static Target, FuzzFixture)>> = const { RefCell::new(None) };
}

/// Builds the shop, and writes the seeds of the target.
fn prepare() -> (&'static Target, FuzzFixture) {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    let target = target(&name).expect("FUZZ_TARGET is a target");
    let mut fixture = FuzzFixture::new();
    if let Ok(folder) = std::env::var("FUZZ_SEEDS") {
        for (number, seed) in (target.seeds)(&mut fixture).into_iter().enumerate() {
            let file = PathBuf::from(&folder).join(format!("seed-{number:04}"));
            fs::write(file, seed).expect("a seed can be written");
        }
    }
    (target, fixture)
}

fuzz_target!(
    init: STAGE.set(Some(prepare())),
    |input: &[u8]| {
        STAGE.with_borrow_mut(|prepared| {
            let (target, fixture) = prepared.as_mut().expect("the shop is prepared");
            fixture.reset();
            (target.run)(fixture, input);
        });
    }
);

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut rng = Rng::new(seed.into());
    let changed = rng.chance(60).then(|| mutator::mutate(data, size, max_size, &mut rng)).flatten();
    changed.unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
