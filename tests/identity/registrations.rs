//! Concurrent registrations of one address: one succeeds, and the others leave no records.

use serde_json::Value;
use shared::lambda::Invocation;
use tests::{
    aws::Fault,
    rng::Rng,
    shop::{
        Shop,
        accounts::{PASSWORD, registration},
    },
};
use users::domain::Email;

use crate::print;

const CONCURRENT: usize = 200;
/// Number of repetitions with injected faults.
const CONCURRENT_WITH_FAULTS: usize = 24;
const RUNS_WITH_FAULTS: u64 = 8;

const SPELLINGS: [&str; 12] = [
    "jose@m\u{fc}nchen.de",
    "JOSE@M\u{dc}NCHEN.DE",
    "jose@xn--mnchen-3ya.de",
    "Jose@mu\u{308}nchen.de",
    "JOSE@XN--MNCHEN-3YA.de",
    " jose@M\u{dc}NCHEN.de",
    "JOSE@xn--mnchen-3ya.DE\r\n",
    "jose@m\u{fc}nchen\u{3002}de",
    "jose@\u{ff4d}\u{fc}nchen.de",
    "\u{feff}Jose@MU\u{308}NCHEN.DE\u{200b}",
    "jose@Xn--Mnchen-3yA.de\t",
    "jOsE@m\u{fc}nchen.DE",
];

/// Registers concurrently. Returns the ids, and how often each status was returned.
async fn register(shop: &Shop, many: usize) -> (Vec<Value>, [usize; 3]) {
    let lambda = shop.lambda("register-user");
    let begin = |number| {
        tokio::spawn(lambda(Invocation::with_event(registration(
            SPELLINGS[number % SPELLINGS.len()],
        ))))
    };
    let running: Vec<_> = (0..many).map(begin).collect();
    let (mut created, mut statuses) = (Vec::new(), [0; 3]);
    for answer in running {
        let answer = answer.await.unwrap().unwrap();
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        match answer["statusCode"].as_u64() {
            Some(201) => {
                created.push(body["id"].clone());
                statuses[0] += 1;
            }
            Some(409) if body["code"] == "email_taken" => statuses[1] += 1,
            Some(503) => statuses[2] += 1,
            _ => panic!("{answer}"),
        }
    }
    (created, statuses)
}

#[test]
fn all_spellings_are_one_address() {
    let normal: std::collections::BTreeSet<String> =
        SPELLINGS.iter().map(|text| Email::parse(text).unwrap().into()).collect();
    assert_eq!(normal.len(), 1, "{normal:?}");
    let different: std::collections::BTreeSet<&str> = SPELLINGS.into_iter().collect();
    assert_eq!(different.len(), 12);
}

#[tokio::test]
async fn concurrent_registrations_of_one_address_create_one_account() {
    let shop = Shop::crowded(1);
    let (created, statuses) = register(&shop, CONCURRENT).await;
    print(&format!("{CONCURRENT} registrations at once: [201, 409, 503] {statuses:?}"));
    assert_eq!(statuses, [1, CONCURRENT - 1, 0]);
    shop.check_accounts();
    assert_eq!((shop.profiles().len(), shop.credentials().len()), (1, 1));
    assert_eq!(shop.profiles()[0]["user_id"]["S"], created[0]);
    assert_eq!(shop.login(SPELLINGS[11], PASSWORD).await.status(), 200);
}

#[tokio::test]
async fn concurrent_registrations_under_faults_create_at_most_one_account() {
    let mut all = [0; 3];
    for seed in 0..RUNS_WITH_FAULTS {
        let shop = Shop::crowded(seed);
        let mut rng = Rng::new(seed);
        for _ in 0..CONCURRENT_WITH_FAULTS {
            let fault = *rng.one(&[
                Fault::Throttle,
                Fault::LoseRequest,
                Fault::LoseResponse,
                Fault::LoseResponse,
                Fault::Conflict,
            ]);
            shop.aws.fail(rng.within(0..3 * CONCURRENT_WITH_FAULTS), fault);
        }
        let (created, statuses) = register(&shop, CONCURRENT_WITH_FAULTS).await;
        shop.aws.heal();
        shop.check_accounts();
        let accounts = shop.profiles().len();
        assert!(
            created.len() <= 1 && created.len() <= accounts && accounts <= 1,
            "seed {seed}: {statuses:?}, {accounts} accounts"
        );
        if let Some(id) = created.first() {
            assert_eq!(shop.profiles()[0]["user_id"]["S"], *id, "seed {seed}");
        }
        let again = shop.register(SPELLINGS[0]).await;
        assert_eq!(again.status(), if accounts == 1 { 409 } else { 201 }, "seed {seed}");
        shop.check_accounts();
        assert_eq!(shop.login(SPELLINGS[11], PASSWORD).await.status(), 200, "seed {seed}");
        all = std::array::from_fn(|status| all[status] + statuses[status]);
    }
    print(&format!(
        "{RUNS_WITH_FAULTS} times {CONCURRENT_WITH_FAULTS} registrations at once with faults: [201, 409, 503] {all:?}"
    ));
    assert!(all.iter().all(|times| *times > 0), "{all:?}: the test is vacuous");
}

#[tokio::test]
async fn crashed_registration_leaves_no_partial_account() {
    for crash in 0..4 {
        for fault in [Fault::LoseRequest, Fault::LoseResponse] {
            let shop = Shop::open();
            // This call and all later ones fail.
            shop.aws.fail(crash, fault);
            for later in 1..20 {
                shop.aws.fail(crash + later, Fault::LoseRequest);
            }
            assert_eq!(shop.register(SPELLINGS[0]).await.status(), 503);
            shop.aws.heal();
            shop.check_accounts();
            let registered = shop.profiles().len();
            assert_eq!(
                shop.register(SPELLINGS[0]).await.status(),
                if registered == 1 { 409 } else { 201 }
            );
            shop.check_accounts();
            assert_eq!(shop.login(SPELLINGS[1], PASSWORD).await.status(), 200);
        }
    }
}
