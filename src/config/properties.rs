//! `KEY=VALUE, SLUICE_KAFKA_KEY -> librdkafka property`, for security and tuning.
//!
//! Refuses the properties that sluice's promises rest on: set by hand, they would break exactly
//! once without a sound. Refuses secrets on the command line, which every process of the machine can
//! read.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use super::oauth;
use super::secrets::{self, Secret};
use super::settings::SettingsError;

/// One librdkafka property. The value may be a secret; no formatter prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Property {
    /// Name, such as `security.protocol`.
    pub key: String,
    /// Value.
    pub value: Secret,
}

impl Property {
    /// Key and value, for librdkafka.
    pub fn into_pair(self) -> (String, String) {
        (self.key, self.value.into_inner())
    }
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=***", self.key)
    }
}

const OFFSETS: &str = "offsets move only together with their outcomes";
const ONCE: &str = "exactly once depends on it";
const PROTOCOL: &str = "`--group-protocol` sets it";
const BROKERS: &str = "`--brokers` sets it";
const WATCHDOG: &str = "the watchdog listens to it";
const MEMORY: &str = "the bound of memory rests on it";
const REBALANCE: &str = "the way of rebalancing is part of exactly once";

/// Properties that sluice sets itself, each with the reason.
const OWNED: &[(&str, &str)] = &[
    ("acks", ONCE),
    ("auto.commit.enable", OFFSETS),
    ("auto.commit.interval.ms", OFFSETS),
    ("auto.offset.reset", "a new group starts at the oldest message, so that none is skipped"),
    ("bootstrap.servers", BROKERS),
    ("enable.auto.commit", OFFSETS),
    ("enable.auto.offset.store", OFFSETS),
    ("enable.idempotence", ONCE),
    ("enable.partition.eof", WATCHDOG),
    ("fetch.max.bytes", MEMORY),
    ("fetch.message.max.bytes", MEMORY),
    ("group.id", "`input.group` in pipeline.yaml sets it"),
    ("group.instance.id", REBALANCE),
    ("group.protocol", PROTOCOL),
    ("group.protocol.type", PROTOCOL),
    ("group.remote.assignor", REBALANCE),
    ("isolation.level", "input is read committed, or aborted documents would be extracted"),
    ("max.in.flight", ONCE),
    ("max.in.flight.requests.per.connection", ONCE),
    ("message.max.bytes", "`output.message_bytes_max` in pipeline.yaml sets it"),
    ("max.partition.fetch.bytes", MEMORY),
    ("metadata.broker.list", BROKERS),
    ("partition.assignment.strategy", REBALANCE),
    ("partitioner", "keys land where those of Java clients do"),
    ("queue.buffering.max.kbytes", MEMORY),
    ("queued.max.messages.kbytes", MEMORY),
    ("request.required.acks", ONCE),
    ("sasl.oauthbearer.config", "the variables `SLUICE_KAFKA_SASL_OAUTHBEARER_*` make it"),
    ("statistics.interval.ms", WATCHDOG),
    ("transaction.timeout.ms", "`delivery.transaction_timeout_ms` in pipeline.yaml sets it"),
    ("transactional.id", "it is made of `--transactional-prefix`, pipeline and `--instance`"),
];

/// Properties that are secrets.
const SECRET: &[&str] = &[
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.client.credentials.client.secret",
    oauth::CLIENT_SECRET,
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
];

/// Start of the variables that hold properties.
const PREFIX: &str = "SLUICE_KAFKA_";

/// Reads `KEY=VALUE`. The error never quotes the value.
pub(super) fn parse(text: &str) -> Result<Property, String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err("write it as KEY=VALUE".to_owned());
    };
    let key = key.trim();
    if SECRET.contains(&key) {
        let name = variable(key);
        return Err(format!(
            "`{key}` is a secret, and every process of the machine can read a command line; set \
             {name}_FILE to a file that holds it, or {name}"
        ));
    }
    property(key, Secret::new(value.to_owned()))
}

/// The variable that holds the property `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "_"))
}

