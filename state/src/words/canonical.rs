//! Content written as bytes without ambiguity, for hashing: two contents that differ never have
//! the same bytes, because every text and list says its length and every choice its number.

use std::net::IpAddr;

use super::address::Cidr;

/// Bytes under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canonical {
    bytes: Vec<u8>,
}

impl Canonical {
    /// Which of several choices follows.
    pub fn choice(&mut self, number: u8) -> &mut Self {
        self.bytes.push(number);
        self
    }

    /// A number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.bytes.extend(number.to_le_bytes());
        self
    }

    /// How many items follow, or bytes.
    pub fn length(&mut self, length: usize) -> &mut Self {
        self.number(length as u64)
    }

    /// A text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.raw(text.as_bytes())
    }

    /// Bytes of any length.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len());
        self.bytes.extend(bytes);
        self
    }

    /// An address of either family.
    pub fn address(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(v4) => self.raw(&v4.octets()),
            IpAddr::V6(v6) => self.raw(&v6.octets()),
        }
    }

    /// A prefix of either family.
    pub fn cidr(&mut self, cidr: Cidr) -> &mut Self {
        self.address(cidr.network()).choice(cidr.prefix_len())
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_has_other_bytes() {
        let two = |a: &str, b: &str| Canonical::default().text(a).text(b).clone();
        assert_ne!(two("ab", "c"), two("a", "bc"));
        assert_ne!(two("", "abc"), two("abc", ""));
    }
}
