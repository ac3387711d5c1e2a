//! `path, body -> Answer`: the HTTP side of the registry client, with every limit named.
//!
//! Deliberately knows nothing of schemas.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::Agent;
use ureq::http::{Response, StatusCode};

use crate::config::settings::{Credentials, Tls};
use crate::error::{Fault, FaultClass};
use crate::http::{self, Patience, encoded};
use crate::types::Sensitive;

/// The media type of the Confluent API, version 1.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Which registry, and how long to wait for it.
#[derive(Clone)]
pub struct Endpoint {
    /// Base URL, before `/subjects`; `http` or `https`.
    pub url: String,
    /// Who this client is, where the registry asks for it.
    pub credentials: Option<Credentials>,
    /// Certificates, for `https`.
    pub tls: Tls,
    /// How long to wait.
    pub patience: Patience,
    /// Longest answer, in bytes.
    pub response_bytes_max: u64,
}

impl Endpoint {
    /// The registry at `url` with limits that fit a registry in the same region: 3 s to connect,
    /// 10 s a request, 4 MiB an answer.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials: None,
            tls: Tls::default(),
            patience: Patience::default(),
            response_bytes_max: 4 << 20,
        }
    }
}

/// What the registry said.
pub(super) enum Answer {
    /// 200, with the body.
    Ok(Vec<u8>),
    /// 404 in the API's own words: no such id, subject or version.
    NotFound,
    /// Any other status.
    Refused(Refusal),
}

/// A status that is neither success nor 404.
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    /// Whether the registry says so, and not something before it.
    is_own: bool,
}

impl Refusal {
    /// As a fault: 429 and 5xx may pass, and so may what a proxy says while the registry is away:
    /// a redirection, or a page that there is no such thing. All else needs a person.
    pub(super) fn fault(&self, doing: &str) -> Fault {
        let passes = self.status.is_server_error()
            || self.status.is_redirection()
            || self.status == StatusCode::TOO_MANY_REQUESTS
            || self.status == StatusCode::REQUEST_TIMEOUT
            || (self.status == StatusCode::NOT_FOUND && !self.is_own);
        let class = if passes { FaultClass::Retry } else { FaultClass::Fatal };
        let hint = match self.status {
            StatusCode::NOT_FOUND => {
                "; not in the words of a registry's API: is the URL right, is a proxy before it?"
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; check SLUICE_REGISTRY_USER and SLUICE_REGISTRY_PASSWORD, or SLUICE_REGISTRY_TOKEN, \
                 and what they may do"
            }
            StatusCode::CONFLICT => "; only add fields with defaults, else use a new topic",
            _ => "",
        };
        let status = self.status.as_u16();
        Fault::plain(class, format!("{doing}: status {status} {}{hint}", self.message))
    }
}

/// One registry behind HTTP.
pub(super) struct Http {
    agent: Agent,
    base: String,
    credentials: Option<Credentials>,
    response_bytes_max: u64,
}

impl Http {
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, Fault> {
        let base = endpoint.url.trim_end_matches('/').to_owned();
        let is_http = base.starts_with("http://") || base.starts_with("https://");
        if !is_http || base.contains(['?', '#', '@']) {
            return Err(Fault::plain(
                FaultClass::Fatal,
                "reading the registry's URL: it must be http://HOST:PORT or https://HOST:PORT with \
                 an optional path; user and password have settings of their own",
            ));
        }
        let agent = http::agent(endpoint.patience, &endpoint.tls, "the schema registry")?;
        let Endpoint { credentials, response_bytes_max, .. } = endpoint;
        Ok(Self { agent, base, credentials, response_bytes_max })
    }

    /// The value of the header `Authorization`, where there are credentials.
    fn authorization(&self) -> Result<Option<Sensitive<String>>, Fault> {
        Ok(match &self.credentials {
            None => None,
            Some(Credentials::Basic { user, password }) => {
                let pair = STANDARD.encode(format!("{user}:{}", password.reveal()));
                Some(Sensitive::new(format!("Basic {pair}")))
            }
            Some(Credentials::Bearer(token)) => {
                let token = token.read().map_err(|error| {
                    Fault::new(FaultClass::Retry, "reading the token of the schema registry", error)
                })?;
                Some(Sensitive::new(format!("Bearer {}", token.reveal())))
            }
        })
    }

    pub(super) fn get(&self, path: &[&str]) -> Result<Answer, Fault> {
        let mut request = self.agent.get(self.url(path)).header("accept", MEDIA_TYPE);
        if let Some(authorization) = self.authorization()? {
            request = request.header("authorization", authorization.as_str());
        }
        self.answer(request.call())
    }

    pub(super) fn post(&self, path: &[&str], body: &[u8]) -> Result<Answer, Fault> {
        let mut request = self
            .agent
            .post(self.url(path))
            .header("accept", MEDIA_TYPE)
            .header("content-type", MEDIA_TYPE);
        if let Some(authorization) = self.authorization()? {
            request = request.header("authorization", authorization.as_str());
        }
        self.answer(request.send(body))
    }

    fn url(&self, path: &[&str]) -> String {
        let mut url = self.base.clone();
        for piece in path {
            url.push('/');
            url.push_str(&encoded(piece));
        }
        url
    }

    fn answer(&self, sent: Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer, Fault> {
        let mut response = sent.map_err(unreachable)?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(self.response_bytes_max).read_to_vec();
        let body = body.map_err(unreachable)?;
        let told = told(&body);
        let is_own = told.as_ref().is_some_and(|told| told.error_code.is_some());
        Ok(match status {
            StatusCode::OK | StatusCode::CREATED => Answer::Ok(body),
            StatusCode::NOT_FOUND if is_own => Answer::NotFound,
            _ => {
                let message = told.map(|told| shortened(&told.message)).unwrap_or_default();
                Answer::Refused(Refusal { status, message, is_own })
            }
        })
    }
}

/// Nothing came back, or only a part of it: the network's fault, so worth another try. A name that
/// does not resolve may be a service that is still being set up.
fn unreachable(error: ureq::Error) -> Fault {
    let hint = if http::is_of_tls(&error) {
        "; check `--registry-ca`, and where it asks for a certificate `--registry-certificate`"
    } else {
        ""
    };
    Fault::new(FaultClass::Retry, format!("asking the schema registry{hint}"), error)
}

/// What the API says of an error.
#[derive(serde::Deserialize)]
struct Told {
    error_code: Option<u32>,
    #[serde(default)]
    message: String,
}

/// The registry's own words of an error body `{"error_code": .., "message": ".."}`.
fn told(body: &[u8]) -> Option<Told> {
    serde_json::from_slice(body).ok()
}

/// Words for one log line.
fn shortened(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Http};

    #[test]
    fn path_pieces_are_encoded_and_a_last_slash_is_one() {
        let http = Http::new(Endpoint::at("http://registry:8081/apis/ccompat/v7/")).unwrap();
        assert_eq!(
            http.url(&["subjects", "a b/c-value", "versions"]),
            "http://registry:8081/apis/ccompat/v7/subjects/a%20b%2Fc-value/versions"
        );
    }

    #[test]
    fn a_url_that_is_none_or_carries_a_password_is_fatal() {
        for url in ["registry:8081", "ftp://registry", "http://user:secret@registry", ""] {
            let fault = Http::new(Endpoint::at(url)).err().unwrap();
            assert!(!fault.chain().contains("secret"));
        }
    }
}
