//! One port for everything: gRPC, grpc-web and plain HTTP on the same socket, and an orderly end.
//!
//! Connections are served by our own accept loop, because TCP_NODELAY, HTTP/2 keep-alive (which finds far
//! ends that vanished) and the drain need it. The first SIGTERM or Ctrl-C stops new calls and waits for
//! those under way, the second ends them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use parlance_proto::v1::agent_service_server::AgentServiceServer;
use parlance_proto::v1::api_key_service_server::ApiKeyServiceServer;
use parlance_proto::v1::appointment_service_server::AppointmentServiceServer;
use parlance_proto::v1::audit_service_server::AuditServiceServer;
use parlance_proto::v1::call_service_server::CallServiceServer;
use parlance_proto::v1::organisation_service_server::OrganisationServiceServer;
use parlance_proto::v1::phone_number_service_server::PhoneNumberServiceServer;
use parlance_proto::v1::provider_service_server::ProviderServiceServer;
use parlance_proto::v1::resource_service_server::ResourceServiceServer;
use parlance_proto::v1::tool_secret_service_server::ToolSecretServiceServer;
use parlance_proto::v1::voice_service_server::VoiceServiceServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tower::ServiceExt;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::Config;
use crate::engine::{self, Engine};
use crate::http;
use crate::rpc::{
    agent, api_key, appointment, audit, auth, call, organisation, phone_number, provider, resource,
    tool_secret, voice,
};
use crate::session::journal::Unwritten;
use crate::tls::{self, Tls};

/// Largest message of a session: a start with all its variables, or a client's tool result that is far too large, which
/// shall be told to the model and not end the call.
const SESSION_MESSAGE_MAX: usize = 2 * 1024 * 1024;
/// Largest message of the other services: an agent with a large flow.
const MESSAGE_MAX: usize = 4 * 1024 * 1024;
/// How often a quiet HTTP/2 connection is asked for a sign of life, and how long it may take.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How often what is kept only for a time is dropped.
const TIDY_EVERY: Duration = Duration::from_secs(600);

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("listen on {address}: {cause}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Reflection could not be built; a mistake of ours.
    #[error("describe the API: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The engine behind the port.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

/// An engine that listens.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it is.
    pub engine: Arc<Engine>,
    /// It speaks TLS, and nothing else.
    pub is_tls: bool,
    health: HealthReporter,
    stop: CancellationToken,
    accepting: tokio::task::JoinHandle<()>,
}

/// Starts the engine and listens.
pub async fn start(config: Config) -> Result<Running, Error> {
    let address = SocketAddr::new(config.host, config.port);
    // The port first: two engines on one data folder must not both get as far as its database.
    let listener = TcpListener::bind(address).await.map_err(|cause| Error::Listen { address, cause })?;
    let address = listener.local_addr().map_err(|cause| Error::Listen { address, cause })?;
    let stop = CancellationToken::new();
    let files = tls::Files::of(config.outside.tls_cert_file.as_ref(), config.outside.tls_key_file.as_ref())?;
    let tls = files.map(|files| Tls::open(files, stop.clone())).transpose()?;
    let engine = Arc::new(Engine::open(&config).await?);
    let (routes, health) = routes(&engine).await?;
    let app = axum::Router::new().fallback(split(routes, http::routes(&engine))).layer(cors());
    let is_tls = tls.is_some();
    tokio::spawn(tidy_up(engine.clone(), stop.clone()));
    let accepting = tokio::spawn(accept(listener, tls, app, stop.clone()));
    Ok(Running { address, engine, is_tls, health, stop, accepting })
}

impl Running {
    /// Where it listens, as clients write it.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Takes no more calls, waits up to `drain` for those under way (or until `hurry` resolves), ends the
    /// rest, closes the store.
    ///
    /// # Errors
    /// As [`Engine::close`].
    pub async fn stop(self, drain: Duration, hurry: impl Future<Output = ()>) -> Result<(), Unwritten> {
        self.engine.refuse_calls();
        // Who balances by the standard health service sends the next call elsewhere.
        self.health.set_not_serving::<VoiceServiceServer<voice::Voice>>().await;
        tokio::select! {
            () = self.engine.wait_for_calls() => {}
            () = tokio::time::sleep(drain) => {}
            () = hurry => {}
        }
        self.engine.end_calls().await;
        self.engine.bus.stop();
        self.stop.cancel();
        // The accept loop bounds its own end; a panic in it has been reported by then.
        self.accepting.await.ok();
        self.engine.close().await
    }
}

/// Drops what is kept only for a time, for as long as the engine runs.
async fn tidy_up(engine: Arc<Engine>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(TIDY_EVERY)).await.is_some() {
        match parlance_store::requests::sweep(&engine.store).await {
            Ok(dropped) => tracing::debug!(dropped, "answers of yesterday's requests dropped"),
            Err(error) => tracing::warn!(%error, "answers of yesterday's requests stay for now"),
        }
    }
}

