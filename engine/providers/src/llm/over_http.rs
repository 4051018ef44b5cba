//! A language model behind HTTP: which model is asked where and for what. How an answer comes is `answering`'s.

use std::sync::Arc;

use serde_json::Value;

use super::answering::{Asker, Dialect};
use super::{LanguageModel, Request, Response, Sink};
use crate::Error;
use crate::models::default_of;
use crate::registry::Kind;
use crate::wire::http::Http;

/// One service on one account.
pub(super) struct OverHttp {
    name: &'static str,
    asker: Asker,
    ask: Box<Ask>,
}

/// Where this model is asked, and with which body.
type Ask = dyn Fn(&str, &Request) -> Result<(String, Value), Error> + Send + Sync;

impl OverHttp {
    /// Asks with this pool; `warm_url` is cheap to ask for.
    pub fn open(
        dialect: &'static Dialect,
        http: Http,
        warm_url: String,
        ask: impl Fn(&str, &Request) -> Result<(String, Value), Error> + Send + Sync + 'static,
    ) -> Arc<dyn LanguageModel> {
        let asker = Asker::new(dialect, http, warm_url);
        Arc::new(Self { name: dialect.name, asker, ask: Box::new(ask) })
    }
}

impl LanguageModel for OverHttp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn warm(&self) {
        self.asker.warm();
    }

    fn respond(&self, request: Request, sink: Sink) -> Result<Response, Error> {
        let model = request.model.clone().unwrap_or_else(|| default_of(Kind::Llm, self.name).to_owned());
        let (url, body) = (self.ask)(&model, &request)?;
        self.asker.respond(url, model, body, sink)
    }
}
