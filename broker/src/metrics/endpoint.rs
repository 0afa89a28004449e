//! The HTTP address where metrics are fetched and health is asked for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use runtime::services::{Services, Stop};
use tokio::net::TcpListener;

use super::page::page;
use super::{Wanted, collect, constant_labels};
use crate::broker::Broker;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a request needs.
#[derive(Clone)]
struct Served {
    broker: Arc<Broker>,
    labels: Arc<[(String, String)]>,
}

/// Starts to serve where the settings say; a broker is worth more than its metrics, so that an
/// address that cannot be had is one line in the log.
pub(crate) fn start(broker: &Arc<Broker>, services: &mut Services) -> Option<SocketAddr> {
    let config = &broker.config;
    let host = config.metrics_prom_exporter_host.trim();
    let host = if host.is_empty() { Ok(broker.store_host().ip()) } else { host.parse::<IpAddr>() };
    let listener = host.map_err(io::Error::other).and_then(|host| {
        let listener = std::net::TcpListener::bind((host, config.metrics_prom_exporter_port))?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    match listener.and_then(|listener| Ok((listener.local_addr()?, listener))) {
        Ok((address, listener)) => {
            let labels = constant_labels(broker).into();
            let served = Served { broker: Arc::clone(broker), labels };
            services.run("metrics", |stop| serve(listener, served, stop));
            tracing::info!(%address, "metrics are served");
            Some(address)
        }
        Err(error) => {
            tracing::error!(
                %error,
                host = config.metrics_prom_exporter_host,
                port = config.metrics_prom_exporter_port,
                "metrics are not served"
            );
            None
        }
    }
}

async fn serve(listener: TcpListener, served: Served, stop: Stop) {
    let health = Router::new().route("/live", get(async || "up\n")).route("/ready", get(ready));
    // Java answers metrics on any path.
    let routes = Router::new().nest("/health", health).fallback(metrics).with_state(served);
    tokio::select! {
        ended = axum::serve(listener, routes) => {
            tracing::error!(?ended, "metrics are no longer served");
        }
        () = stop.wait() => {}
    }
}

async fn metrics(State(served): State<Served>, uri: Uri, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let open = accepted.is_some_and(|accepted| accepted.contains("application/openmetrics-text"));
    let wanted = wanted(uri.query().unwrap_or_default());
    // The lag of all groups reads units from files.
    let made = tokio::task::spawn_blocking(move || {
        page(collect(&served.broker, wanted), &served.labels, open)
    });
    match made.await {
        Ok(Ok(text)) => {
            let kind = if open { OPEN_METRICS } else { PLAIN };
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What a query such as `queues=1` asks for; other words mean nothing.
fn wanted(query: &str) -> Wanted {
    let has = |name| {
        query.split('&').filter_map(|pair| pair.split_once('=')).any(|pair| pair == (name, "1"))
    };
    Wanted { queues: has("queues"), classic: has("classic") }
}

/// Whether messages are accepted.
async fn ready(State(served): State<Served>) -> Response {
    match served.broker.store.writable() {
        true => "ready\n".into_response(),
        false => {
            (StatusCode::SERVICE_UNAVAILABLE, "the store accepts no messages\n").into_response()
        }
    }
}
