//! Tests with hashes of this release, of other parameters and of other systems.

use super::*;

/// Made by the reference implementation, from `correct horse`.
const OTHER_ARGON2: [&str; 3] = [
    "$argon2id$v=19$m=256,t=3,p=2$c2FsdHNhbHRzYWx0$7s7XYU9U3NZVQfVjsRUFb/U9fmKrmuSy",
    "$argon2id$v=16$m=64,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$mjeOBTstiC9XBIvUIQnlKklNv6HJw2Hs8O7qXdo8fcw",
    "$argon2id$v=19$m=40000,t=1,p=4$c2FsdHNhbHRzYWx0c2FsdA$EJF1I4uE5Z37jbqAPhLtO7+VRO0/Jivnn9jYfjvdZaU",
];
/// Made by the reference implementation, from `correct horse`.
const CURRENT_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AdweBLwcflnNX2HVW8i1Mtu7frrn4Ki7h/rYSGuU7Is";
/// Made by crypt(3), from `correct horse`.
const BCRYPT_HASHES: [&str; 3] = [
    "$2a$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
    "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
    "$2y$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
];

fn verify(password: &str, stored: &str) -> bool {
    PasswordHasher::default().verify(password, Some(stored)).unwrap()
}

#[test]
fn password_matches_byte_for_byte() {
    let hasher = PasswordHasher::default();
    let stored = hasher.hash(" with\0spaces ", [7; 16]).unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert!(hasher.verify(" with\0spaces ", Some(&stored)).unwrap());
    for other in ["with\0spaces", " with\0spaces", " With\0spaces ", "", " with"] {
        assert!(!hasher.verify(other, Some(&stored)).unwrap(), "{other:?}");
    }
    assert_ne!(hasher.hash(" with\0spaces ", [8; 16]).unwrap(), stored, "another salt");
    assert_eq!(hasher.hash("correct horse", *b"saltsaltsaltsalt").unwrap(), CURRENT_HASH);
}

#[test]
fn password_matches_in_any_unicode_composition() {
    let hasher = PasswordHasher::default();
    let (composed, decomposed) = ("caf\u{e9} au lait", "cafe\u{301} au lait");
    for typed in [composed, decomposed] {
        let stored = hasher.hash(typed, [7; 16]).unwrap();
        for password in [composed, decomposed] {
            assert_eq!(
                hasher.matching_normalization(password, Some(&stored)).unwrap(),
                Some(Normalization::Nfc),
                "{password:?}"
            );
        }
        assert_eq!(hasher.matching_normalization("cafe au lait", Some(&stored)).unwrap(), None);
    }
    let old = hasher.hash_raw(decomposed, [7; 16]).unwrap();
    assert_eq!(
        hasher.matching_normalization(decomposed, Some(&old)).unwrap(),
        Some(Normalization::Raw)
    );
    assert_eq!(hasher.matching_normalization(composed, Some(&old)).unwrap(), None);
    assert!(
        hasher.verify(decomposed, Some(&old)).unwrap() && !hasher.verify(decomposed, None).unwrap()
    );
}

#[test]
fn cached_memory_does_not_change_hashes() {
    let (used, fresh) = (PasswordHasher::default(), PasswordHasher::default());
    used.hash("something else", [1; 16]).unwrap();
    assert_eq!(
        used.hash("a password", [2; 16]).unwrap(),
        fresh.hash("a password", [2; 16]).unwrap()
    );
    for stored in OTHER_ARGON2 {
        assert!(used.verify("correct horse", Some(stored)).unwrap(), "{stored}");
    }
}

#[test]
fn cached_memory_never_grows() {
    let hasher = PasswordHasher::default();
    for stored in OTHER_ARGON2 {
        assert!(hasher.verify("correct horse", Some(stored)).unwrap());
        assert!(hasher.memory.lock().unwrap().capacity() <= CACHED_BLOCKS, "{stored}");
    }
    hasher.hash("a password", [1; 16]).unwrap();
    let kept = hasher.memory.lock().unwrap().as_ptr();
    assert!(hasher.verify("correct horse", Some(CURRENT_HASH)).unwrap());
    assert_eq!(hasher.memory.lock().unwrap().as_ptr(), kept, "and it is kept");
}

#[test]
fn hash_with_other_parameters_is_verified() {
    for stored in OTHER_ARGON2 {
        assert!(verify("correct horse", stored), "{stored}");
        assert!(!verify("correct house", stored), "{stored}");
    }
    // Hashes of the first version's time name no version.
    assert!(verify("correct horse", &OTHER_ARGON2[1].replace("$v=16", "")));
    assert!(!verify("correct horse", &OTHER_ARGON2[1].replace("v=16", "v=19")));
}

#[test]
fn hash_above_memory_or_time_limit_is_rejected() {
    let rest = "c2FsdHNhbHRzYWx0c2FsdA$mjeOBTstiC9XBIvUIQnlKklNv6HJw2Hs8O7qXdo8fcw";
    for params in [
        "m=131073,t=1,p=1",
        "m=4294967295,t=1,p=1",
        "m=4294967295,t=4294967295,p=16777215",
        "m=64,t=4294967295,p=1",
        "m=65536,t=17,p=1",
        "m=1024,t=1,p=17",
        "m=7,t=1,p=1",
        "m=64,t=0,p=1",
    ] {
        let stored = format!("$argon2id$v=19${params}${rest}");
        assert!(PasswordHasher::default().verify("x", Some(&stored)).is_err(), "{params}");
    }
    for cost in ["00", "03", "15", "31", "99"] {
        let stored = BCRYPT_HASHES[1].replace("$04$", &format!("${cost}$"));
        assert!(PasswordHasher::default().verify("x", Some(&stored)).is_err(), "{cost}");
    }
}

