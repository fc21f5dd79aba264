//! Password hashes: Argon2id for storage and login. bcrypt hashes imported from another system are
//! verified, never created.
//!
//! Argon2's memory is kept between calls: to allocate and free 19 MiB each time costs more than a
//! third of a hash. A function handles one request at a time, so no request waits for it. It never
//! grows: a hash with parameters that need more memory allocates its own.
//!
//! A stored hash is untrusted text. Its parameters are checked before it is computed, so that an
//! imported hash cannot cost a minute or a gigabyte. An unknown account costs the work of a current
//! hash. A hash that [must be replaced](PasswordHasher::needs_rehash) takes a different time. Until
//! its owner has logged in once, the account can therefore be distinguished from an unknown one.
//! This is the cost of keeping imported passwords, and it ends with that login.

use std::sync::{Mutex, PoisonError};

use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::phc::{Output, ParamsString, Salt},
};
use base64::{
    Engine,
    alphabet::BCRYPT,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

/// 19 MiB, two passes, one lane (OWASP Password Storage Cheat Sheet, Argon2id).
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// Size of the memory that is kept between calls.
const CACHED_BLOCKS: usize = MEMORY_KIB as usize;

/// Maximum memory of a stored hash. No framework's defaults exceed 100 MiB.
const MAX_MEMORY_KIB: u32 = 131_072;
/// Maximum work of a stored hash, memory times passes: well below a second.
const MAX_WORK_KIB: u64 = 1_048_576;
/// Maximum number of lanes. Each lane adds work at its boundaries, and a function has no second
/// processor for it.
const MAX_LANES: u32 = 16;
/// Maximum cost of a bcrypt hash: about a second. Each step doubles the time, and 31 would take a
/// day.
const MAX_BCRYPT_COST: u32 = 14;
const MIN_BCRYPT_COST: u32 = 4;
/// Bytes of a password that bcrypt uses, including the terminating NUL.
const MAX_BCRYPT_BYTES: usize = 72;
/// Bytes of bcrypt's 24-byte result that a hash contains.
const BCRYPT_HASH_BYTES: usize = 23;

/// bcrypt's own base64 alphabet. The last character of a salt has four unused bits, which some
/// implementations did not clear.
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Hash for unknown accounts, which makes them take the time of known ones. It has the parameters
/// of [`PasswordHasher::hash`]. No known password matches it, and a match would still be rejected.
const DUMMY_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes and verifies passwords. It owns the reusable memory of Argon2.
#[derive(Default)]
pub struct PasswordHasher {
    memory: Mutex<Vec<Block>>,
}

/// The Unicode form in which a password matches its stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// Composed (NFC), as [`PasswordHasher::hash`] hashes it.
    Nfc,
    /// Byte for byte as typed: the hash predates composition, or comes from another system.
    Raw,
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
    /// Hashes `password` in composed form (NFC) and returns the PHC string.
    ///
    /// # Errors
    /// If Argon2 rejects its input. No valid password causes this.
    pub fn hash(&self, password: &str, salt: [u8; SALT_BYTES]) -> Result<String, HashError> {
        self.hash_raw(&to_nfc(password), salt)
    }

    fn hash_raw(&self, password: &str, salt: [u8; SALT_BYTES]) -> Result<String, HashError> {
        let params =
            Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).map_err(HashError::new)?;
        let hash = self.compute(&params, Version::V0x13, password, &salt, HASH_BYTES)?;
        let stored = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).map_err(HashError::new)?,
            salt: Some(Salt::new(&salt).map_err(HashError::new)?),
            hash: Some(Output::new(&hash).map_err(HashError::new)?),
        };
        Ok(stored.to_string())
    }

    /// Returns whether `password` matches `stored`, in either normalization. `None` means an
    /// unknown account, which takes the same time and never matches.
    ///
    /// # Errors
    /// If `stored` is not an Argon2id or bcrypt hash, or exceeds the limits of memory and time.
    pub fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, HashError> {
        Ok(self.matching_normalization(password, stored)?.is_some())
    }

    /// Returns the form in which `password` matches `stored`. A password that is not typed in
    /// composed form is tried in both forms. This applies to unknown accounts too, so timing does
    /// not reveal whether an account exists.
    ///
    /// # Errors
    /// See [`PasswordHasher::verify`].
    pub fn matching_normalization(
        &self,
        password: &str,
        stored: Option<&str>,
    ) -> Result<Option<Normalization>, HashError> {
        let nfc = to_nfc(password);
        if self.matches(&nfc, stored)? {
            return Ok(Some(Normalization::Nfc));
        }
        let matches_raw = nfc != password && self.matches(password, stored)?;
        Ok(matches_raw.then_some(Normalization::Raw))
    }

    fn matches(&self, password: &str, stored: Option<&str>) -> Result<bool, HashError> {
        let text = stored.unwrap_or(DUMMY_HASH);
        if let Some(legacy) = Bcrypt::parse(text)? {
            return Ok(legacy.verify(password));
        }
        let parsed = PasswordHash::new(text).map_err(HashError::new)?;
        let (ARGON2ID_IDENT, Some(salt), Some(expected)) =
            (parsed.algorithm, &parsed.salt, &parsed.hash)
        else {
            return Err(HashError::new("incomplete Argon2id hash"));
        };
        let params = Params::try_from(&parsed).map_err(HashError::new)?;
        let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
        if params.m_cost() > MAX_MEMORY_KIB || params.p_cost() > MAX_LANES || work > MAX_WORK_KIB {
            return Err(HashError::new("the cost parameters exceed the limits"));
        }
        let computed = self.compute(&params, version(&parsed)?, password, salt, expected.len())?;
        Ok(bool::from(computed.ct_eq(expected.as_bytes())) && stored.is_some())
    }

    /// Returns whether a verified hash must be replaced by one of [`PasswordHasher::hash`]: it is
    /// bcrypt, or Argon2 of another version or with other parameters. The new hash covers all bytes
    /// of the typed password.
    pub fn needs_rehash(stored: &str) -> bool {
        let (Ok(stored), Ok(current)) = (PasswordHash::new(stored), PasswordHash::new(DUMMY_HASH))
        else {
            return true;
        };
        let shape = |hash: &PasswordHash| {
            let lengths = (
                hash.salt.as_ref().map(|salt| salt.len()),
                hash.hash.as_ref().map(|hash| hash.len()),
            );
            (hash.algorithm, hash.version, hash.params.clone(), lengths)
        };
        shape(&stored) != shape(&current)
    }

    fn compute(
        &self,
        params: &Params,
        version: Version,
        password: &str,
        salt: &[u8],
        length: usize,
    ) -> Result<Vec<u8>, HashError> {
        let mut hash = vec![0; length];
        let argon2 = Argon2::new(Algorithm::Argon2id, version, params.clone());
        if params.block_count() > CACHED_BLOCKS {
            argon2
                .hash_password_into(password.as_bytes(), salt, &mut hash)
                .map_err(HashError::new)?;
            return Ok(hash);
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.resize(CACHED_BLOCKS, Block::new());
        argon2
            .hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, &mut memory[..])
            .map_err(HashError::new)?;
        Ok(hash)
    }
}

