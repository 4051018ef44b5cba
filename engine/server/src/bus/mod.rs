//! The bus: how a request that reaches this node gets to a call on another, and word of that call back.
//!
//! One connection listens to Postgres ([`parlance_store::notices`]). Word that a journal has grown wakes the
//! [`watchers`]; word of a command wakes [`commands`], which carries out what is asked of calls that live here.
//! What is heard is only ever a hint: rows are read under row-level security, in the organisation of the call.

pub mod commands;
pub mod watchers;

use std::sync::{Arc, Mutex, PoisonError};

use parlance_store::Store;
use parlance_store::notices::{Listening, Notice};
use tokio_util::sync::CancellationToken;

use crate::session::live::LiveCalls;
use commands::{Answers, Desk};
use watchers::Watchers;

/// One node's end of the bus.
pub struct Bus {
    /// Who watches calls here.
    pub watchers: Arc<Watchers>,
    answers: Arc<Answers>,
    listening: Mutex<Option<Listening>>,
    stopped: CancellationToken,
}

impl Bus {
    /// Begins to listen, and to carry out what is asked of the calls in `live`.
    pub fn start(store: &Store, live: Arc<LiveCalls>) -> Self {
        let watchers = Arc::<Watchers>::default();
        let answers = Arc::<Answers>::default();
        let desk = Desk::open(store.clone(), live);
        let (waken, answered) = (watchers.clone(), answers.clone());
        let listening = store.listen(move |notice| match notice {
            Notice::Written(calls) => waken.wake(&calls),
            Notice::Asked { call, command } => desk.asked(call, command),
            Notice::Answered(command) => answered.answered(command),
            Notice::Missed => {
                waken.wake_all();
                answered.all();
                desk.missed();
            }
        });
        let listening = Mutex::new(Some(listening));
        Self { watchers, answers, listening, stopped: CancellationToken::new() }
    }

    /// Resolves when this node is about to go: watchers had better ask another.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// Sends the watchers away and stops listening.
    pub fn stop(&self) {
        self.stopped.cancel();
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
