//! Suppressed addresses: reason, duration, and the MAC under which they are stored.

use std::{fmt, time::Duration};

use ring::hmac;
use serde::{Deserialize, Serialize};

/// How long an address is suppressed. A mailbox may accept mail again later, and its owner may
/// withdraw a complaint. SES keeps its own suppression list as well, and reports the address again
/// if it still fails.
pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// Why an address is suppressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The address bounced permanently.
    Bounce,
    /// Its owner reported a mail as spam.
    Complaint,
}

/// The MAC of an address. Without the key, a reader of the table learns no address, not even by
/// testing known ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressMac(String);

impl AddressMac {
    /// Ignores case and surrounding white space: almost all mail servers deliver such spellings to
    /// the same mailbox.
    pub fn new(key: &[u8; 32], address: &str) -> Self {
        let mac = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, key),
            address.trim().to_lowercase().as_bytes(),
        );
        Self(mac.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for AddressMac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_mac_ignores_spelling_and_depends_on_the_key() {
        let mac = AddressMac::new(&[7; 32], "ada@example.com");
        for same in ["Ada@Example.COM", " ada@example.com\r\n"] {
            assert_eq!(AddressMac::new(&[7; 32], same), mac);
        }
        assert_ne!(AddressMac::new(&[7; 32], "ada@example.org"), mac);
        assert_ne!(AddressMac::new(&[8; 32], "ada@example.com"), mac);
        assert_eq!(mac.to_string().len(), 64);
        assert!(!mac.to_string().contains("ada"));
    }
}
