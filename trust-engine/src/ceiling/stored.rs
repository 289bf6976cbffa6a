//! An account as bytes, for stores that keep them.

use super::account::Account;
use super::window::Window;
use crate::error::{Error, ErrorKind, Result};
use crate::policy::WindowKind;

/// The first byte of a stored account.
const FORMAT: u8 = 1;

impl Account {
    /// Writes format, kind, seconds, newest slice and charges; numbers are big-endian.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(14 + 8 * self.charged.len());
        bytes.extend([FORMAT, self.window.kind() as u8]);
        bytes.extend(self.window.seconds().to_be_bytes());
        bytes.extend(self.newest.to_be_bytes());
        self.charged.iter().for_each(|charge| bytes.extend(charge.to_be_bytes()));
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        Self::read(bytes).ok_or_else(|| Error::new(ErrorKind::Corrupt, "a stored counter cannot be read"))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(2)?;
        let kind = match head {
            [FORMAT, 0] => WindowKind::Fixed,
            [FORMAT, 1] => WindowKind::Sliding,
            _ => return None,
        };
        let (seconds, rest) = rest.split_first_chunk::<4>()?;
        let (newest, rest) = rest.split_first_chunk::<8>()?;
        let (charges, rest) = rest.as_chunks::<8>();
        let window = Window::new(kind, u32::from_be_bytes(*seconds));
        let whole = rest.is_empty() && charges.len() == window.slices() && seconds != &[0; 4];
        whole.then(|| Self {
            window,
            newest: i64::from_be_bytes(*newest),
            charged: charges.iter().map(|charge| u64::from_be_bytes(*charge)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn stored_bytes_are_fixed_and_read_back() {
        let mut account = Account::new(Window::new(WindowKind::Fixed, 3600), at(HOUR));
        account.charge(258);
        assert_eq!(hex::encode(account.to_bytes()), "010000000e1000000000000000010000000000000102");
        for kind in [WindowKind::Fixed, WindowKind::Sliding] {
            let window = Window::new(kind, 3600);
            let mut account = Account::new(window, at(HOUR * 400_000));
            account.charge(3);
            let bytes = account.to_bytes();
            assert_eq!(Account::parse(&bytes).unwrap(), account);
            for length in 0..bytes.len() {
                assert!(Account::parse(&bytes[..length]).is_err(), "{length} bytes were read");
            }
        }
        assert!(Account::parse(&[9; 22]).is_err());
    }

    const HOUR: i64 = 3_600_000_000;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }
}
