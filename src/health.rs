//! `/healthz`, `/readyz` and `/metrics` on a port of their own.
//!
//! Ready means: every model is warm and every flow has joined its group; an empty assignment
//! counts, since a spare worker is a healthy one.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::error::{Fault, FaultClass};
use crate::metrics::Metrics;

/// What the endpoints tell.
pub struct Health {
    flows_count: usize,
    joined_count: AtomicUsize,
    is_warm: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Health {
    /// Health of a process that runs `flows_count` flows.
    pub fn new(flows_count: usize, metrics: Arc<Metrics>) -> Self {
        let (joined_count, is_warm) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { flows_count, joined_count, is_warm, metrics }
    }

    /// Every model has run once.
    pub fn warm(&self) {
        self.is_warm.store(true, Ordering::Release);
    }

    /// One flow has joined its group for the first time.
    pub fn joined(&self) {
        self.joined_count.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether all flows have joined and all models are warm.
    pub fn is_ready(&self) -> bool {
        self.is_warm.load(Ordering::Acquire)
            && self.joined_count.load(Ordering::Acquire) >= self.flows_count
    }
}

/// A bound listener, so that a busy port is an error at start.
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Binds `address`; port 0 takes a free one.
    pub fn bind(address: SocketAddr) -> Result<Self, Fault> {
        let fault = |error| {
            let what = format!("binding `{address}` for health and metrics; set `--listen`");
            Fault::new(FaultClass::Fatal, what, error)
        };
        let listener = TcpListener::bind(address).map_err(fault)?;
        listener.set_nonblocking(true).map_err(fault)?;
        Ok(Self { listener })
    }

    /// The address that was bound.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves until the runtime ends.
    pub async fn serve(self, health: Arc<Health>) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(health);
        axum::serve(listener, router).await
    }
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    if health.is_ready() {
        return "ready\n".into_response();
    }
    let joined = health.joined_count.load(Ordering::Acquire);
    let warm = health.is_warm.load(Ordering::Acquire);
    let body = format!(
        "not ready: models warm: {warm}, flows joined: {joined} of {}\n",
        health.flows_count
    );
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match health.metrics.encode() {
        Ok(page) => ([(header::CONTENT_TYPE, kind)], page).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
