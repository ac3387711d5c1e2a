//! `sasl.oauthbearer.config -> token`: what every Kafka client of the program says it is.
//!
//! The source is read anew each time that librdkafka asks, at four fifths of a token's life.
//! Deliberately checks no signature: the broker does. No message holds a token or a secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

use crate::config::oauth::{Client, TOKEN_FILE, TokenSource};
use crate::config::settings::{Secret, Tls};
use crate::error::{Fault, FaultClass};
use crate::http::{self, Patience, encoded};

/// Limit: an answer of a token endpoint; tokens have a few kB.
const ANSWER_BYTES_MAX: u64 = 1 << 18;
/// How long a token of a file is used that does not tell its end.
const OPAQUE_MS: i64 = 300_000;

/// A token of the source that `config` describes.
pub(super) fn token(config: Option<&str>) -> Result<OAuthToken, Fault> {
    let source = config.and_then(TokenSource::read).ok_or_else(|| {
        refused(format!("no source of tokens is set; set {TOKEN_FILE}, or a token endpoint"))
    })?;
    // The broker judges a token by the clock of the wall, so it is the measure here too. No record
    // depends on it.
    let now_ms = Timestamp::now().as_millisecond();
    match source {
        TokenSource::File(path) => {
            let token = TokenSource::token_of(&path).map_err(|error| {
                Fault::new(FaultClass::Retry, "reading a token for Kafka", error)
            })?;
            let from = format!("in `{}` ({TOKEN_FILE})", path.display());
            lasting(token, None, now_ms, &from)
        }
        TokenSource::Client(client) => {
            let (token, expires_in) = fetch(&client)?;
            let from = format!(
                "of `{}` (SLUICE_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL)",
                client.endpoint
            );
            lasting(token, expires_in, now_ms, &from)
        }
    }
}

/// `token` with its end: what it says itself, else what came beside it, in seconds.
fn lasting(
    token: Secret,
    expires_in: Option<i64>,
    now_ms: i64,
    from: &str,
) -> Result<OAuthToken, Fault> {
    let claims = claims(token.reveal());
    let end_ms = match (claims.exp, expires_in) {
        (Some(exp), _) => exp.saturating_mul(1000),
        (None, Some(seconds)) => now_ms.saturating_add(seconds.saturating_mul(1000)),
        (None, None) => now_ms + OPAQUE_MS,
    };
    if end_ms <= now_ms {
        let ago_s = (now_ms - end_ms) / 1000;
        return Err(refused(format!("the token {from} expired {ago_s} s ago; renew it")));
    }
    let subject = claims.sub.unwrap_or_else(|| "sluice".to_owned());
    tracing::debug!(subject, lasts_ms = end_ms - now_ms, "a token for Kafka was taken");
    Ok(OAuthToken {
        token: token.into_inner(),
        // Only a name for librdkafka's own logs.
        principal_name: subject,
        lifetime_ms: end_ms,
    })
}

/// What a token says of itself, where it is a JWT (RFC 7519).
#[derive(Default, Deserialize)]
struct Claims {
    exp: Option<i64>,
    sub: Option<String>,
}

fn claims(token: &str) -> Claims {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let json = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

/// Asks the endpoint for a token; gives it with the seconds that it lives.
fn fetch(client: &Client) -> Result<(Secret, Option<i64>), Fault> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
        #[serde(default)]
        expires_in: Option<i64>,
    }
    let doing = || format!("asking `{}` for a token for Kafka", client.endpoint);
    let tls = Tls { roots: client.roots.clone().map(Secret::new), identity: None };
    let agent = http::agent(Patience::default(), &tls, "the token endpoint")?;
    // RFC 6749, section 2.3.1: id and secret are encoded as in a form, then as of RFC 7617.
    let pair = STANDARD.encode(format!("{}:{}", encoded(&client.id), encoded(&client.secret)));
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(client.scope.as_deref().map(|scope| ("scope", scope)));
    let silent = |error: ureq::Error| {
        let hint = "; check SLUICE_KAFKA_HTTPS_CA_LOCATION";
        let hint = if http::is_of_tls(&error) { hint } else { "" };
        Fault::new(FaultClass::Retry, format!("{}{hint}", doing()), error)
    };
    let sent = agent
        .post(&client.endpoint)
        .header("authorization", format!("Basic {pair}"))
        .header("accept", "application/json")
        .send_form(form);
    let mut response = sent.map_err(silent)?;
    let status = response.status();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    let body = body.map_err(silent)?;
    if !status.is_success() {
        return Err(refused(format!(
            "{}: status {}{}; check SLUICE_KAFKA_SASL_OAUTHBEARER_CLIENT_ID and \
             SLUICE_KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET_FILE",
            doing(),
            status.as_u16(),
            code_of(&body)
        )));
    }
    // The error of a body that is none would quote it.
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|_quotes| refused(format!("{}: the answer holds no `access_token`", doing())))?;
    Ok((Secret::new(answer.access_token), answer.expires_in))
}

/// The code of an error body (RFC 6749, section 5.2), which is one of few words.
fn code_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct ErrorBody {
        error: String,
    }
    let code = serde_json::from_slice::<ErrorBody>(body).map(|body| body.error).unwrap_or_default();
    let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
    if code.is_empty() || code.len() > 40 || !code.chars().all(is_word) {
        return String::new();
    }
    format!(" `{code}`")
}

fn refused(what: String) -> Fault {
    Fault::plain(FaultClass::Retry, what)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::{OPAQUE_MS, code_of, lasting, token};
    use crate::config::settings::Secret;

    fn jwt(claims: &str) -> Secret {
        Secret::new(format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims)))
    }

    #[test]
    fn a_token_ends_when_it_says_so_else_when_its_endpoint_said_else_soon() {
        let end = |token, beside| lasting(token, beside, 1_000_000, "x").unwrap().lifetime_ms;
        let opaque = || Secret::new("opaque".to_owned());
        assert_eq!(end(jwt(r#"{"exp": 2000, "sub": "worker"}"#), Some(60)), 2_000_000);
        assert_eq!(end(opaque(), Some(60)), 1_060_000);
        assert_eq!(end(opaque(), None), 1_000_000 + OPAQUE_MS);
        let named = lasting(jwt(r#"{"exp": 2000, "sub": "worker"}"#), None, 0, "x").unwrap();
        assert_eq!(named.principal_name, "worker");
    }

    #[test]
    fn an_expired_token_is_refused_with_its_place_and_without_itself() {
        let expired = jwt(r#"{"exp": 990}"#);
        let words = expired.reveal().to_owned();
        let told = lasting(expired, None, 1_000_000, "in `/run/token`").err().unwrap().chain();
        assert_eq!(told, "the token in `/run/token` expired 10 s ago; renew it");
        assert!(!told.contains(&words));
    }

    #[test]
    fn a_client_without_a_source_is_told_what_to_set() {
        for config in [None, Some("principal=x")] {
            assert!(token(config).err().unwrap().chain().contains("SLUICE_KAFKA_OAUTH_TOKEN_FILE"));
        }
    }

    #[test]
    fn only_a_code_is_taken_from_the_body_of_a_refusal() {
        assert_eq!(code_of(br#"{"error": "invalid_client"}"#), " `invalid_client`");
        for body in [r#"{"error": "eyJhbGciOi.hunter2"}"#, "hunter2", r#"{"error": ""}"#] {
            assert_eq!(code_of(body.as_bytes()), "");
        }
    }
}
