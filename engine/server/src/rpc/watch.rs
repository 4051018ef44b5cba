//! `WatchCall`: the events of a call in order, without gaps or doubles, wherever the call lives.
//!
//! There are two sources. Postgres has everything, at most a second late: it is looked at when word comes that the
//! journal has grown, and now and then in case no word came. Where the call lives here, its live entries come at
//! once; each names the one before it, so a watcher is *in step* with them when it has that one, and looks
//! at Postgres no more until it lags. Nothing is pushed: the stream does its work when the client takes the next
//! event, so there is no task to be left behind and nobody to be held up. Enter at [`Watch::stream`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use parlance_conversation::CallTime;
use parlance_proto::v1;
use parlance_proto::v1::call_event::Event as Wire;
use parlance_store::journal::JournalEntry;
use parlance_store::{CallId, Scope, calls, journal};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tonic::Status;

use super::call::missing;
use crate::bus::watchers::Place;
use crate::convert::{call as convert, offset};
use crate::engine::Engine;
use crate::session::journal::TOLD;
use crate::session::onlookers::Told;
use crate::status::Refusal;

/// Entries read from Postgres at once.
const PAGE: u32 = 500;
/// How often Postgres is looked at although no word came.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);
/// How often while entries are awaited that a live one says are on their way there.
const LOOK_FOR_MISSING: Duration = Duration::from_millis(200);

/// What a client of `WatchCall` gets.
pub type Events = BoxStream<'static, Result<v1::WatchCallResponse, Status>>;

/// One watcher of one call.
pub struct Watch {
    engine: Arc<Engine>,
    scope: Scope,
    call: CallId,
    place: Place,
    /// Everything up to here was given, or was not wanted.
    given: u64,
    live: Option<broadcast::Receiver<Arc<Told>>>,
    /// What comes live follows on what was given.
    in_step: bool,
    /// A live entry whose predecessor is still missing.
    held: Option<Arc<Told>>,
    /// Postgres is to be looked at.
    look_due: bool,
    ready: VecDeque<v1::CallEvent>,
    /// Nothing comes after what is ready.
    over: bool,
}

impl Watch {
    /// The events of `call` behind `after_offset`.
    ///
    /// # Errors
    /// The refusal when there is no such call or no place to watch it from.
    pub async fn stream(
        engine: Arc<Engine>,
        scope: Scope,
        call: CallId,
        after_offset: u64,
    ) -> Result<Events, Refusal> {
        calls::get(&scope, call).await.map_err(|error| missing(error, call))?;
        let place = engine.bus.watchers.take(scope.organisation(), call)?;
        let watch = Self {
            engine,
            scope,
            call,
            place,
            given: after_offset,
            live: None,
            in_step: false,
            held: None,
            look_due: true,
            ready: VecDeque::new(),
            over: false,
        };
        let events = stream::unfold(watch, |mut watch| async move {
            let event = watch.next().await?;
            Some((event.map_err(Status::from), watch))
        });
        Ok(events.boxed())
    }