#[test]
fn unknown_account_costs_the_same_work_and_never_matches() {
    let hasher = PasswordHasher::default();
    assert!(!hasher.verify("anything", None).unwrap());
    assert_eq!(hasher.memory.lock().unwrap().len(), 19_456);
    let dummy = PasswordHash::new(DUMMY_HASH).unwrap();
    let real = PasswordHash::new(&hasher.hash("anything", [3; 16]).unwrap()).unwrap();
    assert_eq!(
        (dummy.params, dummy.version, dummy.algorithm),
        (real.params, real.version, real.algorithm)
    );
    let lengths = |hash: &PasswordHash| {
        (hash.salt.as_ref().unwrap().len(), hash.hash.as_ref().unwrap().len())
    };
    assert_eq!(lengths(&PasswordHash::new(DUMMY_HASH).unwrap()), (SALT_BYTES, HASH_BYTES));
}

#[test]
fn bcrypt_hashes_are_verified() {
    for stored in BCRYPT_HASHES {
        assert!(verify("correct horse", stored), "{stored}");
        for other in ["correct house", "Correct horse", "correct horse ", ""] {
            assert!(!verify(other, stored), "{other:?} {stored}");
        }
    }
    assert!(verify(
        "correct horse battery staple",
        "$2b$10$OrpheanBeholderScryDouQ4xAbAjRsjz96hGKrW7Z6aAxU8pF32q"
    ));
    for version in ["2a", "2y"] {
        let stored = format!("${version}$04$abcdefghijklmnopqrstuunMnrCFoE6AQsh7.lKZNylweoNA51Sqq");
        assert!(verify("paßwort € 😀", &stored) && !verify("paswort € 😀", &stored));
    }
    // The unused bits differ.
    assert!(verify(
        "correct horse",
        "$2b$04$abcdefghijklmnopqrstuvjydOTSfIH/d5oUHpsygqV5X9xJLQc6e"
    ));
}

#[test]
fn bcrypt_truncates_at_nul_and_72_bytes() {
    let with = "$2b$04$abcdefghijklmnopqrstuu9TuCRtjgnx0nBD6HCbneFBvkPtNdBMa";
    assert!(
        verify("with", with)
            && verify("with\0nul", with)
            && !verify("wit", with)
            && !verify("with nul", with)
    );
    let empty = "$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq";
    assert!(verify("", empty) && verify("\0", empty) && !verify("x", empty));
    let (seventy_one, longer) = (
        "$2b$04$abcdefghijklmnopqrstuu.gc7UY/21CSNJGJg21jJzx9QiOpJ9bO",
        "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i",
    );
    for length in [70, 71, 72, 73, 255, 256, 1024] {
        let password = "x".repeat(length);
        assert_eq!(
            (verify(&password, seventy_one), verify(&password, longer)),
            (length == 71, length >= 72),
            "{length}"
        );
    }
    assert!(verify(&format!("{}é", "x".repeat(72)), longer));
}

#[test]
fn outdated_hashes_need_rehash() {
    assert!(!PasswordHasher::needs_rehash(CURRENT_HASH));
    assert!(!PasswordHasher::needs_rehash(
        &PasswordHasher::default().hash("a password", [1; 16]).unwrap()
    ));
    for stored in OTHER_ARGON2.into_iter().chain(BCRYPT_HASHES) {
        assert!(PasswordHasher::needs_rehash(stored), "{stored}");
    }
    for (present, other) in [
        ("v=19", "v=16"),
        ("$v=19", ""),
        ("t=2", "t=3"),
        ("m=19456", "m=19455"),
        ("p=1", "p=2"),
        ("argon2id", "argon2i"),
        // The first twelve bytes of the salt; one byte less of the hash.
        ("c2FsdHNhbHRzYWx0c2FsdA", "c2FsdHNhbHRzYWx0"),
        (
            "AdweBLwcflnNX2HVW8i1Mtu7frrn4Ki7h/rYSGuU7Is",
            "AdweBLwcflnNX2HVW8i1Mtu7frrn4Ki7h/rYSGuU7A",
        ),
    ] {
        let stored = CURRENT_HASH.replace(present, other);
        assert!(stored != CURRENT_HASH && PasswordHasher::needs_rehash(&stored), "{stored}");
    }
    assert!(PasswordHasher::needs_rehash("") && PasswordHasher::needs_rehash("secret"));
}

#[test]
fn malformed_hash_is_an_error() {
    for invalid in [
        "",
        "secret",
        "$argon2id$v=19$m=19456,t=2,p=1",
        "$argon2id$v=18$m=64,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$mjeOBTstiC9XBIvUIQnlKklNv6HJw2Hs8O7qXdo8fcw",
        "$argon2i$v=19$m=64,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$2$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
        "$2x$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
        "$2b$",
        "$2b$12$",
        "$2b$12$abcdefghijklmnopqrstuv",
        "$2b$4$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
        "$2b$+4$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
        "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6",
        "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6ee",
        "$2b$04$abcdefghijklmnopqrstuujydOTSfIH+d5oUHpsygqV5X9xJLQc6e",
        "$2b$04$abcdefghijklmnopqrstuéjydOTSfIH/d5oUHpsygqV5X9xJLQc6",
    ] {
        assert!(PasswordHasher::default().verify("x", Some(invalid)).is_err(), "{invalid}");
    }
}
