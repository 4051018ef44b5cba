//! Which addresses tools may reach: none that leads into the operator's own network, unless the operator says so.
//!
//! A name is resolved once for a connection, every address it has is judged, and the connection goes to an address that
//! was judged: a name that means another machine a moment later gains nothing. Addresses written as numbers never come
//! to the resolver, so [`Addresses::allows_url`] judges those before each request.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Private networks that tools may reach all the same: `all`, or networks such as `10.1.0.0/16, fd00::/8`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrivateAddresses {
    all: bool,
    networks: Vec<Network>,
}

/// An address and how many of its first bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    base: IpAddr,
    bits: u8,
}

impl FromStr for PrivateAddresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut allowed = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part {
                "all" => allowed.all = true,
                network => allowed.networks.push(network.parse()?),
            }
        }
        Ok(allowed)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let why = || format!("`{text}` is no network: give `all`, or networks such as 10.1.0.0/16");
        let (base, bits) = text.split_once('/').unwrap_or((text, ""));
        let base: IpAddr = base.parse().map_err(|_| why())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = if bits.is_empty() { most } else { bits.parse().map_err(|_| why())? };
        if bits > most { Err(why()) } else { Ok(Self { base, bits }) }
    }
}

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                base.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                base.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            _ => false,
        }
    }
}

/// Turns a name into addresses.
pub trait Lookup: Send + Sync {
    /// All addresses of `host`.
    fn lookup(&self, host: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;
}

/// The system's resolver.
pub struct System;

impl Lookup for System {
    fn lookup(&self, host: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The rule, and who is asked for names.
#[derive(Clone)]
pub struct Addresses {
    private: PrivateAddresses,
    plain_http: bool,
    lookup: Arc<dyn Lookup>,
}

/// What a request is not sent for. Is said to models, so it names no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Private;

impl fmt::Display for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is a private one, which tools may not reach")
    }
}

impl std::error::Error for Private {}

impl Addresses {
    /// Private addresses are refused but for `private`; `http://` unless `plain_http`.
    pub fn new(private: PrivateAddresses, plain_http: bool) -> Self {
        Self { private, plain_http, lookup: Arc::new(System) }
    }

    /// The same with another resolver.
    #[must_use]
    pub fn asking(self, lookup: Arc<dyn Lookup>) -> Self {
        Self { lookup, ..self }
    }

    /// Whether a request may go to this URL as far as the URL itself tells.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn allows_url(&self, url: &Url) -> Result<(), String> {
        match url.scheme() {
            "https" => {}
            "http" if self.plain_http => {}
            "http" => {
                return Err(
                    "must begin with https://; the operator of this engine allows no http://".to_owned()
                );
            }
            _ => return Err("must begin with https://".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must hold no user or password: use a header with a secret".to_owned());
        }
        let host = url.host_str().unwrap_or_default();
        let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match number {
            Ok(address) if !self.allows(address) => Err(Private.to_string()),
            _ if host.is_empty() => Err("must name a host".to_owned()),
            _ => Ok(()),
        }
    }

    /// Whether tools may reach this address.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = plain(address);
        is_public(address) || self.private.all || self.private.networks.iter().any(|it| it.holds(address))
    }
}

impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let (rule, host) = (self.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let found = rule.lookup.lookup(host).await?;
            // One that is refused among them is no mistake: somebody tries to get in.
            if found.iter().any(|address| !rule.allows(*address)) {
                return Err(Box::new(Private) as Box<dyn std::error::Error + Send + Sync>);
            }
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// The IPv4 address within an IPv6 one that only stands for it.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let embedded =
        |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match segments {
        // Mapped (RFC 4291, 2.5.5.2), and compatible (2.5.5.1) but for `::` and `::1`.
        [0, 0, 0, 0, 0, 0xffff, high, low] => embedded(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => embedded(high, low),
        // NAT64 (RFC 6052) and 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        _ => address,
    }
}

/// Whether an address is one of the open internet, by the registries of special addresses (RFC 6890 and its updates).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127, ..) => true,
        (100, 64..=127, _) => true,                // shared by carriers (RFC 6598)
        (169, 254, _) => true,                     // link-local; clouds tell secrets there
        (172, 16..=31, _) | (192, 168, _) => true, // private (RFC 1918)
        (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) => true, // protocols and documentation
        (192, 88, 99) => true,                     // relays of 6to4
        (198, 18..=19, _) => true,                 // benchmarks (RFC 2544)
        _ => a >= 224,                             // multicast, reserved, broadcast
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let special = match first {
        0x2001 => second < 0x200 || second == 0xdb8, // protocols such as Teredo; documentation
        0x3fff => second < 0x1000,                   // documentation (RFC 9637)
        _ => !(0x2000..0x4000).contains(&first),     // only 2000::/3 is given out
    };
    !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(private: &str) -> Addresses {
        Addresses::new(private.parse().expect("it is a list of networks"), false)
    }

    #[test]
    fn nothing_of_the_own_network_is_allowed_however_it_is_written() {
        let rule = rule("");
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
            "64:ff9b:1::a00:1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "5f00::1",
        ] {
            assert!(!rule.allows(address.parse().expect("it is an address")), "{address}");
        }
        for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(rule.allows(address.parse().expect("it is an address")), "{address}");
        }
    }

    #[test]
    fn the_operator_opens_networks_or_all_of_them() {
        let some = rule("10.1.0.0/16, fd00::/8 ,127.0.0.1");
        let allowed = |address: &str| some.allows(address.parse().expect("it is an address"));
        assert!(
            allowed("10.1.2.3") && allowed("fd12::1") && allowed("127.0.0.1") && allowed("::ffff:10.1.2.3")
        );
        assert!(!allowed("10.2.0.1") && !allowed("127.0.0.2") && !allowed("fc00::1"));
        assert!(rule("all").allows("169.254.169.254".parse().expect("it is an address")));
        assert!(rule("0.0.0.0/0").allows("10.0.0.1".parse().expect("it is an address")));
        for bad in ["10.0.0.0/33", "ten", "10.0.0.0/x", "::/129"] {
            assert!(bad.parse::<PrivateAddresses>().is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_with_a_private_number_a_password_or_another_scheme_are_refused() {
        let rule = rule("");
        let allows = |url: &str| rule.allows_url(&Url::parse(url).expect("it is a URL"));
        for url in [
            "http://example.com/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.0.0.1./",
            "https://127.1/",
            "https://0177.0.0.1/",
            "https://１２７.0.0.1/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::169.254.169.254]/",
            "https://[64:ff9b:1::1]/",
            "https://[2002:a00:1::]/",
            "https://user:word@example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
        ] {
            assert!(allows(url).is_err(), "{url}");
        }
        assert!(Url::parse("https://[fe80::1%25eth0]/").is_err(), "a zone is no part of an address");
        assert_eq!(allows("https://example.com:8443/a?b=c"), Ok(()));
        let plain = Addresses::new(PrivateAddresses::default(), true);
        assert_eq!(plain.allows_url(&Url::parse("http://example.com/").expect("it is a URL")), Ok(()));
    }
}
