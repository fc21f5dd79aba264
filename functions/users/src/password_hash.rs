//! Argon2id: what a password is stored as, and how a login is compared with it. And bcrypt, for
//! accounts that another system has brought along: read, never written.
//!
//! The memory of Argon2 is kept between calls: allocating and freeing 19 MiB each time costs more
//! than a third of a hash. A function handles one request at a time, so no request waits for it. It
//! never grows: a hash with parameters that need more memory allocates its own.
//!
//! A stored hash is untrusted text. Its parameters are bounded before it is computed, so that an
//! imported hash cannot cost a minute or a gigabyte. An unknown account takes the work of a current
//! hash. An account whose hash [must be replaced](PasswordHasher::needs_rehash) takes a different
//! time and can be distinguished until its owner has logged in once: the price of keeping imported
//! passwords, and it ends by itself.

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

/// 19 MiB, two passes, one lane: OWASP Password Storage Cheat Sheet, Argon2id.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// The memory that is kept between calls.
const CACHED_BLOCKS: usize = MEMORY_KIB as usize;

/// The most memory that a stored hash may ask for: no framework's defaults ask for more than 100
/// MiB.
const MAX_MEMORY_KIB: u32 = 131_072;
/// The most that it may ask for in all, memory times passes: well below a second.
const MAX_WORK_KIB: u64 = 1_048_576;
/// The most lanes: each of them is more work at the seams, for which there is no second processor
/// here.
const MAX_LANES: u32 = 16;
/// The highest cost of a bcrypt hash: a second. Each step doubles it, and 31 would take a day.
const MAX_BCRYPT_COST: u32 = 14;
const MIN_BCRYPT_COST: u32 = 4;
/// What bcrypt looks at of a password, the NUL at its end included.
const MAX_BCRYPT_BYTES: usize = 72;
/// What is written down of bcrypt's 24 bytes.
const BCRYPT_HASH_BYTES: usize = 23;

/// bcrypt's own alphabet. The last character of a salt has four bits to spare, and some
/// implementations left something in them.
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The hash for unknown accounts, so that they take the time of known ones. It has the parameters
/// of [`PasswordHasher::hash`]; no known password matches it, and a match would still be rejected.
const DUMMY_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes passwords.
#[derive(Default)]
pub struct PasswordHasher {
    memory: Mutex<Vec<Block>>,
}

/// In which form a password matches its stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// Composed (NFC), as [`PasswordHasher::hash`] hashes it.
    Nfc,
    /// Byte for byte as it was typed: the hash is older than composition, or comes from another
    /// system.
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
    /// The PHC string that stores `password` in composed form (NFC).
    ///
    /// # Errors
    /// When Argon2 refuses its input, which no password of ours makes it do.
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

    /// Whether `password` matches `stored`, in either normalization. `None` means an unknown
    /// account: it takes the same time and never matches.
    ///
    /// # Errors
    /// When `stored` is not an Argon2id or bcrypt hash, or exceeds the limits of memory and time.
    pub fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, HashError> {
        Ok(self.matching_normalization(password, stored)?.is_some())
    }

    /// In which form `password` matches `stored`. A password that is not composed as typed is tried
    /// in both forms, for unknown accounts too: timing does not reveal whether an account exists.
    ///
    /// # Errors
    /// As [`PasswordHasher::verify`].
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
            return Err(HashError::new("it asks for more memory or time than any password should"));
        }
        let computed = self.compute(&params, version(&parsed)?, password, salt, expected.len())?;
        Ok(bool::from(computed.ct_eq(expected.as_bytes())) && stored.is_some())
    }

    /// Whether a hash that a password was just found right with is to be replaced by one of
    /// [`PasswordHasher::hash`]: it is bcrypt, or Argon2 of another version or with other
    /// parameters. What was typed is then the password, with all of its bytes.
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

/// The version of a hash: the first, where it names none (the hashes of its time did not).
fn version(hash: &PasswordHash) -> Result<Version, HashError> {
    hash.version
        .map_or(Ok(Version::V0x10), |version| Version::try_from(version).map_err(HashError::new))
}

/// A bcrypt hash: `$2b$12$`, 22 characters of salt, 31 of hash.
///
/// `2a`, `2b` and `2y` are one algorithm for existing passwords (`2y` and `2b` mark a bug of one
/// implementation as fixed); `2x` marks the bug as present, and is not supported.
struct Bcrypt {
    cost: u32,
    salt: [u8; SALT_BYTES],
    hash: [u8; BCRYPT_HASH_BYTES],
}

impl Bcrypt {
    /// The bcrypt hash that `text` spells; none, if it is of another kind.
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

    /// Whether `password` matches, by the rules of the systems that made the hash: a password ends
    /// at its first NUL, because it was a C string, and bytes after the seventy-second are ignored.
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
