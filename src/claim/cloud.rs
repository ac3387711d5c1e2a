//! `allowed store, settings -> Cloud`, and one claim's bytes from it.
//!
//! Deliberately tries nothing again: who asks knows whether the document is still wanted. Errors of
//! the client quote the URL and the store's answer, and those the key, so only their kind is kept.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{
    ClientConfigKey, ClientOptions, Error, ObjectStore, ObjectStoreExt as _, RetryConfig,
};
use reqwest::redirect::Policy;

use super::guard::Guard;
use super::{DENIED, Setup, Trouble, away};
use crate::error::{Fault, FaultClass};
use crate::http;
use crate::types::{Claim, Scheme, Uri};

/// Time after which an idle connection is closed; stores close theirs after 20 s or more.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(15);

/// A bucket or container.
pub(super) struct Cloud {
    store: Store,
    /// Whether requests go without credentials.
    is_anonymous: bool,
}

enum Store {
    S3(AmazonS3),
    Gs(GoogleCloudStorage),
    Az(MicrosoftAzure),
}

/// Opens the store of `uri`.
pub(super) fn open(uri: &Uri, setup: &Setup<'_>) -> Result<Cloud, Fault> {
    let link = Link::new(setup);
    let named = |error: Error| {
        let what = format!("opening `{}://{}`", uri.scheme().name(), uri.store());
        Fault::new(FaultClass::Fatal, what, error)
    };
    match uri.scheme() {
        Scheme::S3 => s3(uri, setup, link).map_err(named),
        Scheme::Gs => gs(uri, setup, link).map_err(named),
        Scheme::Az => az(uri, setup, link).map_err(named),
        Scheme::File => Err(Fault::plain(FaultClass::Fatal, "opening a folder as a bucket")),
    }
    .and_then(|(cloud, endpoint)| {
        let Some(endpoint) = endpoint else { return Ok(cloud) };
        let Some(why) = link.guard.refuses(&endpoint) else { return Ok(cloud) };
        let store = uri.store();
        let what = format!("opening `{}://{store}`: its endpoint {why}", uri.scheme().name());
        Err(Fault::plain(FaultClass::Fatal, what))
    })
}

/// A store, and the endpoint that the settings give it.
type Opened = Result<(Cloud, Option<String>), Error>;

fn s3(uri: &Uri, setup: &Setup<'_>, link: Link) -> Opened {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in setup.variables {
        if let Some(Ok(key)) = name.starts_with("aws_").then(|| name.parse::<AmazonS3ConfigKey>()) {
            builder = builder.with_config(key, value.reveal());
        }
    }
    let builder =
        builder.with_bucket_name(uri.store()).with_retry(once()).with_http_connector(link);
    let value = |key| builder.get_config_value(&key);
    let endpoint =
        value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
    let is_anonymous = is_true(value(AmazonS3ConfigKey::SkipSignature));
    Ok((Cloud { store: Store::S3(builder.build()?), is_anonymous }, endpoint))
}

fn gs(uri: &Uri, setup: &Setup<'_>, link: Link) -> Opened {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in setup.variables {
        if let Some(Ok(key)) = name.starts_with("google_").then(|| name.parse::<GoogleConfigKey>())
        {
            builder = builder.with_config(key, value.reveal());
        }
    }
    let builder =
        builder.with_bucket_name(uri.store()).with_retry(once()).with_http_connector(link);
    let value = |key| builder.get_config_value(&key);
    let endpoint = value(GoogleConfigKey::BaseUrl);
    let is_anonymous = is_true(value(GoogleConfigKey::SkipSignature));
    Ok((Cloud { store: Store::Gs(builder.build()?), is_anonymous }, endpoint))
}

fn az(uri: &Uri, setup: &Setup<'_>, link: Link) -> Opened {
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in setup.variables {
        if let Some(Ok(key)) = name.starts_with("azure_").then(|| name.parse::<AzureConfigKey>()) {
            builder = builder.with_config(key, value.reveal());
        }
    }
    let builder =
        builder.with_container_name(uri.store()).with_retry(once()).with_http_connector(link);
    let value = |key| builder.get_config_value(&key);
    let endpoint = value(AzureConfigKey::Endpoint);
    let is_anonymous = is_true(value(AzureConfigKey::SkipSignature));
    Ok((Cloud { store: Store::Az(builder.build()?), is_anonymous }, endpoint))
}

fn is_true(value: Option<String>) -> bool {
    value.is_some_and(|value| value == "true")
}

/// The client's own retries are off: a fault goes back to the flow, which tries again for as long as
/// the lease lives.
fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

impl Cloud {
    /// The bytes of `claim`'s object, as many as are claimed.
    pub(super) async fn read(&self, claim: &Claim) -> Result<Vec<u8>, Trouble> {
        if !self.is_anonymous {
            self.authorize().await.map_err(|error| {
                let (scheme, store) = (claim.uri.scheme().name(), claim.uri.store());
                // No object is named yet, so the whole chain may be told.
                let what = format!("getting credentials for `{scheme}://{store}`");
                Trouble::Away(Fault::new(FaultClass::Retry, what, error))
            })?;
        }
        let path = Path::parse(claim.uri.key().as_str()).map_err(|_quotes| Trouble::Outside)?;
        let trouble = |error: Error| trouble(&error, &claim.uri);
        let object = self.store().get(&path).await.map_err(trouble)?;
        if usize::try_from(object.meta.size).ok() != Some(claim.size_bytes) {
            return Err(Trouble::Size(object.meta.size));
        }
        let mut bytes = Vec::with_capacity(claim.size_bytes);
        let mut stream = object.into_stream();
        while let Some(piece) =
            std::future::poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await
        {
            let piece = piece.map_err(trouble)?;
            // Whatever the store announced: never more than is claimed.
            if bytes.len() + piece.len() > claim.size_bytes {
                return Err(Trouble::Size(wide(bytes.len() + piece.len())));
            }
            bytes.extend_from_slice(&piece);
        }
        if bytes.len() == claim.size_bytes {
            Ok(bytes)
        } else {
            Err(Trouble::Size(wide(bytes.len())))
        }
    }

