//! Concurrent updates of one profile, each based on a version that was read earlier: no update is
//! lost.

use std::time::Duration;

use serde_json::json;
use tests::shop::{Shop, accounts::ADA};

use tests::rng::Rng;

use crate::print;

const WRITERS: u64 = 50;
const UPDATES: u64 = 20;

#[tokio::test(start_paused = true)]
async fn thousand_changes_by_fifty_writers_are_all_applied() {
    let shop = Shop::open();
    let user = shop.enrol(ADA).await;
    let session = shop.enter(user.id).await;
    assert_eq!(shop.edit(&session, &json!({ "full_name": "Number 0" })).await.status(), 200);
    // Calls take time, so that the writers conflict.
    shop.aws.take_time(Duration::from_millis(5));

    let write = |number: u64| {
        let (shop, session) = (shop.clone(), session.clone());
        async move {
            let mut rng = Rng::new(number);
            let (mut tags, mut refused) = (Vec::new(), 0_u32);
            let mut failures = 0;
            while (tags.len() as u64) < UPDATES {
                let me = shop.me(&session).await;
                let count: u64 = me.json()["full_name"]
                    .as_str()
                    .unwrap()
                    .strip_prefix("Number ")
                    .unwrap()
                    .parse()
                    .unwrap();
                let tag = me.header("etag").unwrap();
                let changed = shop
                    .edit_if(
                        &session,
                        &tag,
                        &json!({ "full_name": format!("Number {}", count + 1) }),
                    )
                    .await;
                match changed.status() {
                    200 => {
                        tags.push(changed.header("etag").unwrap());
                        failures = 0;
                    }
                    412 => {
                        let current = changed.header("etag").unwrap();
                        assert_ne!(current, tag, "the version is outdated");
                        refused += 1;
                        failures += 1;
                    }
                    other => panic!("{other}: {:?}", changed.answer),
                }
                tokio::time::sleep(rng.milliseconds(0..40 * (1 << failures.min(5)))).await;
            }
            (tags, refused)
        }
    };
    let running: Vec<_> = (0..WRITERS).map(|number| tokio::spawn(write(number))).collect();
    let (mut tags, mut refused) = (Vec::new(), 0);
    for writer in running {
        let (own, times) = writer.await.unwrap();
        tags.extend(own);
        refused += times;
    }
    tags.sort();
    tags.dedup();
    let changed = shop.user(user.id).await;
    print(&format!(
        "{WRITERS} writers, {UPDATES} updates each: {} made, {refused} times 412, {}",
        tags.len(),
        changed.full_name
    ));
    assert_eq!(
        (tags.len() as u64, changed.full_name),
        (WRITERS * UPDATES, format!("Number {}", WRITERS * UPDATES))
    );
    assert_eq!(changed.version, 2 + WRITERS * UPDATES);
    assert!(refused > 100, "{refused}: too few conflicts to prove anything");
    shop.check_accounts();
}
