//! Certificates and signed tokens of a test's own: an authority, what it signs, and JWTs (ES256).

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    PublicKeyData as _, SigningKey as _,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An authority with a server's and a client's certificate, in PEM files.
pub(crate) struct Keys {
    folder: TempDir,
}

impl Keys {
    /// Makes all of them anew; the server is 127.0.0.1 and localhost.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        let write =
            |name: &str, pem: String| std::fs::write(folder.path().join(name), pem).unwrap();
        write("ca.pem", authority.pem());
        for (name, hosts) in [("server", vec!["127.0.0.1", "localhost"]), ("client", Vec::new())] {
            let hosts: Vec<_> = hosts.into_iter().map(str::to_owned).collect();
            let mut params = CertificateParams::new(hosts).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
            write(&format!("{name}-both.pem"), key.serialize_pem() + &certificate.pem());
        }
        Self { folder }
    }

    /// A file: `ca.pem`, and for `server` and `client` the certificate `NAME.pem`, the key
    /// `NAME.key` and both in `NAME-both.pem`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        assert!(path.exists(), "{}", path.display());
        path
    }

    /// The same, for a command line.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// Who signs tokens, as a JSON web key set in a file tells.
pub(crate) struct Issuer {
    key: KeyPair,
}

/// What tokens of an [`Issuer`] are for.
pub(crate) const AUDIENCE: &str = "kafka-of-a-test";
/// Who they are from.
pub(crate) const ISSUER: &str = "https://issuer.example";
const KEY_ID: &str = "first";

impl Issuer {
    pub(crate) fn new() -> Self {
        Self { key: KeyPair::generate().unwrap() }
    }

    /// Writes the key set (RFC 7517) that a broker checks signatures with.
    pub(crate) fn write_key_set(&self, path: &Path) {
        // An uncompressed point: 4, then both coordinates of 32 bytes.
        let point = self.key.der_bytes();
        let (x, y) = point[1..].split_at(32);
        let code = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
            "x": code(x), "y": code(y),
        });
        std::fs::write(path, json!({ "keys": [key] }).to_string()).unwrap();
    }

    /// A token for `subject` that ends `seconds` from now, or has ended so long ago.
    pub(crate) fn token(&self, subject: &str, seconds: i64) -> String {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "scope": "kafka",
            "iat": now - 60, "exp": now + seconds,
        });
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let head = json!({"alg": "ES256", "kid": KEY_ID, "typ": "JWT"});
        let signed = format!("{}.{}", part(&head), part(&claims));
        let signature = raw(&self.key.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Both numbers of a DER signature (RFC 3279), 32 bytes each as RFC 7518 wants them.
fn raw(der: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    // A sequence of two integers: tag and length, then the value, with a zero before a high bit.
    let mut rest = &der[2..];
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let value = &rest[2..2 + length];
        rest = &rest[2 + length..];
        let digits = &value[value.len().saturating_sub(32)..];
        raw.extend(std::iter::repeat_n(0, 32 - digits.len()).chain(digits.iter().copied()));
    }
    raw
}
