//! `address, endpoints -> a port that is bound and served`: what health and the admin port share.

use std::net::{SocketAddr, TcpListener};

use axum::Router;

use crate::error::{Fault, FaultClass};

/// A port that is bound, so that a busy one is an error at start.
pub struct Port {
    listener: TcpListener,
    router: Router,
}

impl Port {
    /// Binds `address`, which `flag` sets, for the endpoints of `router`; port 0 takes a free one.
    pub fn bind(address: SocketAddr, flag: &str, router: Router) -> Result<Self, Fault> {
        let fault = |error| {
            let what = format!("binding `{address}`; set another one by `{flag}`");
            Fault::new(FaultClass::Fatal, what, error)
        };
        let listener = TcpListener::bind(address).map_err(fault)?;
        listener.set_nonblocking(true).map_err(fault)?;
        Ok(Self { listener, router })
    }

    /// Serves until the runtime ends.
    pub async fn serve(self) -> std::io::Result<()> {
        axum::serve(tokio::net::TcpListener::from_std(self.listener)?, self.router).await
    }
}
