//! Identifiers: a prefix that names the kind, and a UUID.
//!
//! New ids are UUIDv7, which sort by creation time. Ids that must be equal when a request or
//! message is repeated are *derived*: UUIDv8 from the SHA-256 of the fields that identify it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use serde::Serialize;
pub use uuid::Uuid;

use crate::clock::Timestamp;

/// An identifier with a prefix, such as `ord_0199c2a8-…`.
pub trait PrefixedId: Sized {
    /// Prefix without its underscore, such as `ord`.
    const PREFIX: &'static str;
    fn from_uuid(uuid: Uuid) -> Self;
    /// Parses an id: exactly the prefix and a hyphenated lower-case UUID of version 7 or 8.
    fn parse(text: &str) -> Option<Self> {
        let uuid = text.strip_prefix(Self::PREFIX)?.strip_prefix('_')?;
        parse_uuid(uuid).map(Self::from_uuid)
    }
}

/// Returns the creation time of an id from [`Ids::create`], or `None` for a derived id.
pub fn created_at(uuid: Uuid) -> Option<Timestamp> {
    let (seconds, nanoseconds) = uuid.get_timestamp()?.to_unix();
    let milliseconds = i64::try_from(seconds)
        .ok()?
        .checked_mul(1000)?
        .checked_add(i64::from(nanoseconds / 1_000_000))?;
    Some(Timestamp::from_milliseconds(milliseconds))
}

/// Parses a UUID that Ferrocart creates: hyphenated, lower case, version 7 or 8.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    let parsed = Uuid::try_parse(text).ok()?;
    let known = matches!(parsed.get_version_num(), 7 | 8);
    // Comparing with the canonical text rejects upper case, braces and missing hyphens.
    (known && parsed.hyphenated().to_string() == text).then_some(parsed)
}

/// Declares an identifier type: `prefixed_id!(/// An order. OrderId, "ord");`
#[macro_export]
macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($crate::ids::Uuid);

        impl $name {
            pub fn uuid(&self) -> $crate::ids::Uuid {
                self.0
            }
        }

        impl $crate::ids::PrefixedId for $name {
            const PREFIX: &'static str = $prefix;

            fn from_uuid(uuid: $crate::ids::Uuid) -> Self {
                Self(uuid)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(formatter, concat!($prefix, "_{}"), self.0.hyphenated())
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as ::serde::Deserialize>::deserialize(deserializer)?;
                <Self as $crate::ids::PrefixedId>::parse(&text).ok_or_else(|| {
                    let detail = concat!("Send an id that starts with ", $prefix, "_ and continues with a UUID.");
                    ::serde::de::Error::custom($crate::validation::Violation::new("invalid_id", detail))
                })
            }
        }

        $crate::describe!($name, id($prefix));
    };
}

prefixed_id!(
    /// A registered user.
    UserId,
    "usr"
);
prefixed_id!(
    /// An address in the address book of a user.
    AddressId,
    "adr"
);
prefixed_id!(
    /// A product of the catalog.
    ProductId,
    "prd"
);
prefixed_id!(OrderId, "ord");
prefixed_id!(
    /// A cart. The id alone gives no access.
    CartId,
    "crt"
);
prefixed_id!(
    /// A notification to a user.
    NotificationId,
    "ntf"
);
prefixed_id!(
    /// A shipping method of a market.
    ShippingMethodId,
    "shp"
);
prefixed_id!(
    /// A promotion: a discount under conditions.
    PromotionId,
    "prm"
);
prefixed_id!(
    /// A line of a cart or an order.
    LineId,
    "lin"
);

/// The source of new ids and random bytes.
#[derive(Clone, Debug, Default)]
pub enum Ids {
    /// The operating system's generator.
    #[default]
    System,
    /// A repeatable sequence for tests, never for secrets.
    Seeded(Arc<AtomicU64>),
}

impl Ids {
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(AtomicU64::new(seed)))
    }

    /// Creates an id that sorts after all ids created before `now`.
    pub fn create<I: PrefixedId>(&self, now: Timestamp) -> I {
        let random = self.bytes::<10>();
        let milliseconds = u64::try_from(now.milliseconds()).unwrap_or(0);
        I::from_uuid(uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid())
    }

    /// Returns random bytes. Only the operating system's generator is suitable for keys and tokens.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match self {
            // The generator fails only if the kernel has none. The function cannot continue without
            // one.
            Self::System => SystemRandom::new()
                .fill(&mut bytes)
                .expect("the operating system gives random bytes"),
            Self::Seeded(next) => {
                for chunk in bytes.chunks_mut(32) {
                    let hash = digest::digest(
                        &digest::SHA256,
                        &next.fetch_add(1, Ordering::SeqCst).to_be_bytes(),
                    );
                    chunk.copy_from_slice(&hash.as_ref()[..chunk.len()]);
                }
            }
        }
        bytes
    }
}

