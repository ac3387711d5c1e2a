//! `limits, certificates -> HTTP client`: the one way by which the worker asks a web server.
//!
//! Redirects are not followed, so that credentials go to the configured host only. Deliberately
//! knows nothing of what is asked.

use std::io;
use std::sync::Once;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::config::settings::Tls;
use crate::error::{Fault, FaultClass};

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Longest time to connect, name resolution apart.
    pub connect: Duration,
    /// Longest time for one request from start to end, name resolution and connecting included.
    pub total: Duration,
}

impl Default for Patience {
    /// What fits a server in the same region.
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), total: Duration::from_secs(10) }
    }
}

/// A client; a status that is no success is an answer like any other. `whose` tells whose
/// certificates `tls` holds, for the fault where they are none.
pub fn agent(patience: Patience, tls: &Tls, whose: &str) -> Result<Agent, Fault> {
    let mut config = TlsConfig::builder();
    if let Some(roots) = &tls.roots {
        config = config.root_certs(RootCerts::new_with_certs(&chain(roots.reveal(), whose)?));
    }
    if let Some((certificate, key)) = &tls.identity {
        let key = PrivateKey::from_pem(key.reveal().as_bytes())
            .map_err(|error| unread(whose, "private key", error))?;
        config = config.client_cert(Some(ClientCert::new_with_certs(
            &chain(certificate.reveal(), whose)?,
            key,
        )));
    }
    Ok(Agent::config_builder()
        .tls_config(config.build())
        .timeout_connect(Some(patience.connect))
        .timeout_global(Some(patience.total))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent())
}

/// The certificates in `pem`, in order.
fn chain(pem: &str, whose: &str) -> Result<Vec<Certificate<'static>>, Fault> {
    let mut chain = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        if let PemItem::Certificate(one) =
            item.map_err(|error| unread(whose, "certificate", error))?
        {
            chain.push(one);
        }
    }
    if chain.is_empty() {
        let what = format!("reading the certificates of {whose}: the file holds none");
        return Err(Fault::plain(FaultClass::Fatal, what));
    }
    Ok(chain)
}

/// The one provider of cryptography for the TLS of clients that bring none, for the whole process.
pub fn provide_tls() {
    static PROVIDED: Once = Once::new();
    PROVIDED.call_once(|| {
        // An error means that the process has one already.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
}

/// Whether it was TLS that failed: one side did not take the other's certificate.
pub fn is_of_tls(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Rustls(_) | ureq::Error::Tls(_))
        || matches!(error, ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData)
}

/// `text` with all but the unreserved characters of RFC 3986 as `%XX`.
pub fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let of_byte = |byte: u8| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(of_byte).collect()
}

fn unread(whose: &str, what: &str, error: ureq::Error) -> Fault {
    Fault::new(FaultClass::Fatal, format!("reading a {what} of {whose}"), error)
}

#[cfg(test)]
mod tests {
    use super::{Patience, agent, encoded};
    use crate::config::settings::{Secret, Tls};

    #[test]
    fn what_is_no_certificate_is_fatal_and_told_without_its_words() {
        let pem = |text: &str| Some(Secret::new(text.to_owned()));
        for roots in
            ["hunter2", "-----BEGIN CERTIFICATE-----\n%hunter2%\n-----END CERTIFICATE-----"]
        {
            let tls = Tls { roots: pem(roots), identity: None };
            let told = agent(Patience::default(), &tls, "the registry").err().unwrap().chain();
            assert!(told.contains("the registry") && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn all_but_letters_digits_and_four_marks_are_encoded() {
        assert_eq!(encoded("a-b._~9"), "a-b._~9");
        assert_eq!(encoded("a b:/ü"), "a%20b%3A%2F%C3%BC");
    }
}
