//! Hashes of this release, of other parameters and of other systems.

use super::*;

/// Made by the reference implementation, from `correct horse`.
const OTHER_ARGON2: [&str; 3] = [
    "$argon2id$v=19$m=256,t=3,p=2$c2FsdHNhbHRzYWx0$7s7XYU9U3NZVQfVjsRUFb/U9fmKrmuSy",
    "$argon2id$v=16$m=64,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$mjeOBTstiC9XBIvUIQnlKklNv6HJw2Hs8O7qXdo8fcw",
    "$argon2id$v=19$m=40000,t=1,p=4$c2FsdHNhbHRzYWx0c2FsdA$EJF1I4uE5Z37jbqAPhLtO7+VRO0/Jivnn9jYfjvdZaU",
];
/// Made by the reference implementation, from `correct horse`.
const PRESENT: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AdweBLwcflnNX2HVW8i1Mtu7frrn4Ki7h/rYSGuU7Is";
/// Made by crypt(3), from `correct horse`.
const OF_ANOTHER_SYSTEM: [&str; 3] = [
    "$2a$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
    "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
    "$2y$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
];

fn verify(password: &str, stored: &str) -> bool {
    PasswordHasher::default().verify(password, Some(stored)).unwrap()
}

#[test]
fn a_password_is_known_again_byte_for_byte() {
    let hasher = PasswordHasher::default();
    let stored = hasher.hash(" with\0spaces ", [7; 16]).unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert!(hasher.verify(" with\0spaces ", Some(&stored)).unwrap());
    for other in ["with\0spaces", " with\0spaces", " With\0spaces ", "", " with"] {
        assert!(!hasher.verify(other, Some(&stored)).unwrap(), "{other:?}");
    }
    assert_ne!(hasher.hash(" with\0spaces ", [8; 16]).unwrap(), stored, "another salt");
    assert_eq!(hasher.hash("correct horse", *b"saltsaltsaltsalt").unwrap(), PRESENT);
}

#[test]
fn a_password_matches_however_its_characters_are_composed() {
    let hasher = PasswordHasher::default();
    let (composed, decomposed) = ("caf\u{e9} au lait", "cafe\u{301} au lait");
    for typed in [composed, decomposed] {
        let stored = hasher.hash(typed, [7; 16]).unwrap();
        for password in [composed, decomposed] {
            assert_eq!(hasher.matching_form(password, Some(&stored)).unwrap(), Some(Form::Composed), "{password:?}");
        }
        assert_eq!(hasher.matching_form("cafe au lait", Some(&stored)).unwrap(), None);
    }
    let old = hasher.hash_as_typed(decomposed, [7; 16]).unwrap();
    assert_eq!(hasher.matching_form(decomposed, Some(&old)).unwrap(), Some(Form::AsTyped));
    assert_eq!(hasher.matching_form(composed, Some(&old)).unwrap(), None);
    assert!(hasher.verify(decomposed, Some(&old)).unwrap() && !hasher.verify(decomposed, None).unwrap());
}

#[test]
fn the_memory_that_is_kept_changes_no_hash() {
    let (used, fresh) = (PasswordHasher::default(), PasswordHasher::default());
    used.hash("something else", [1; 16]).unwrap();
    assert_eq!(used.hash("a password", [2; 16]).unwrap(), fresh.hash("a password", [2; 16]).unwrap());
    for stored in OTHER_ARGON2 {
        assert!(used.verify("correct horse", Some(stored)).unwrap(), "{stored}");
    }
}

#[test]
fn the_memory_that_is_kept_never_grows() {
    let hasher = PasswordHasher::default();
    for stored in OTHER_ARGON2 {
        assert!(hasher.verify("correct horse", Some(stored)).unwrap());
        assert!(hasher.memory.lock().unwrap().capacity() <= KEPT_BLOCKS, "{stored}");
    }
    hasher.hash("a password", [1; 16]).unwrap();
    let kept = hasher.memory.lock().unwrap().as_ptr();
    assert!(hasher.verify("correct horse", Some(PRESENT)).unwrap());
    assert_eq!(hasher.memory.lock().unwrap().as_ptr(), kept, "and it is kept");
}

#[test]
fn a_hash_with_other_parameters_is_still_verified() {
    for stored in OTHER_ARGON2 {
        assert!(verify("correct horse", stored), "{stored}");
        assert!(!verify("correct house", stored), "{stored}");
    }
    // Hashes of the first version's time name no version.
    assert!(verify("correct horse", &OTHER_ARGON2[1].replace("$v=16", "")));
    assert!(!verify("correct horse", &OTHER_ARGON2[1].replace("v=16", "v=19")));
}

