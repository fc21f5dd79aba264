//! Argon2id: what a password is stored as, and how a login is compared with it.
//!
//! The memory that Argon2 fills is kept between calls: taking and returning 19 MiB each time costs more than a third of a hash. A
//! function handles one request at a time, so that nobody waits for it.

use std::sync::{Mutex, PoisonError};

use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::phc::{Output, ParamsString, Salt},
};
use subtle::ConstantTimeEq;

/// 19 MiB, two passes, one lane: OWASP Password Storage Cheat Sheet, Argon2id.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;

/// What a password of nobody is compared with, so that an unknown address takes the time of a known one. It has the parameters of
/// [`PasswordHasher::hash`]; nothing is known to hash to it, and if something did, it would still be refused.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes passwords.
#[derive(Default)]
pub struct PasswordHasher {
    memory: Mutex<Vec<Block>>,
}

/// A stored hash that cannot be read or computed.
#[derive(Debug, thiserror::Error)]
#[error("a password hash cannot be computed: {cause}")]
pub struct HashError {
    cause: String,
}

impl HashError {
    fn new(cause: impl ToString) -> Self {
        Self { cause: cause.to_string() }
    }
}

impl PasswordHasher {
    /// The PHC string that stores `password`.
    ///
    /// # Errors
    /// When Argon2 refuses its input, which no password of ours makes it do.
    pub fn hash(&self, password: &str, salt: [u8; 16]) -> Result<String, HashError> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).map_err(HashError::new)?;
        let hash = self.compute(&params, password, &salt, HASH_BYTES)?;
        let stored = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).map_err(HashError::new)?,
            salt: Some(Salt::new(&salt).map_err(HashError::new)?),
            hash: Some(Output::new(&hash).map_err(HashError::new)?),
        };
        Ok(stored.to_string())
    }

    /// Whether `password` is the one that `stored` was made from. Nobody's (`None`) takes as long and is never the one.
    ///
    /// # Errors
    /// When `stored` is no Argon2id hash.
    pub fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, HashError> {
        let parsed = PasswordHash::new(stored.unwrap_or(DUMMY)).map_err(HashError::new)?;
        let (ARGON2ID_IDENT, Some(salt), Some(expected)) = (parsed.algorithm, &parsed.salt, &parsed.hash) else {
            return Err(HashError::new("it is no complete Argon2id hash"));
        };
        let params = Params::try_from(&parsed).map_err(HashError::new)?;
        let computed = self.compute(&params, password, salt, expected.len())?;
        Ok(bool::from(computed.ct_eq(expected.as_bytes())) && stored.is_some())
    }

    fn compute(&self, params: &Params, password: &str, salt: &[u8], length: usize) -> Result<Vec<u8>, HashError> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = params.block_count().max(memory.len());
        memory.resize(blocks, Block::new());
        let mut hash = vec![0; length];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, &mut memory[..]).map_err(HashError::new)?;
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    #[test]
    fn the_memory_that_is_kept_changes_no_hash() {
        let (used, fresh) = (PasswordHasher::default(), PasswordHasher::default());
        used.hash("something else", [1; 16]).unwrap();
        assert_eq!(used.hash("a password", [2; 16]).unwrap(), fresh.hash("a password", [2; 16]).unwrap());
    }

    #[test]
    fn a_hash_with_other_parameters_is_still_verified() {
        let params = Params::new(64, 3, 2, Some(24)).unwrap();
        let mut hash = [0; 24];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone()).hash_password_into(b"old", b"saltsalt", &mut hash).unwrap();
        let stored = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(19),
            params: ParamsString::try_from(&params).unwrap(),
            salt: Some(Salt::new(b"saltsalt").unwrap()),
            hash: Some(Output::new(&hash).unwrap()),
        };
        assert!(PasswordHasher::default().verify("old", Some(&stored.to_string())).unwrap());
    }

    #[test]
    fn nobody_has_no_password_and_takes_as_much_work() {
        let hasher = PasswordHasher::default();
        assert!(!hasher.verify("anything", None).unwrap());
        assert_eq!(hasher.memory.lock().unwrap().len(), 19_456);
        let dummy = PasswordHash::new(DUMMY).unwrap();
        let real = PasswordHash::new(&hasher.hash("anything", [3; 16]).unwrap()).unwrap();
        assert_eq!((dummy.params, dummy.version, dummy.algorithm), (real.params, real.version, real.algorithm));
    }

    #[test]
    fn what_is_no_hash_is_an_error_and_no_refusal() {
        for odd in [
            "",
            "secret",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$argon2i$v=19$m=64,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(PasswordHasher::default().verify("x", Some(odd)).is_err(), "{odd}");
        }
    }
}