    async fn next(&mut self) -> Option<Result<v1::WatchCallResponse, Refusal>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(v1::WatchCallResponse { event: Some(event) }));
            }
            if self.over {
                return None;
            }
            let done = if self.look_due { self.look().await } else { self.wait().await };
            if let Err(refusal) = done {
                self.over = true;
                return Some(Err(refusal));
            }
        }
    }

    /// Waits for whatever comes first: a live entry, word of new ones, or the time to look anyway.
    async fn wait(&mut self) -> Result<(), Refusal> {
        let pause = if self.held.is_some() { LOOK_FOR_MISSING } else { LOOK_ANYWAY };
        let engine = self.engine.clone();
        tokio::select! {
            biased;
            told = next_told(&mut self.live), if self.held.is_none() => match told {
                Ok(told) => self.told(told),
                Err(RecvError::Lagged(_)) => {
                    self.in_step = false;
                    self.look_due = true;
                }
                Err(RecvError::Closed) => self.part(),
            },
            () = self.place.woken(), if !self.in_step => self.look_due = true,
            () = tokio::time::sleep(pause), if !self.in_step => self.look_due = true,
            () = engine.bus.stopped() => return Err(Refusal::Draining),
        }
        Ok(())
    }

    fn told(&mut self, told: Arc<Told>) {
        if self.in_step || told.previous <= self.given {
            self.in_step = true;
            self.give(told.event.clone());
        } else {
            self.held = Some(told);
            self.look_due = true;
        }
    }

    /// The call has left this node: Postgres has the rest.
    fn part(&mut self) {
        (self.live, self.held, self.in_step, self.look_due) = (None, None, false, true);
    }

    /// Takes what Postgres has behind what was given.
    async fn look(&mut self) -> Result<(), Refusal> {
        self.look_due = false;
        if self.live.is_none() {
            // Before Postgres is read, so that nothing falls in between.
            self.live = self.engine.live.watch(self.call);
        }
        let found = self.read().await?;
        if let Some(held) = self.held.take_if(|held| held.previous <= self.given) {
            self.told(held);
        }
        if found || self.over {
            return Ok(());
        }
        if self.live.is_none() {
            return self.end_if_over().await;
        }
        if self.held.is_some() && self.engine.live.organisation_of(self.call).is_none() {
            self.part();
        }
        Ok(())
    }

    /// Reads a page; whether there was anything.
    async fn read(&mut self) -> Result<bool, Refusal> {
        // An offset that no journal reaches reads nothing.
        let from = i64::try_from(self.given.saturating_add(1)).unwrap_or(i64::MAX);
        let rows = journal::read_kind(&self.scope, self.call, TOLD, from, PAGE).await?;
        self.look_due = rows.len() == PAGE as usize;
        for row in &rows {
            self.take(row);
        }
        Ok(!rows.is_empty())
    }

    fn take(&mut self, row: &JournalEntry) {
        if let Some(event) = convert::journal_event(row) {
            self.give(event);
        }
        self.given = self.given.max(row.offset.unsigned_abs());
    }

    fn give(&mut self, event: v1::CallEvent) {
        if self.over || event.offset <= self.given {
            return;
        }
        self.given = event.offset;
        self.over = matches!(event.event, Some(Wire::Ended(_)));
        self.ready.push_back(event);
    }

    /// Ends the stream if the call is over and everything of it was given.
    async fn end_if_over(&mut self) -> Result<(), Refusal> {
        let row = calls::get(&self.scope, self.call).await.map_err(|error| missing(error, self.call))?;
        // A call is closed after its last entry is written: what came before the close is there now.
        if row.state != calls::CallState::Ended || self.read().await? {
            self.look_due |= row.state == calls::CallState::Ended;
            return Ok(());
        }
        let last = journal::last_of_kind(&self.scope, self.call, TOLD).await?;
        let place = last.as_ref().map_or(0, |last| last.offset.unsigned_abs()) + 1;
        let told = last.as_ref().and_then(convert::journal_event);
        if !told.is_some_and(|last| matches!(last.event, Some(Wire::Ended(_)))) {
            self.give(untold_end(&row, place));
        }
        self.over = true;
        Ok(())
    }
}

/// The end of a call that no session told: it was never begun, or its engine was lost.
fn untold_end(row: &calls::Call, place: u64) -> v1::CallEvent {
    let call = convert::call(row);
    let lasted =
        row.start_time.zip(row.end_time).map_or(0, |(start, end)| end.duration_since(start).as_micros());
    let at = CallTime::from_micros(u64::try_from(lasted).unwrap_or(0));
    let ended = v1::CallEnded { reason: call.end_reason, message: call.end_message };
    v1::CallEvent { offset: place, at: Some(offset(at)), event: Some(Wire::Ended(ended)) }
}

async fn next_told(live: &mut Option<broadcast::Receiver<Arc<Told>>>) -> Result<Arc<Told>, RecvError> {
    match live {
        Some(live) => live.recv().await,
        None => std::future::pending().await,
    }
}
