//! What every stream to a vendor has, and a vendor that is nothing but its streams.

use std::sync::Arc;

use reqwest::header::HeaderMap;

use super::{Dialect, listen};
use crate::Error;
use crate::account::Account;
use crate::stt::{Capabilities, Listener, Settings, Sink, SpeechToText};

/// Where a stream goes, and how far it has come.
#[derive(Clone)]
pub(in crate::stt) struct Line {
    /// The registered name.
    pub provider: &'static str,
    /// Where the socket is opened.
    pub url: String,
    /// What the upgrade is asked with; may hold the key.
    pub headers: Vec<(&'static str, String)>,
    /// The vendor's id of the stream.
    pub request_id: Option<String>,
    /// Whether the vendor takes audio. Nothing that was fed is handed over before.
    pub accepted: bool,
}

impl Line {
    /// A stream that is not open yet.
    pub fn new(provider: &'static str, url: String, headers: Vec<(&'static str, String)>) -> Self {
        Self { provider, url, headers, request_id: None, accepted: false }
    }

    /// The vendor's id, if the upgrade's answer has it under this name.
    pub fn identify(&mut self, headers: &HeaderMap, name: &str) {
        self.request_id = headers.get(name).and_then(|id| id.to_str().ok()).map(str::to_owned);
    }
}

/// A vendor that listens over a socket, on one account. It connects to nothing before it is to listen.
pub(in crate::stt) struct OverSocket<D> {
    name: &'static str,
    can: Capabilities,
    account: Account,
    begin: fn(&Account, Settings) -> Result<D, Error>,
}

impl<D: Dialect> OverSocket<D> {
    /// What is registered: under this name, with these capabilities, each stream begun so.
    ///
    /// # Errors
    /// None; who opens other vendors has some.
    pub fn open(
        name: &'static str,
        can: Capabilities,
        account: &Account,
        begin: fn(&Account, Settings) -> Result<D, Error>,
    ) -> Result<Arc<dyn SpeechToText>, Error> {
        Ok(Arc::new(Self { name, can, account: account.clone(), begin }))
    }
}

impl<D: Dialect> SpeechToText for OverSocket<D> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        self.can.clone()
    }

    fn open(&self, settings: Settings, sink: Sink) -> Result<Box<dyn Listener>, Error> {
        let format = settings.format;
        listen((self.begin)(&self.account, settings)?, format, sink)
    }
}