#[test]
fn a_hash_that_asks_for_too_much_is_not_computed() {
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
        let stored = OF_ANOTHER_SYSTEM[1].replace("$04$", &format!("${cost}$"));
        assert!(PasswordHasher::default().verify("x", Some(&stored)).is_err(), "{cost}");
    }
}

#[test]
fn nobody_has_no_password_and_takes_as_much_work() {
    let hasher = PasswordHasher::default();
    assert!(!hasher.verify("anything", None).unwrap());
    assert_eq!(hasher.memory.lock().unwrap().len(), 19_456);
    let dummy = PasswordHash::new(DUMMY).unwrap();
    let real = PasswordHash::new(&hasher.hash("anything", [3; 16]).unwrap()).unwrap();
    assert_eq!((dummy.params, dummy.version, dummy.algorithm), (real.params, real.version, real.algorithm));
    let lengths = |hash: &PasswordHash| (hash.salt.as_ref().unwrap().len(), hash.hash.as_ref().unwrap().len());
    assert_eq!(lengths(&PasswordHash::new(DUMMY).unwrap()), (SALT_BYTES, HASH_BYTES));
}

#[test]
fn passwords_of_another_system_are_known_again() {
    for stored in OF_ANOTHER_SYSTEM {
        assert!(verify("correct horse", stored), "{stored}");
        for other in ["correct house", "Correct horse", "correct horse ", ""] {
            assert!(!verify(other, stored), "{other:?} {stored}");
        }
    }
    assert!(verify("correct horse battery staple", "$2b$10$OrpheanBeholderScryDouQ4xAbAjRsjz96hGKrW7Z6aAxU8pF32q"));
    for version in ["2a", "2y"] {
        let stored = format!("${version}$04$abcdefghijklmnopqrstuunMnrCFoE6AQsh7.lKZNylweoNA51Sqq");
        assert!(verify("paßwort € 😀", &stored) && !verify("paswort € 😀", &stored));
    }
    // The bits that nobody needs differ.
    assert!(verify("correct horse", "$2b$04$abcdefghijklmnopqrstuvjydOTSfIH/d5oUHpsygqV5X9xJLQc6e"));
}

#[test]
fn passwords_of_another_system_end_where_they_ended_there() {
    let with = "$2b$04$abcdefghijklmnopqrstuu9TuCRtjgnx0nBD6HCbneFBvkPtNdBMa";
    assert!(verify("with", with) && verify("with\0nul", with) && !verify("wit", with) && !verify("with nul", with));
    let empty = "$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq";
    assert!(verify("", empty) && verify("\0", empty) && !verify("x", empty));
    let (seventy_one, longer) =
        ("$2b$04$abcdefghijklmnopqrstuu.gc7UY/21CSNJGJg21jJzx9QiOpJ9bO", "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i");
    for length in [70, 71, 72, 73, 255, 256, 1024] {
        let password = "x".repeat(length);
        assert_eq!((verify(&password, seventy_one), verify(&password, longer)), (length == 71, length >= 72), "{length}");
    }
    assert!(verify(&format!("{}é", "x".repeat(72)), longer));
}

#[test]
fn every_hash_but_a_present_one_is_to_be_replaced() {
    assert!(!PasswordHasher::needs_rehash(PRESENT));
    assert!(!PasswordHasher::needs_rehash(&PasswordHasher::default().hash("a password", [1; 16]).unwrap()));
    for stored in OTHER_ARGON2.into_iter().chain(OF_ANOTHER_SYSTEM) {
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
        ("AdweBLwcflnNX2HVW8i1Mtu7frrn4Ki7h/rYSGuU7Is", "AdweBLwcflnNX2HVW8i1Mtu7frrn4Ki7h/rYSGuU7A"),
    ] {
        let stored = PRESENT.replace(present, other);
        assert!(stored != PRESENT && PasswordHasher::needs_rehash(&stored), "{stored}");
    }
    assert!(PasswordHasher::needs_rehash("") && PasswordHasher::needs_rehash("secret"));
}

#[test]
fn what_is_no_hash_is_an_error_and_no_refusal() {
    for odd in [
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
        assert!(PasswordHasher::default().verify("x", Some(odd)).is_err(), "{odd}");
    }
}
