//! `properties of OAUTHBEARER -> where tokens for Kafka come from`.
//!
//! librdkafka hands its property `sasl.oauthbearer.config` to whoever gives it a token, so that is
//! where the source stands, as JSON; librdkafka takes the property for a secret and prints it
//! nowhere. Deliberately fetches nothing: that is `crate::kafka`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::properties::{Property, variable};
use super::registry::{pem, url};
use super::secrets::{Secret, of_file};
use super::settings::SettingsError;

/// The variable that names the file of a token.
pub const TOKEN_FILE: &str = "SLUICE_KAFKA_OAUTH_TOKEN_FILE";
/// The property that carries a [`TokenSource`].
const CONFIG: &str = "sasl.oauthbearer.config";
/// The property that holds the secret of a client.
pub(super) const CLIENT_SECRET: &str = "sasl.oauthbearer.client.secret";
const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT_ID: &str = "sasl.oauthbearer.client.id";
const SCOPE: &str = "sasl.oauthbearer.scope";
const METHOD: &str = "sasl.oauthbearer.method";
const ROOTS: &str = "https.ca.location";
/// Properties of librdkafka's own way to a token, which is not built in, since this one is.
const OF_CLIENT: [&str; 6] = [ENDPOINT, CLIENT_ID, CLIENT_SECRET, SCOPE, METHOD, ROOTS];

/// Where tokens for Kafka come from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// A file that somebody else keeps new, such as a projected token of Kubernetes.
    File(PathBuf),
    /// A token endpoint, by the grant of client credentials (RFC 6749, section 4.4).
    Client(Client),
}

/// A client of a token endpoint. Holds a secret, so this type has no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// URL of the token endpoint.
    pub endpoint: String,
    /// Id of this client.
    pub id: String,
    /// Secret of this client.
    pub secret: String,
    /// What is asked for, if anything.
    pub scope: Option<String>,
    /// Certificates (PEM) that the endpoint's is signed by, instead of Mozilla's.
    pub roots: Option<String>,
}

impl TokenSource {
    /// The source in `sasl.oauthbearer.config`; `None` where there is none.
    pub fn read(config: &str) -> Option<Self> {
        serde_json::from_str(config).ok()
    }

    /// The token in the file at `path`.
    pub fn token_of(path: &Path) -> Result<Secret, SettingsError> {
        of_file(TOKEN_FILE, path)
    }
}

/// The properties with the source of tokens in the place of those that it is made of. Refuses what
/// would be without effect: credentials for a protocol that has none.
pub(super) fn settled(properties: Vec<Property>) -> Result<Vec<Property>, SettingsError> {
    settled_with(properties, std::env::var_os(TOKEN_FILE).map(PathBuf::from))
}

fn settled_with(
    properties: Vec<Property>,
    token_file: Option<PathBuf>,
) -> Result<Vec<Property>, SettingsError> {
    let given = |key: &str| properties.iter().rfind(|property| property.key == key);
    let text = |key: &str| given(key).map(|property| property.value.reveal());
    let protocol = text("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
    let mechanism = text("sasl.mechanisms").or_else(|| text("sasl.mechanism")).unwrap_or_default();
    for (start, is_used) in
        [("sasl.", protocol.starts_with("sasl")), ("ssl.", protocol.ends_with("ssl"))]
    {
        let idle = properties.iter().find(|it| it.key.starts_with(start) && !is_used);
        if let Some(idle) = idle {
            return Err(SettingsError::new(
                format!("`{}` ({})", idle.key, variable(&idle.key)),
                format!(
                    "is without effect under `security.protocol` = {protocol}; set \
                     SLUICE_KAFKA_SECURITY_PROTOCOL, to sasl_ssl for both of TLS and SASL"
                ),
            ));
        }
    }
    let of_client = OF_CLIENT.iter().find(|key| given(key).is_some());
    if !mechanism.eq_ignore_ascii_case("OAUTHBEARER") {
        let idle = of_client.map(|key| variable(key)).or(token_file.map(|_| TOKEN_FILE.to_owned()));
        return idle.map_or_else(
            || Ok(properties.clone()),
            |name| {
                let problem = "is without effect unless SLUICE_KAFKA_SASL_MECHANISM is OAUTHBEARER";
                Err(SettingsError::new(name, problem))
            },
        );
    }
    let source = match (token_file, of_client) {
        (Some(_), Some(key)) => {
            let problem = format!("is set and {} too; take one of them out", variable(key));
            return Err(SettingsError::new(TOKEN_FILE, problem));
        }
        (Some(path), None) => TokenSource::File(path),
        (None, _) => TokenSource::Client(client(text)?),
    };
    let config = serde_json::to_string(&source)
        .map_err(|_error| SettingsError::new(TOKEN_FILE, "is a path that is not UTF-8"))?;
    let mut properties = properties;
    properties.retain(|property| !OF_CLIENT.contains(&property.key.as_str()));
    properties.push(Property { key: CONFIG.to_owned(), value: Secret::new(config) });
    Ok(properties)
}

fn client<'a>(text: impl Fn(&str) -> Option<&'a str>) -> Result<Client, SettingsError> {
    let needed = |key: &str| {
        text(key).map(str::to_owned).ok_or_else(|| {
            let problem = format!(
                "is missing; OAUTHBEARER takes its tokens from a file ({TOKEN_FILE}), or from an \
                 endpoint ({}, {}, {}_FILE)",
                variable(ENDPOINT),
                variable(CLIENT_ID),
                variable(CLIENT_SECRET)
            );
            SettingsError::new(variable(key), problem)
        })
    };
    let endpoint = url(&needed(ENDPOINT)?)
        .map_err(|problem| SettingsError::new(variable(ENDPOINT), problem))?;
    let roots = text(ROOTS).map(|path| pem(&variable(ROOTS), Path::new(path))).transpose()?;
    Ok(Client {
        endpoint,
        id: needed(CLIENT_ID)?,
        secret: needed(CLIENT_SECRET)?,
        scope: text(SCOPE).map(str::to_owned),
        roots: roots.map(Secret::into_inner),
    })
}