fn to_nfc(password: &str) -> String {
    password.nfc().collect()
}

/// Returns the version of an Argon2 hash. A hash that names none has version 1.0, which had no
/// version field.
fn version(hash: &PasswordHash) -> Result<Version, HashError> {
    hash.version
        .map_or(Ok(Version::V0x10), |version| Version::try_from(version).map_err(HashError::new))
}

/// A bcrypt hash: `$2b$12$`, 22 characters of salt, 31 of hash.
///
/// `2a`, `2b` and `2y` are one algorithm for existing passwords. `2y` and `2b` mark a bug of one
/// implementation as fixed. `2x` marks the bug as present and is not supported.
struct Bcrypt {
    cost: u32,
    salt: [u8; SALT_BYTES],
    hash: [u8; BCRYPT_HASH_BYTES],
}

impl Bcrypt {
    /// Parses a bcrypt hash; `None` if the text is a hash of another kind.
    fn parse(text: &str) -> Result<Option<Self>, HashError> {
        let Some(rest) =
            ["$2a$", "$2b$", "$2y$"].iter().find_map(|prefix| text.strip_prefix(prefix))
        else {
            return Ok(None);
        };
        let broken = || HashError::new("incomplete bcrypt hash");
        let (cost, rest) = rest.split_once('$').ok_or_else(broken)?;
        let is_cost = cost.len() == 2 && cost.bytes().all(|digit| digit.is_ascii_digit());
        let cost = cost.parse().ok().filter(|_| is_cost).ok_or_else(broken)?;
        let (salt, hash) = rest.split_at_checked(22).ok_or_else(broken)?;
        if !(MIN_BCRYPT_COST..=MAX_BCRYPT_COST).contains(&cost) {
            return Err(HashError::new("cost outside the accepted range"));
        }
        Ok(Some(Self {
            cost,
            salt: decode_base64(salt).ok_or_else(broken)?,
            hash: decode_base64(hash).ok_or_else(broken)?,
        }))
    }

    /// Returns whether `password` matches, by the rules of the systems that made the hash. A
    /// password ends at its first NUL, because it was a C string. Bytes after the seventy-second
    /// are ignored.
    fn verify(&self, password: &str) -> bool {
        let bytes =
            password.bytes().take_while(|byte| *byte != 0).chain([0]).take(MAX_BCRYPT_BYTES);
        let computed = bcrypt::bcrypt(self.cost, self.salt, &bytes.collect::<Vec<_>>());
        bool::from(computed[..BCRYPT_HASH_BYTES].ct_eq(&self.hash))
    }
}

fn decode_base64<const N: usize>(text: &str) -> Option<[u8; N]> {
    BCRYPT_BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests;