/// The properties among `variables`: `SLUICE_KAFKA_SASL_PASSWORD` is `sasl.password`, and
/// `SLUICE_KAFKA_SASL_PASSWORD_FILE` names a file that holds it.
pub(super) fn from_environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<Property>, SettingsError> {
    let mut properties = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        let key = key.to_ascii_lowercase().replace('_', ".");
        let of_file = key.strip_suffix(".file").filter(|key| SECRET.contains(key));
        let property = match of_file {
            Some(key) => property(key, secrets::of_file(name, Path::new(&value))?),
            // The path of a token is none of librdkafka's properties; see `super::oauth`.
            None if name == oauth::TOKEN_FILE => continue,
            None => property(&key, secrets::of_value(name, value)?),
        };
        properties.push(property.map_err(|problem| SettingsError::new(name, problem))?);
    }
    properties.sort_by(|one, other| one.key.cmp(&other.key));
    let twice = properties.windows(2).find_map(|pair| match pair {
        [one, other] if one.key == other.key => Some(variable(&one.key)),
        _ => None,
    });
    match twice {
        Some(name) => {
            let problem = format!("is set and {name}_FILE too; take one of them out");
            Err(SettingsError::new(name, problem))
        }
        None => Ok(properties),
    }
}

fn property(key: &str, value: Secret) -> Result<Property, String> {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_');
    if key.is_empty() || !key.bytes().all(is_plain) {
        return Err(
            "the key is no librdkafka property; they read like `security.protocol`".to_owned()
        );
    }
    if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == key) {
        return Err(format!("`{key}` is not yours to set: {reason}"));
    }
    Ok(Property { key: key.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::{OWNED, SECRET, from_environment, parse};

    #[test]
    fn a_property_is_split_at_the_first_equals_sign() {
        let property = parse("sasl.username=a=b").unwrap();
        assert_eq!((property.key.as_str(), property.value.reveal()), ("sasl.username", "a=b"));
    }

    #[test]
    fn a_secret_on_the_command_line_is_refused_with_the_variable_to_use() {
        for key in SECRET {
            let error = parse(&format!("{key}=hunter2")).unwrap_err();
            assert!(error.contains("SLUICE_KAFKA_") && error.contains("_FILE"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = parse(" sasl.password =hunter2").unwrap_err();
        assert!(error.contains("SLUICE_KAFKA_SASL_PASSWORD_FILE"), "{error}");
    }

    #[test]
    fn a_secret_comes_from_a_file_or_from_a_variable_and_not_from_both() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let path = file.path().as_os_str();
        let of_file = ("SLUICE_KAFKA_SASL_PASSWORD_FILE".into(), path.to_owned());
        let found = from_environment([of_file.clone()].into_iter()).unwrap();
        assert_eq!((found[0].key.as_str(), found[0].value.reveal()), ("sasl.password", "hunter2"));
        let both = [("SLUICE_KAFKA_SASL_PASSWORD".into(), "other".into()), of_file];
        let error = from_environment(both.into_iter()).unwrap_err().to_string();
        assert!(error.starts_with("SLUICE_KAFKA_SASL_PASSWORD: is set and"), "{error}");
        // What is no secret is no file either: its variable is a property of that name.
        let other = [("SLUICE_KAFKA_SASL_OAUTHBEARER_ASSERTION_FILE".into(), "x".into())];
        let found = from_environment(other.into_iter()).unwrap();
        assert_eq!(found[0].key, "sasl.oauthbearer.assertion.file");
    }

    #[test]
    fn what_sluice_owns_is_refused_with_the_reason() {
        for (key, reason) in OWNED {
            let error = parse(&format!("{key}=x")).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        assert!(parse("no-equals-sign").is_err());
        assert!(parse("Bad Key=x").is_err());
    }

    #[test]
    fn variables_become_properties() {
        let variables = [
            ("SLUICE_KAFKA_SASL_PASSWORD", "s"),
            ("SLUICE_BROKERS", "b"),
            ("SLUICE_KAFKA_DEBUG", "cgrp"),
        ];
        let found = from_environment(variables.map(|(k, v)| (k.into(), v.into())).into_iter());
        let keys: Vec<_> = found.unwrap().into_iter().map(|property| property.key).collect();
        assert_eq!(keys, ["debug", "sasl.password"]);
        let owned = [("SLUICE_KAFKA_GROUP_ID".into(), "x".into())];
        let error = from_environment(owned.into_iter()).unwrap_err().to_string();
        assert!(error.starts_with("SLUICE_KAFKA_GROUP_ID: `group.id` is not yours"), "{error}");
    }
}
