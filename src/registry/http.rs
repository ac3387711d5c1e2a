//! `path, body -> Answer`: the HTTP side of the registry client, with every limit named.
//!
//! Deliberately knows nothing of schemas. Redirects are not followed, so that credentials go to
//! the configured host only.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::Agent;
use ureq::http::{Response, StatusCode};

use crate::error::{Fault, FaultClass};
use crate::types::Sensitive;

/// The media type of the Confluent API, version 1.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// User name and password, RFC 7617.
#[derive(Clone)]
pub struct Auth {
    /// User name; has no colon.
    pub user: String,
    /// Password.
    pub password: Sensitive<String>,
}

/// Which registry, and how long to wait for it.
#[derive(Clone)]
pub struct Endpoint {
    /// Base URL, before `/subjects`; `http` or `https`.
    pub url: String,
    /// Basic authentication, where the registry asks for it.
    pub auth: Option<Auth>,
    /// Longest time to connect, name resolution apart.
    pub connect_timeout: Duration,
    /// Longest time for one request from start to end, name resolution and connecting included.
    pub total_timeout: Duration,
    /// Longest answer, in bytes.
    pub response_bytes_max: u64,
}

impl Endpoint {
    /// The registry at `url` with limits that fit a registry in the same region: 3 s to connect,
    /// 10 s a request, 4 MiB an answer.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            auth: None,
            connect_timeout: Duration::from_secs(3),
            total_timeout: Duration::from_secs(10),
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
                "; check the registry's user, password and rights"
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
    authorization: Option<Sensitive<String>>,
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
        let agent = Agent::config_builder()
            .timeout_connect(Some(endpoint.connect_timeout))
            .timeout_global(Some(endpoint.total_timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let authorization = endpoint.auth.map(|auth| {
            let pair = format!("{}:{}", auth.user, *auth.password);
            Sensitive::new(format!("Basic {}", STANDARD.encode(pair)))
        });
        Ok(Self { agent, base, authorization, response_bytes_max: endpoint.response_bytes_max })
    }

    pub(super) fn get(&self, path: &[&str]) -> Result<Answer, Fault> {
        let mut request = self.agent.get(self.url(path)).header("accept", MEDIA_TYPE);
        if let Some(authorization) = &self.authorization {
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
        if let Some(authorization) = &self.authorization {
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
    Fault::new(FaultClass::Retry, "asking the schema registry", error)
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

/// `piece` with all but the unreserved characters of RFC 3986 as `%XX`.
fn encoded(piece: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let of_byte = |byte: u8| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    piece.bytes().map(of_byte).collect()
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
