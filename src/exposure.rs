//! Who can reach the server, and whether something keeps strangers out.

use std::net::SocketAddr;

use thiserror::Error;

/// What protects an address.
#[derive(Debug, Clone, Copy)]
pub struct Protection {
    /// Whether callers are asked who they are.
    pub asks: bool,
    /// Whether what is sent is encrypted.
    pub encrypts: bool,
    /// Whether the operator says that something else protects it (`--insecure`).
    pub elsewhere: bool,
}

/// The server does not start, since strangers could use it or read along.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Exposed {
    #[error(
        "other machines can reach {0}, where everyone may do everything; ask for tokens with --auth tokens \
         --tokens-file FILE (pointstream token --tokens-file FILE add NAME makes it), listen on 127.0.0.1 \
         alone, or say with --insecure that something else keeps strangers out"
    )]
    Open(SocketAddr),
    #[error(
        "other machines can reach {0}, and tokens and photos are sent to it unencrypted; give a certificate \
         with --tls-cert and --tls-key, listen on 127.0.0.1 behind a reverse proxy with TLS, or say with \
         --insecure that nobody can read along"
    )]
    Plain(SocketAddr),
}

/// The server does not start: by its options, a reverse proxy lets strangers use it.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{0} says that others reach the server through a reverse proxy, where everyone may do everything; ask for \
     tokens with --auth tokens --tokens-file FILE (pointstream token --tokens-file FILE add NAME makes it), or \
     say with --insecure that the proxy keeps strangers out"
)]
pub struct Shown(&'static str);

/// Checks the options of reverse proxies: whether people reach the server under a name of their own, and
/// whether proxies are trusted. A server is guarded if callers are asked who they are, or the operator says
/// that something else protects it (`--insecure`).
///
/// # Errors
/// [`Shown`] if it is not.
pub fn check_proxies(
    (is_public, has_proxies): (bool, bool),
    is_guarded: bool,
) -> Result<(), Shown> {
    match (is_public, has_proxies) {
        _ if is_guarded => Ok(()),
        (true, _) => Err(Shown("--public-url")),
        (false, true) => Err(Shown("--trusted-proxies")),
        (false, false) => Ok(()),
    }
}

/// Checks an address before the server accepts connections on it.
///
/// # Errors
/// [`Exposed`] if other machines can reach it, and nobody is asked who they are or what is sent is not
/// encrypted.
pub fn check(address: SocketAddr, protection: Protection) -> Result<(), Exposed> {
    if address.ip().to_canonical().is_loopback() || protection.elsewhere {
        Ok(())
    } else if !protection.asks {
        Err(Exposed::Open(address))
    } else if !protection.encrypts {
        Err(Exposed::Plain(address))
    } else {
        Ok(())
    }
}

/// Whether only this machine reaches the server, as far as its options tell.
pub fn is_private(address: SocketAddr, (is_public, has_proxies): (bool, bool)) -> bool {
    address.ip().to_canonical().is_loopback() && !is_public && !has_proxies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(address: &str, (asks, encrypts): (bool, bool), elsewhere: bool) -> bool {
        let protection = Protection {
            asks,
            encrypts,
            elsewhere,
        };
        check(address.parse().expect("an address"), protection).is_ok()
    }

    #[test]
    fn loopback_needs_nothing() {
        for address in [
            "127.0.0.1:80",
            "127.8.8.8:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert!(checked(address, (false, false), false), "{address}");
        }
    }

    #[test]
    fn other_addresses_need_tokens_and_tls_or_a_word_of_the_operator() {
        for address in [
            "0.0.0.0:80",
            "[::]:80",
            "192.168.0.7:80",
            "[fe80::1]:80",
            "10.0.0.1:80",
        ] {
            for lacking in [(false, false), (true, false), (false, true)] {
                assert!(!checked(address, lacking, false), "{address}");
                assert!(checked(address, lacking, true), "{address}");
            }
            assert!(checked(address, (true, true), false), "{address}");
        }
    }

    #[test]
    fn a_server_is_private_on_loopback_without_proxies() {
        let address = |text: &str| text.parse().expect("an address");
        assert!(is_private(address("127.0.0.1:80"), (false, false)));
        assert!(is_private(address("[::1]:80"), (false, false)));
        assert!(!is_private(address("192.168.0.7:80"), (false, false)));
        assert!(!is_private(address("0.0.0.0:80"), (false, false)));
        for proxies in [(true, false), (false, true), (true, true)] {
            assert!(!is_private(address("127.0.0.1:80"), proxies));
        }
    }

    #[test]
    fn a_reverse_proxy_lets_others_in() {
        for proxies in [(true, false), (false, true), (true, true)] {
            assert!(check_proxies(proxies, false).is_err());
            assert!(check_proxies(proxies, true).is_ok());
        }
        assert!(check_proxies((false, false), false).is_ok());
    }
}
