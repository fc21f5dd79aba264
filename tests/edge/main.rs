//! Bad input.
#![allow(clippy::unwrap_used)]

#[tokio::test]
async fn nothing_yet() {
    let shop = tests::shop::Shop::new();
    let started = std::time::Instant::now();
    for _ in 0..20 {
        tests::shop::Shop::new();
    }
    eprintln!("20 shops: {:?}", started.elapsed());
    let started = std::time::Instant::now();
    for _ in 0..100 {
        shop.call("get-product", tests::events::sample("get-product")).await;
    }
    eprintln!("100 calls: {:?}", started.elapsed());
    let started = std::time::Instant::now();
    shop.call("register-user", tests::events::sample("register-user")).await;
    eprintln!("1 hash: {:?}", started.elapsed());
}
