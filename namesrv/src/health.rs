//! `/health/live` and `/health/ready` over HTTP, for who starts and watches name servers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use runtime::clock::now_ms;
use runtime::services::Services;
use tokio::net::TcpListener;

use crate::name_server::NameServer;
use crate::start_error::StartError;

/// Serves them; returns the address.
pub(crate) fn start(
    name_server: &Arc<NameServer>,
    address: SocketAddr,
    services: &mut Services,
) -> Result<SocketAddr, StartError> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok((listener.local_addr()?, listener))
    };
    let (address, listener) = listen().map_err(|error: std::io::Error| {
        let source = std::io::Error::new(error.kind(), format!("{address} (healthPort): {error}"));
        StartError::Listen { source }
    })?;
    let routes = Router::new()
        .route("/health/live", get(async || "up\n"))
        .route("/health/ready", get(ready))
        .with_state(Arc::clone(name_server));
    services.run("health", |stop| async move {
        tokio::select! {
            ended = axum::serve(listener, routes) => {
                tracing::error!(?ended, "health is no longer told");
            }
            () = stop.wait() => {}
        }
    });
    tracing::info!(%address, "health is told");
    Ok(address)
}

/// Whether routes are given.
async fn ready(State(name_server): State<Arc<NameServer>>) -> Response {
    match name_server.waits_for_brokers(now_ms()) {
        false => "ready\n".into_response(),
        true => (StatusCode::SERVICE_UNAVAILABLE, "waiting for brokers\n").into_response(),
    }
}
