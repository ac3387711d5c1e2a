//! `/healthz`, `/readyz` and `/metrics` on a port of their own.
//!
//! Ready means: every model is warm, every flow has joined its group, and none is held for its
//! rejects; an empty assignment counts, since a spare worker is a healthy one. A held flow leaves
//! the process alive, since a restart would only release it: so a rollout stops at the first worker
//! whose documents are all refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::guard::Board;
use crate::metrics::Metrics;

/// What the endpoints tell.
pub struct Health {
    flows_count: usize,
    joined_count: AtomicUsize,
    is_warm: AtomicBool,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
}

impl Health {
    /// Health of a process that runs `flows_count` flows, whose guards stand on `board`.
    pub fn new(flows_count: usize, metrics: Arc<Metrics>, board: Arc<Board>) -> Self {
        let (joined_count, is_warm) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { flows_count, joined_count, is_warm, metrics, board }
    }

    /// Every model has run once.
    pub fn warm(&self) {
        self.is_warm.store(true, Ordering::Release);
    }

    /// One flow has joined its group for the first time.
    pub fn joined(&self) {
        self.joined_count.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether all models are warm, all flows have joined, and none is held.
    pub fn is_ready(&self) -> bool {
        self.is_warm.load(Ordering::Acquire)
            && self.joined_count.load(Ordering::Acquire) >= self.flows_count
            && self.board.held().is_empty()
    }
}

/// The endpoints.
pub fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    if health.is_ready() {
        return "ready\n".into_response();
    }
    let joined = health.joined_count.load(Ordering::Acquire);
    let warm = health.is_warm.load(Ordering::Acquire);
    let held = health.board.held().join(", ");
    let body = format!(
        "not ready: models warm: {warm}, flows joined: {joined} of {}, flows held: {}\n",
        health.flows_count,
        if held.is_empty() { "none" } else { &held }
    );
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    let kind = Metrics::content_type();
    match health.metrics.encode() {
        Ok(page) => ([(header::CONTENT_TYPE, kind)], page).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