    fn store(&self) -> &dyn ObjectStore {
        match &self.store {
            Store::S3(store) => store,
            Store::Gs(store) => store,
            Store::Az(store) => store,
        }
    }

    /// Gets credentials, or finds that they are still good.
    async fn authorize(&self) -> Result<(), Error> {
        match &self.store {
            Store::S3(store) => store.credentials().get_credential().await.map(drop),
            Store::Gs(store) => store.credentials().get_credential().await.map(drop),
            Store::Az(store) => store.credentials().get_credential().await.map(drop),
        }
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Answers that, to a request as it should be, are about what it asks for: a document that was
/// archived, is gone, or needs a key of its own.
const OF_ONE_DOCUMENT: [&str; 5] =
    ["status 400", "status 409", "status 410", "status 412", "status 451"];

/// Whose fault an error is. Answers are told apart by their status and, since the operator named the
/// bucket and not the document, by the code of a bucket that is missing.
fn trouble(error: &Error, uri: &Uri) -> Trouble {
    let away = |what: &str| Trouble::Away(away(uri, what));
    // Of this text only the codes are looked at, which stand between brackets that no key has.
    let answer = error.to_string();
    let said =
        |codes: &[&str]| codes.iter().any(|code| answer.contains(&format!("<Code>{code}</Code>")));
    match error {
        Error::NotFound { .. } if said(&["NoSuchBucket", "ContainerNotFound"]) => {
            away("there is no such bucket; compare `input.claims.allow` with the store")
        }
        Error::NotFound { .. } => Trouble::Missing,
        Error::PermissionDenied { .. } if said(&["AccessDenied", "InvalidObjectState"]) => {
            Trouble::Denied(DENIED.to_owned())
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            away("the store does not take the worker's credentials, or they have expired")
        }
        Error::InvalidPath { .. } => Trouble::Outside,
        Error::Generic { .. }
        | Error::JoinError { .. }
        | Error::NotSupported { .. }
        | Error::AlreadyExists { .. }
        | Error::Precondition { .. }
        | Error::NotModified { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. }
        | _ => {
            let kind = kind_of(error, &answer);
            if OF_ONE_DOCUMENT.contains(&kind.as_str()) {
                Trouble::Denied(kind)
            } else {
                away(&kind)
            }
        }
    }
}

/// The kind of a failed request, in words that hold nothing of the request.
fn kind_of(error: &Error, answer: &str) -> String {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(failed) = this.downcast_ref::<HttpError>() {
            return of_http(failed);
        }
        cause = this.source();
    }
    let status = answer.split("status code: ").nth(1).and_then(|rest| rest.get(..3));
    match status.filter(|status| status.bytes().all(|digit| digit.is_ascii_digit())) {
        Some(status) if status.starts_with('3') => {
            format!("status {status}: a redirect, which is not followed; check region and endpoint")
        }
        Some(status) => format!("status {status}"),
        None => "an answer that is none of a store".to_owned(),
    }
}

/// What a transport error was. The client has taken its URL out; the last cause is the system's or
/// that of TLS.
fn of_http(error: &HttpError) -> String {
    let kind = match error.kind() {
        HttpErrorKind::Connect => "it cannot be reached",
        HttpErrorKind::Timeout => "it did not answer in time",
        HttpErrorKind::Request | HttpErrorKind::Interrupted => "the connection broke off",
        HttpErrorKind::Decode => "its answer cannot be read",
        HttpErrorKind::Unknown | _ => "the request failed",
    };
    let mut last: &dyn StdError = error;
    while let Some(deeper) = last.source() {
        last = deeper;
    }
    format!("{kind}: {last}")
}

/// Makes the HTTP clients of the stores: no redirects, no proxy, guarded names, every time bounded.
#[derive(Clone, Copy, Debug)]
struct Link {
    guard: Guard,
    connect_timeout: Duration,
    idle_timeout: Duration,
    total_timeout: Duration,
}

impl Link {
    fn new(setup: &Setup<'_>) -> Self {
        Self {
            guard: Guard { allows_loopback: setup.allows_loopback },
            connect_timeout: Duration::from_millis(setup.claims.connect_timeout_ms),
            idle_timeout: Duration::from_millis(setup.claims.idle_timeout_ms),
            total_timeout: Duration::from_millis(setup.claims.total_timeout_ms),
        }
    }
}

impl HttpConnector for Link {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        http::provide_tls();
        let allows_http = is_true(options.get_config_value(&ClientConfigKey::AllowHttp));
        let client = reqwest::Client::builder()
            .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
            // A redirect would leave the endpoint that the operator named, past the guard.
            .redirect(Policy::none())
            // A proxy resolves names by itself, past the guard.
            .no_proxy()
            .dns_resolver(Arc::new(self.guard))
            .https_only(!allows_http)
            .http1_only()
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.idle_timeout)
            .timeout(self.total_timeout)
            .pool_idle_timeout(IDLE_CONNECTION_MAX)
            .build();
        let client = client
            .map_err(|error| Error::Generic { store: "HTTP client", source: Box::new(error) })?;
        Ok(HttpClient::new(client))
    }
}
