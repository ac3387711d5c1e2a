//! The admin port: how flows stand, the release of held ones, a drain. For who brings the token.
//!
//! | request | does |
//! |--|--|
//! | `GET /flows` | how each flow stands |
//! | `POST /flows/NAME/release` | lets a held flow go on; `?accept=true` publishes its rejects |
//! | `POST /drain` | what SIGTERM does |
//!
//! Answers are JSON, errors too: `{"error": ..}`. Deliberately shows no word of a document: names,
//! codes and counts only.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::guard::{Board, Status};
use crate::shutdown::{Shutdown, Stop};
use crate::types::Digest;

/// Largest body of a request, in bytes: none is needed.
const BODY_BYTES_MAX: usize = 1_024;
/// Longest time for a body to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);

/// What the port acts on.
pub struct Admin {
    board: Arc<Board>,
    shutdown: Shutdown,
    /// Digest of the token: two digests have one length, whatever was tried.
    token: String,
}

impl Admin {
    /// An admin of the flows on `board`, for who knows `token`.
    pub fn new(board: Arc<Board>, shutdown: Shutdown, token: &str) -> Self {
        Self { board, shutdown, token: Digest::of(token.as_bytes()).to_string() }
    }

    /// Whether the request brings `authorization: Bearer TOKEN`; takes the same time for every
    /// token that is not the one.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, given)) = value.and_then(|value| value.split_once(' ')) else {
            return false;
        };
        let given = Digest::of(given.trim().as_bytes()).to_string();
        let pairs = given.bytes().zip(self.token.bytes());
        let differences = pairs.fold(0, |sum, (given, own)| sum | (given ^ own));
        scheme.eq_ignore_ascii_case("bearer") && differences == 0
    }
}

/// The endpoints.
pub fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/flows", get(flows))
        .route("/flows/{name}/release", post(release))
        .route("/drain", post(drain))
        .fallback(|| async { told(StatusCode::NOT_FOUND, "there is no such path") })
        .method_not_allowed_fallback(|| async {
            told(StatusCode::METHOD_NOT_ALLOWED, "the path does not take this method")
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), admit))
        .with_state(admin)
}

/// Lets nobody in without the token, and nothing that is large or slow.
async fn admit(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    if !admin.knows(request.headers()) {
        let answer = told(StatusCode::UNAUTHORIZED, "bring `authorization: Bearer TOKEN`");
        return ([(header::WWW_AUTHENTICATE, "Bearer")], answer).into_response();
    }
    let (head, body) = request.into_parts();
    match tokio::time::timeout(BODY_TIME_MAX, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(_)) => next.run(Request::from_parts(head, Body::empty())).await,
        Ok(Err(_)) => told(StatusCode::PAYLOAD_TOO_LARGE, "send no body"),
        Err(_) => told(StatusCode::REQUEST_TIMEOUT, "send no body"),
    }
}

async fn flows(State(admin): State<Arc<Admin>>) -> Response {
    let flows: Vec<_> = admin.board.all().iter().map(|guard| shown(&guard.status())).collect();
    answer(StatusCode::OK, &json!({ "flows": flows }))
}

async fn release(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let accepts_rejects = match query.as_deref() {
        None | Some("" | "accept=false") => false,
        Some("accept=true") => true,
        Some(_) => return told(StatusCode::BAD_REQUEST, "the query may be `accept=true` only"),
    };
    let Some(guard) = admin.board.find(&name) else {
        return told(StatusCode::NOT_FOUND, "there is no such flow; see /flows");
    };
    if !guard.release(accepts_rejects) {
        return told(StatusCode::CONFLICT, "the flow is not held");
    }
    answer(StatusCode::OK, &shown(&guard.status()))
}

async fn drain(State(admin): State<Arc<Admin>>) -> Response {
    tracing::info!("draining, asked for on the admin port");
    admin.shutdown.stop(Stop::Drain);
    answer(StatusCode::ACCEPTED, &json!({ "state": "draining" }))
}

fn shown(status: &Status) -> Value {
    let state = match (&status.hold, status.waiting_for.is_empty()) {
        (Some(_), _) => "held",
        (None, false) => "waiting",
        (None, true) => "running",
    };
    let codes = status.codes.iter().map(|(code, count)| (code.name().to_owned(), json!(count)));
    json!({
        "name": status.pipeline,
        "state": state,
        "held_because": status.hold.as_ref().map(|(why, _)| why),
        "held_for_seconds": status.hold.as_ref().map(|(_, time)| time.as_secs()),
        "waiting_for": status.waiting_for,
        "accepts_rejects": status.is_accepting,
        "recent_deliveries": status.recent_deliveries,
        "refused_share": status.refused_share,
        "refused_parts": Value::Object(codes.collect()),
        "in_flight_deliveries": status.in_flight.deliveries_count,
        "in_flight_bytes": status.in_flight.bytes,
        "partitions": status.partitions,
    })
}

fn told(status: StatusCode, problem: &str) -> Response {
    answer(status, &json!({ "error": problem }))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::{HeaderMap, HeaderValue, header};

    use super::Admin;
    use crate::shutdown::Shutdown;

    #[test]
    fn only_the_whole_token_is_known() {
        let admin = Admin::new(Arc::default(), Shutdown::default(), "0123456789abcdef");
        let knows = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            admin.knows(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
        };
        assert!(knows("Bearer 0123456789abcdef") && knows("bearer  0123456789abcdef"));
        for bad in ["", "Bearer", "Bearer ", "0123456789abcdef", "Basic 0123456789abcdef"] {
            assert!(!knows(bad), "{bad}");
        }
        for bad in ["Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Bearer 0123456789Abcdef"]
        {
            assert!(!knows(bad), "{bad}");
        }
        assert!(!admin.knows(&HeaderMap::new()));
    }
}
