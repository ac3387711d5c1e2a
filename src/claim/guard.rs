//! `address or name -> whether a store may stand there`: no request leaves for the addresses at which
//! a cloud or a machine gives out its secrets, whatever a name resolves to.
//!
//! Deliberately takes private networks: a store of one's own stands there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs as _};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The name under which Google Cloud gives credentials to the client; no store may have it.
const GOOGLE_METADATA: &str = "metadata.google.internal";

/// Metadata services that stand outside of the link-local networks: Alibaba Cloud, Azure's host and
/// Oracle Cloud.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// That of Amazon EC2.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Says which addresses a store may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    pub(super) allows_loopback: bool,
}

impl Guard {
    /// Whether a store may stand at this address.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.allows_v4(address),
            IpAddr::V6(address) => self.allows_v6(address),
        }
    }

    fn allows_v4(self, address: Ipv4Addr) -> bool {
        if address.is_loopback() {
            return self.allows_loopback;
        }
        let is_nobody = address.octets().first() == Some(&0)
            || address.is_broadcast()
            || address.is_multicast();
        !(is_nobody || address.is_link_local() || METADATA_V4.contains(&address))
    }

    fn allows_v6(self, address: Ipv6Addr) -> bool {
        // An address of version 4 in one of version 6: mapped, compatible (RFC 4291), or behind a
        // translator (RFC 6052).
        const WRAPPERS: [[u16; 6]; 3] =
            [[0, 0, 0, 0, 0, 0xffff], [0; 6], [0x64, 0xff9b, 0, 0, 0, 0]];
        if address.is_loopback() {
            return self.allows_loopback;
        }
        let is_wrapped = address.segments().first_chunk().is_some_and(|it| WRAPPERS.contains(it));
        if let (true, Some(inner)) = (is_wrapped, address.octets().last_chunk::<4>()) {
            return self.allows_v4(Ipv4Addr::from(*inner));
        }
        !(address.is_multicast() || address.is_unicast_link_local() || address == METADATA_V6)
    }

    /// Why a store must not have the endpoint `url`, if so.
    pub(super) fn refuses(self, url: &str) -> Option<&'static str> {
        let Ok(url) = reqwest::Url::parse(url) else { return Some("is no URL") };
        let Some(host) = url.host_str() else { return Some("has no host") };
        if !url.username().is_empty() || url.password().is_some() {
            return Some("holds credentials, which end in logs");
        }
        let bare = host.trim_matches(['[', ']']).trim_end_matches('.');
        if bare.eq_ignore_ascii_case(GOOGLE_METADATA) {
            return Some("is a metadata service");
        }
        let address = bare.parse::<IpAddr>().ok()?;
        if self.allows(address) {
            return None;
        }
        Some(if address.is_loopback() {
            "is on this machine; `--claim-loopback` (SLUICE_CLAIM_LOOPBACK) allows it"
        } else {
            "is a link-local or metadata address"
        })
    }

    fn addresses(self, host: &str) -> io::Result<Addrs> {
        let found: Vec<_> = (host, 0).to_socket_addrs()?.collect();
        // Only the client itself asks for this name, for its credentials: no endpoint has it.
        let is_own = host.eq_ignore_ascii_case(GOOGLE_METADATA);
        if !is_own && found.iter().any(|found| !self.allows(found.ip())) {
            let why = "the store's name resolves to an address that is refused: loopback \
                       (`--claim-loopback` allows it), link-local or metadata";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Ok(Box::new(found.into_iter()))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, host) = (*self, name.as_str().to_owned());
        Box::pin(
            async move { Ok(tokio::task::spawn_blocking(move || guard.addresses(&host)).await??) },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Guard;

    const STRICT: Guard = Guard { allows_loopback: false };
    const LOCAL: Guard = Guard { allows_loopback: true };

    #[test]
    fn metadata_and_link_local_addresses_are_refused_however_they_are_written() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "::",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b::6464:64c8",
        ] {
            let address = address.parse().unwrap();
            assert!(!STRICT.allows(address) && !LOCAL.allows(address), "{address}");
        }
        for address in
            ["10.0.0.1", "192.168.1.9", "172.16.0.1", "52.95.110.1", "fd00::1", "2600::1"]
        {
            assert!(STRICT.allows(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn this_machine_is_refused_unless_it_is_allowed() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let address = address.parse().unwrap();
            assert!(!STRICT.allows(address) && LOCAL.allows(address), "{address}");
        }
        assert!(STRICT.addresses("localhost").is_err());
        assert!(LOCAL.addresses("localhost").is_ok_and(|mut found| found.next().is_some()));
    }

    #[test]
    fn an_endpoint_is_a_url_of_an_allowed_host() {
        for url in [
            "http://169.254.169.254",
            "http://[fd00:ec2::254]:80/",
            "http://2852039166/",
            "minio",
            "http://metadata.google.internal/",
            "http://METADATA.google.internal./x",
            "https://user:word@minio",
            "http://0x7f.1/",
        ] {
            assert!(STRICT.refuses(url).is_some(), "{url}");
        }
        assert!(STRICT.refuses("http://127.0.0.1:9000").unwrap().contains("--claim-loopback"));
        assert_eq!(LOCAL.refuses("http://127.0.0.1:9000"), None);
        assert_eq!(STRICT.refuses("https://minio.storage:9000"), None);
    }
}
