//! What the deployment under test offers beyond its API.
//!
//! | target | `AWS_ENDPOINT_URL` | mail catcher | tables, queues and secrets |
//! |---|---|---|---|
//! | emulator | set | yes | yes |
//! | `LocalStack` | set | no | yes |
//! | AWS | not set | no | no: tests never write the tables of a deployed shop |
//!
//! `INTEGRATION_WITHOUT=mails,tables` withholds them, to try on the emulator what runs elsewhere.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::OnceCell;

/// The requirements of a test beyond the API and the permission to invoke functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The emulator's list of sent mails.
    Mails,
    /// Direct access to tables, queues, consumers and secrets.
    Tables,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Need::Mails => "the mail catcher",
            Need::Tables => "direct access to tables",
        })
    }
}

/// The address of the mail catcher. Only the emulator has one.
pub fn mail_catcher() -> Option<String> {
    std::env::var("AWS_ENDPOINT_URL")
        .ok()
        .map(|endpoint| format!("{endpoint}/_ministack/ses/messages"))
}

/// Returns whether the target offers all of these. If it does not, the test is counted as skipped.
pub async fn offers(test: &str, needs: &[Need]) -> bool {
    static OFFERED: OnceCell<Vec<Need>> = OnceCell::const_new();
    let offered = OFFERED.get_or_init(probe).await;
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !offered.contains(need)).collect();
    if !missing.is_empty() {
        count_skipped(test, &missing);
    }
    missing.is_empty()
}

async fn probe() -> Vec<Need> {
    let withheld = std::env::var("INTEGRATION_WITHOUT").unwrap_or_default();
    let mut offered = Vec::new();
    if let Some(catcher) = mail_catcher() {
        offered.push(Need::Tables);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        if client.get(catcher).send().await.is_ok_and(|answer| answer.status().is_success()) {
            offered.push(Need::Mails);
        }
    }
    offered.retain(|need| !withheld.contains(&format!("{need:?}").to_lowercase()));
    offered
}

/// Prints the name of the skipped test and the counts so far: the last line has the totals.
fn count_skipped(test: &str, missing: &[Need]) {
    static SKIPPED: Mutex<BTreeMap<Need, u32>> = Mutex::new(BTreeMap::new());
    let mut skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    for need in missing {
        *skipped.entry(*need).or_default() += 1;
    }
    let counts: Vec<String> =
        skipped.iter().map(|(need, count)| format!("{count} tests need {need}")).collect();
    // Written directly, because the test runner captures `println!` of tests that pass.
    let _ = writeln!(std::io::stderr(), "skipped: {} (now {test})", counts.join(", "));
}
