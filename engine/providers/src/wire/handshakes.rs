//! How long connections took that somebody waited for, told to who waits without the vendors' files passing it on.
//!
//! Who asks a provider says where it wants to be told ([`Watch::over`]); [`watched`] takes that along into the task that
//! does the work; what opens a connection there tells it. A connection that was open already tells nothing, so that what
//! is told is what a turn really waited for. Enter at [`Watch`].

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tower::{Layer, Service};

tokio::task_local! {
    static CURRENT: Watch;
}

/// Where handshakes are told.
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(Duration) + Send + Sync>);

impl Watch {
    /// Tells there. It must not block.
    pub fn new(told: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    /// Watches over what is asked for in there.
    pub fn over<T>(self, ask: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, ask)
    }

    /// Who watches over this task, if anybody does.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// A connection was opened; DNS, TCP, TLS and an upgrade took so long.
    pub fn tell(&self, time: Duration) {
        (self.0)(time);
    }
}

/// The same work, still watched over when it is a task of its own.
pub fn watched<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let watch = Watch::current();
    async move {
        match watch {
            Some(watch) => CURRENT.scope(watch, work).await,
            None => work.await,
        }
    }
}

/// Makes the connectors of an HTTP client tell. A request that finds a connection in the pool never comes here.
#[derive(Debug, Clone)]
pub(super) struct Timing;

impl<S> Layer<S> for Timing {
    type Service = Timed<S>;

    fn layer(&self, connector: S) -> Timed<S> {
        Timed(connector)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Timed<S>(S);

impl<S, To> Service<To> for Timed<S>
where
    S: Service<To>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, to: To) -> Self::Future {
        let (began, watch) = (Instant::now(), Watch::current());
        let connecting = self.0.call(to);
        async move {
            let connected = connecting.await;
            if let (Ok(_), Some(watch)) = (&connected, watch) {
                watch.tell(began.elapsed());
            }
            connected
        }
        .boxed()
    }
}
