//! Addresses that are not written to any more: why, for how long, and by what they are known.

use std::{fmt, time::Duration};

use ring::hmac;
use serde::{Deserialize, Serialize};

/// How long an address is not written to. Mailboxes come back to life, and their owners change
/// their minds; SES keeps a list of its own besides, and says so again if they have not.
pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// Why an address is not written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It takes no mail, and will not take the next one either.
    Bounce,
    /// Its owner has called a mail of ours spam.
    Complaint,
}

/// An address as stored: a reader of the table without the key learns no address, not even by
/// trying known ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressMac(String);

impl AddressMac {
    /// The MAC of an address. Spellings that lead to the same mailbox almost everywhere have the
    /// same one.
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