async fn routes(engine: &Arc<Engine>) -> Result<(axum::Router, HealthReporter), Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<VoiceServiceServer<voice::Voice>>().await;
    health.set_serving::<AgentServiceServer<agent::Agents>>().await;
    health.set_serving::<CallServiceServer<call::Calls>>().await;
    health.set_serving::<PhoneNumberServiceServer<phone_number::PhoneNumbers>>().await;
    health.set_serving::<AppointmentServiceServer<appointment::Appointments>>().await;
    health.set_serving::<OrganisationServiceServer<organisation::Organisations>>().await;
    health.set_serving::<ApiKeyServiceServer<api_key::ApiKeys>>().await;
    health.set_serving::<AuditServiceServer<audit::Audit>>().await;
    health.set_serving::<ResourceServiceServer<resource::Resources>>().await;
    health.set_serving::<ProviderServiceServer<provider::Providers>>().await;
    health.set_serving::<ToolSecretServiceServer<tool_secret::ToolSecrets>>().await;
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(parlance_proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that tools can read the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let voice = VoiceServiceServer::new(voice::Voice::new(engine.clone()))
        .max_decoding_message_size(SESSION_MESSAGE_MAX);
    let agents =
        AgentServiceServer::new(agent::Agents::new(engine.clone())).max_decoding_message_size(MESSAGE_MAX);
    let calls =
        CallServiceServer::new(call::Calls::new(engine.clone())).max_decoding_message_size(MESSAGE_MAX);
    let phone_numbers = PhoneNumberServiceServer::new(phone_number::PhoneNumbers::new(engine.clone()))
        .max_decoding_message_size(MESSAGE_MAX);
    let appointments = AppointmentServiceServer::new(appointment::Appointments::new(engine.clone()))
        .max_decoding_message_size(MESSAGE_MAX);
    let routes = Routes::new(voice)
        .add_service(agents)
        .add_service(calls)
        .add_service(phone_numbers)
        .add_service(appointments)
        .add_service(OrganisationServiceServer::new(organisation::Organisations::new(engine.clone())))
        .add_service(ApiKeyServiceServer::new(api_key::ApiKeys::new(engine.clone())))
        .add_service(AuditServiceServer::new(audit::Audit::new(engine.clone())))
        .add_service(ResourceServiceServer::new(resource::Resources::new(engine.clone())))
        .add_service(ProviderServiceServer::new(provider::Providers::new(engine.clone())))
        .add_service(ToolSecretServiceServer::new(tool_secret::ToolSecrets::new(engine.clone())))
        .add_service(health_service)
        .add_service(describe().build_v1()?)
        .add_service(describe().build_v1alpha()?);
    let admitted = routes
        .prepare()
        .into_axum_router()
        .layer(axum::middleware::from_fn_with_state(engine.clone(), auth::admit));
    Ok((admitted.layer(tonic_web::GrpcWebLayer::new()), health))
}

async fn accept(listener: TcpListener, tls: Option<Tls>, app: axum::Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors: others must end before it gets better.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        // Small frames must not wait for one another (Nagle); a socket that refuses is still served.
        stream.set_nodelay(true).ok();
        match tls.clone() {
            Some(tls) => encrypt(stream, tls, app.clone(), graceful.watcher()),
            None => serve_connection(stream, app.clone(), graceful.watcher()),
        }
    }
    if tokio::time::timeout(Duration::from_secs(3), graceful.shutdown()).await.is_err() {
        tracing::debug!("some connections did not end by themselves");
    }
}

/// A slow or hostile beginner holds up nobody: the handshake is not waited for here.
fn encrypt(stream: TcpStream, tls: Tls, app: axum::Router, watcher: Watcher) {
    tokio::spawn(async move {
        match tls.accept(stream).await {
            Ok(stream) => serve_connection(stream, app, watcher),
            Err(error) => tracing::debug!(%error, "a connection did not get as far as TLS"),
        }
    });
}

fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: axum::Router,
    watcher: Watcher,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        app.clone().oneshot(request.map(Body::new))
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    let watched = watcher.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection broke");
        }
    });
}

/// gRPC to the services, everything else to plain HTTP: tonic's own router would answer any path with an
/// empty 200.
fn split(
    services: axum::Router,
    plain: axum::Router,
) -> impl Fn(Request<Body>) -> futures_util::future::BoxFuture<'static, Response<Body>> + Clone {
    move |request| {
        let is_grpc = request
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let routes = if is_grpc { services.clone() } else { plain.clone() };
        Box::pin(async move {
            match routes.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    }
}

/// Browsers may call from any page while there are no browser tokens; a key is needed all the same.
fn cors() -> CorsLayer {
    let names = |list: &'static [&'static str]| list.iter().map(|name| header::HeaderName::from_static(name));
    CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_methods([axum::http::Method::POST, axum::http::Method::OPTIONS])
        .allow_headers(
            names(&["authorization", "content-type", "grpc-timeout", "x-grpc-web", "x-user-agent"])
                .collect::<Vec<_>>(),
        )
        .expose_headers(
            names(&["grpc-status", "grpc-message", "grpc-status-details-bin"]).collect::<Vec<_>>(),
        )
}
