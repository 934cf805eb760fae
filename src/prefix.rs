//! Where somebody connects from, as a network: what one cannot change at will.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The bits of an IPv6 address that name a site: whoever has one address of it has all of them (RFC 6177).
const SITE: u128 = !0 << 64;

/// An IPv4 address, or the first 64 bits of an IPv6 address.
pub(crate) fn prefix(address: SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & SITE).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_site_are_one() {
        let from = |text: &str| prefix(SocketAddr::new(text.parse().unwrap(), 1));
        assert_eq!(from("2001:db8::1"), from("2001:db8::ffff:0:0:2"));
        assert_ne!(from("2001:db8::1"), from("2001:db8:0:1::1"));
        assert_ne!(from("192.0.2.1"), from("192.0.2.2"));
        assert_eq!(from("192.0.2.1"), from("::ffff:192.0.2.1"));
    }
}