#[cfg(test)]
mod tests {
    use super::{CONFIG, TokenSource, settled_with};
    use crate::config::properties::Property;
    use crate::config::settings::Secret;

    fn settled(pairs: &[(&str, &str)], file: Option<&str>) -> Result<Vec<Property>, String> {
        let property = |(key, value): &(&str, &str)| Property {
            key: (*key).to_owned(),
            value: Secret::new((*value).to_owned()),
        };
        let properties = pairs.iter().map(property).collect();
        settled_with(properties, file.map(Into::into)).map_err(|error| error.to_string())
    }

    fn source(pairs: &[(&str, &str)], file: Option<&str>) -> TokenSource {
        let properties = settled(pairs, file).unwrap();
        let config = properties.iter().find(|property| property.key == CONFIG).unwrap();
        assert!(!properties.iter().any(|property| property.key.contains("client")));
        TokenSource::read(config.value.reveal()).unwrap()
    }

    const OAUTH: [(&str, &str); 2] =
        [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER")];
    const CLIENT: [(&str, &str); 3] = [
        ("sasl.oauthbearer.token.endpoint.url", "https://issuer.example/token"),
        ("sasl.oauthbearer.client.id", "sluice"),
        ("sasl.oauthbearer.client.secret", "hunter2"),
    ];

    #[test]
    fn a_source_of_tokens_comes_from_a_file_or_from_a_client() {
        let file = source(&OAUTH, Some("/var/run/token"));
        assert!(file == TokenSource::File("/var/run/token".into()));
        let TokenSource::Client(client) = source(&[OAUTH.as_slice(), &CLIENT].concat(), None)
        else {
            panic!("not a client")
        };
        assert_eq!((client.id.as_str(), client.secret.as_str()), ("sluice", "hunter2"));
        assert_eq!(client.endpoint, "https://issuer.example/token");
    }

    #[test]
    fn what_would_be_without_effect_is_refused_and_no_value_is_told() {
        let all = [OAUTH.as_slice(), &CLIENT].concat();
        let password = [("sasl.password", "hunter2")];
        for (pairs, file, words) in [
            (password.as_slice(), None, "`sasl.password` (SLUICE_KAFKA_SASL_PASSWORD): is without"),
            (&[("ssl.ca.location", "x")], None, "SLUICE_KAFKA_SSL_CA_LOCATION"),
            (&all, Some("/x"), "SLUICE_KAFKA_OAUTH_TOKEN_FILE: is set and"),
            (&OAUTH, None, "SLUICE_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL: is missing"),
            (&all[..3], None, "SLUICE_KAFKA_SASL_OAUTHBEARER_CLIENT_ID: is missing"),
            (&[], Some("/x"), "SLUICE_KAFKA_OAUTH_TOKEN_FILE: is without effect"),
        ] {
            let error = settled(pairs, file).err().unwrap();
            assert!(error.contains(words) && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(settled(&[("debug", "cgrp")], None).unwrap().len(), 1);
    }
}
