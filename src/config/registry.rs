//! `flags, environment -> how to reach the schema registry`.
//!
//! Deliberately takes certificates by path and secrets by the environment: see [`super::secrets`].

use std::path::{Path, PathBuf};

use clap::Args;

use super::secrets::{Renewed, Secret, secret};
use super::settings::SettingsError;

/// The schema registry.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Schema registry")]
pub struct Registry {
    /// URL of a registry with the Confluent API; without one, Avro goes out in single-object
    /// encoding. Credentials: `SLUICE_REGISTRY_USER` and `SLUICE_REGISTRY_PASSWORD`, or
    /// `SLUICE_REGISTRY_TOKEN`; for each secret NAME, `NAME_FILE` names a file that holds it
    #[arg(long = "registry", env = "SLUICE_REGISTRY", value_name = "URL", value_parser = url)]
    pub url: Option<String>,
    /// Certificates (PEM) that the registry's is signed by, instead of Mozilla's
    #[arg(long, env = "SLUICE_REGISTRY_CA", value_name = "FILE")]
    pub registry_ca: Option<PathBuf>,
    /// Certificate (PEM) of this client, with those that lead from it to the root
    #[arg(
        long,
        env = "SLUICE_REGISTRY_CERTIFICATE",
        value_name = "FILE",
        requires = "registry_key"
    )]
    pub registry_certificate: Option<PathBuf>,
    /// Private key (PEM) of that certificate
    #[arg(
        long,
        env = "SLUICE_REGISTRY_KEY",
        value_name = "FILE",
        requires = "registry_certificate"
    )]
    pub registry_key: Option<PathBuf>,
}

/// Who this client says it is, in the header `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// User and password (RFC 7617).
    Basic {
        /// User; has no colon.
        user: String,
        /// Password.
        password: Secret,
    },
    /// A token (RFC 6750), read anew for each request.
    Bearer(Renewed),
}

/// Certificates for TLS, as PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// What the other side's certificate is signed by; those of Mozilla where there are none.
    pub roots: Option<Secret>,
    /// Certificate chain and private key of this side.
    pub identity: Option<(Secret, Secret)>,
}

impl Registry {
    /// Credentials of the environment; `None` where there are none.
    pub fn credentials(&self) -> Result<Option<Credentials>, SettingsError> {
        const USER: &str = "SLUICE_REGISTRY_USER";
        const PASSWORD: &str = "SLUICE_REGISTRY_PASSWORD";
        const TOKEN: &str = "SLUICE_REGISTRY_TOKEN";
        let (user, password, token) = (secret(USER)?, secret(PASSWORD)?, Renewed::named(TOKEN)?);
        let missing = |name: &str, other: &str| {
            Err(SettingsError::new(name, format!("is missing beside {other}")))
        };
        match (user, password, token) {
            (None, None, None) => Ok(None),
            (None, None, Some(token)) => Ok(Some(Credentials::Bearer(token))),
            (Some(user), Some(password), None) => {
                if user.reveal().contains(':') {
                    return Err(SettingsError::new(USER, "has a colon, which no user name may"));
                }
                Ok(Some(Credentials::Basic { user: user.into_inner(), password }))
            }
            (Some(_), None, None) => missing(PASSWORD, USER),
            (None, Some(_), None) => missing(USER, PASSWORD),
            (_, _, Some(_)) => Err(SettingsError::new(
                TOKEN,
                format!("is set beside {USER} or {PASSWORD}; take the one or the other out"),
            )),
        }
    }

    /// The files of certificates, read.
    pub fn tls(&self) -> Result<Tls, SettingsError> {
        let roots =
            self.registry_ca.as_deref().map(|path| pem("--registry-ca", path)).transpose()?;
        let identity = match (&self.registry_certificate, &self.registry_key) {
            (Some(certificate), Some(key)) => {
                Some((pem("--registry-certificate", certificate)?, pem("--registry-key", key)?))
            }
            _ => None,
        };
        Ok(Tls { roots, identity })
    }
}

/// A file of certificates or keys.
pub(super) fn pem(setting: &str, path: &Path) -> Result<Secret, SettingsError> {
    let wrong = |problem: String| {
        SettingsError::new(setting, format!("the file `{}` {problem}", path.display()))
    };
    let text =
        std::fs::read_to_string(path).map_err(|error| wrong(format!("is not read: {error}")))?;
    if text.contains("-----BEGIN ") {
        Ok(Secret::new(text))
    } else {
        Err(wrong("holds no PEM; it begins with `-----BEGIN `".to_owned()))
    }
}

/// A URL without credentials and without a slash at its end.
pub(super) fn url(text: &str) -> Result<String, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("not a URL; write it as http://host:port".to_owned());
    };
    if !matches!(scheme, "http" | "https") {
        return Err(format!("`{scheme}` is not spoken; use http or https"));
    }
    if rest.split('/').next().unwrap_or_default().contains('@') {
        return Err("credentials in a URL end in logs; set SLUICE_REGISTRY_USER and \
                    SLUICE_REGISTRY_PASSWORD"
            .to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::{pem, url};

    #[test]
    fn a_registry_url_carries_no_credentials() {
        assert_eq!(url("http://host:8081/"), Ok("http://host:8081".to_owned()));
        assert_eq!(url("https://host/apis/ccompat/v7").unwrap(), "https://host/apis/ccompat/v7");
        for bad in ["host:8081", "ftp://host", "http://user:word@host:8081"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_without_pem_is_named_with_its_flag() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2").unwrap();
        let error = pem("--registry-ca", file.path()).unwrap_err().to_string();
        assert!(error.starts_with("--registry-ca: the file `"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
