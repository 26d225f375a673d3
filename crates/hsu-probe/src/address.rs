//! Addresses: which of them a look may reach.
//!
//! A name is resolved once, every address is judged, and the connection goes to an
//! address that was judged: a name that resolves to something else a moment later
//! changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hsu_model::health::probe::Reach;

/// Why a look does not go to an address; none when it may.
pub(crate) fn refusal(address: IpAddr, reach: Reach) -> Option<&'static str> {
    if reach == Reach::Anywhere {
        return None;
    }
    match address.to_canonical() {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => refusal_v4(inner),
            None => refusal_v6(address),
        },
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    // Source: RFC 3927; the metadata services of AWS, Azure, GCP and others are at
    // 169.254.169.254, that of Alibaba Cloud at 100.100.100.200, Azure's at 168.63.129.16.
    match address.octets() {
        [169, 254, ..] => Some("it is link-local, where clouds keep the secrets of a machine"),
        [100, 100, 100, 200] | [168, 63, 129, 16] => Some("it tells the secrets of a machine"),
        [224..=255, ..] => Some("it is no address of a single host"),
        _ => None,
    }
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    // Source: RFC 4291; AWS instance metadata over IPv6 is at fd00:ec2::254.
    let segments = address.segments();
    match segments {
        [0xfe80..=0xfebf, ..] => Some("it is link-local"),
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => Some("it tells the secrets of a machine"),
        [0xff00..=0xffff, ..] => Some("it is no address of a single host"),
        _ => None,
    }
}

/// The IPv4 address inside an IPv6 address of a translator.
// Source: RFC 6052, 64:ff9b::/96; RFC 3056, 2002::/16; RFC 4291, ::/96.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d] = match address.segments() {
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => halves(high, low),
        [0x2002, high, low, ..] => halves(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => halves(high, low),
        _ => return None,
    };
    Some(Ipv4Addr::new(a, b, c, d))
}

fn halves(high: u16, low: u16) -> [u8; 4] {
    let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_refused_in_every_disguise() {
        for text in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert!(refusal(address, Reach::Usual).is_some(), "{text}");
            assert!(refusal(address, Reach::Anywhere).is_none(), "{text}");
        }
    }

    #[test]
    fn ordinary_and_private_addresses_are_reached() {
        for text in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "8.8.8.8", "::1", "fd00::1", "2001::1"]
        {
            assert_eq!(refusal(text.parse().unwrap(), Reach::Usual), None, "{text}");
        }
    }
}