/// Derives an id from `fields`: equal fields always result in the same id.
///
/// Hashes each field with its length in front, so that `("ab", "c")` and `("a", "bc")` differ.
pub fn derive<I: PrefixedId>(fields: &[&str]) -> I {
    I::from_uuid(derive_uuid(fields))
}

/// Derives a UUIDv8 from `fields`; see [`derive()`].
pub fn derive_uuid(fields: &[&str]) -> Uuid {
    let hash = hash_fields(fields);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    Uuid::new_v8(bytes)
}

/// Returns the id `id` with the time `at` in front, so that the ids of one kind sort by it. Equal
/// inputs always result in the same UUIDv8.
pub fn sorted_by<I: PrefixedId>(at: Timestamp, id: Uuid) -> I {
    let mut bytes = *id.as_bytes();
    let milliseconds = u64::try_from(at.milliseconds()).unwrap_or(0).to_be_bytes();
    bytes[..6].copy_from_slice(&milliseconds[2..]);
    I::from_uuid(Uuid::new_v8(bytes))
}

fn hash_fields(fields: &[&str]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for field in fields {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field.as_bytes());
    }
    context.finish()
}

/// Returns the SHA-256 of `text` in hexadecimal.
pub fn sha256_hex(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Returns the fingerprint of a request: the first 128 bits of the SHA-256 of its canonical JSON
/// (sorted keys, no white space) in hexadecimal. It distinguishes the requests of one client under
/// one idempotency key.
pub fn fingerprint<T: Serialize>(request: &T) -> String {
    // `Value` sorts its keys, which makes the text canonical.
    let value = serde_json::to_value(request).expect("a request serialises to JSON");
    let mut hash = sha256_hex(&value.to_string());
    hash.truncate(32);
    hash
}

/// Returns the index shard of an id, in `0..shards`. Ids are evenly distributed, and the same id
/// always has the same shard.
pub fn shard_of(id: &str, shards: u32) -> u32 {
    let hash = digest::digest(&digest::SHA256, id.as_bytes());
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&hash.as_ref()[..4]);
    u32::from_be_bytes(bytes) % shards.max(1)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_id_round_trips_and_sorts_by_time() {
        let ids = Ids::default();
        let first: OrderId = ids.create(Timestamp::from_milliseconds(1_000));
        let second: OrderId = ids.create(Timestamp::from_milliseconds(2_000));
        assert_eq!(OrderId::parse(&first.to_string()), Some(first));
        assert!(first.to_string() < second.to_string());
    }

    #[test]
    fn id_with_a_time_sorts_by_it_and_depends_on_both() {
        let at = Timestamp::from_milliseconds;
        let sorted = |at: Timestamp, name: &str| -> NotificationId {
            sorted_by(at, derive::<NotificationId>(&[name]).uuid())
        };
        let first = sorted(at(1_795_254_529_123), "a");
        assert_eq!(first, sorted(at(1_795_254_529_123), "a"));
        assert_ne!(first, sorted(at(1_795_254_529_123), "b"));
        for later in [1_795_254_529_124, 1_895_254_529_123] {
            assert!(first.to_string() < sorted(at(later), "a").to_string());
        }
        assert_eq!(NotificationId::parse(&first.to_string()), Some(first));
    }

    #[test]
    fn ids_with_wrong_prefix_or_spelling_are_rejected() {
        let order: OrderId = derive(&["a"]);
        let text = order.to_string();
        assert_eq!(UserId::parse(&text), None);
        assert_eq!(OrderId::parse(&text.to_uppercase()), None);
        assert_eq!(OrderId::parse(&text.replace('-', "")), None);
        assert_eq!(OrderId::parse(&format!("{text}/")), None);
        assert_eq!(OrderId::parse("ord_9f8b3c1e-2d4a-4f6b-8c7d-1234567890ab"), None, "version 4");
        assert_eq!(OrderId::parse("ord_%2e%2e%2f"), None);
    }

    #[test]
    fn derived_ids_depend_on_every_field_and_its_length() {
        let id = |fields: &[&str]| derive::<OrderId>(fields);
        assert_eq!(id(&["usr", "create-order", "k"]), id(&["usr", "create-order", "k"]));
        assert_ne!(id(&["ab", "c"]), id(&["a", "bc"]));
        assert_eq!(id(&["a"]).uuid().get_version_num(), 8);
    }
}
