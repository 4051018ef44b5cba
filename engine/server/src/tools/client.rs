//! Client tools: runs that wait for the program at the other end of the session.
//!
//! A run waits here under its number until its answer comes, its time is up or the session ends. An answer that nobody
//! waits for is refused to its giver's face, so that nothing but a client's own tool can be answered by a client.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_conversation::{InvocationId, ToolOutcome};
use tokio::sync::oneshot;

/// The runs of one session that wait for its client.
#[derive(Clone, Default)]
pub struct Awaited(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    runs: HashMap<InvocationId, oneshot::Sender<ToolOutcome>>,
    /// Every run that the client was asked for.
    asked: HashSet<InvocationId>,
    closed: bool,
}

/// What becomes of a client's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The run ends with it.
    Taken,
    /// The run is over: it was answered before, or its time was up.
    Late,
    /// The client was never asked for that run.
    NotAsked,
}

impl Awaited {
    /// Begins to wait; none once the session has ended.
    pub fn begin(&self, invocation: InvocationId) -> Option<oneshot::Receiver<ToolOutcome>> {
        let mut waiting = self.lock();
        let (answer, answered) = oneshot::channel();
        (!waiting.closed).then(|| {
            waiting.asked.insert(invocation);
            waiting.runs.insert(invocation, answer);
            answered
        })
    }

    /// Waits no longer.
    pub fn give_up(&self, invocation: InvocationId) {
        self.lock().runs.remove(&invocation);
    }

    /// The client's answer.
    pub fn answer(&self, invocation: InvocationId, outcome: ToolOutcome) -> Answer {
        let mut waiting = self.lock();
        match waiting.runs.remove(&invocation).map(|run| run.send(outcome)) {
            Some(Ok(())) => Answer::Taken,
            Some(Err(_)) => Answer::Late,
            None if waiting.asked.contains(&invocation) => Answer::Late,
            None => Answer::NotAsked,
        }
    }

    /// The session is over: nobody will answer.
    pub fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.runs.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done() -> ToolOutcome {
        ToolOutcome::Succeeded { result: serde_json::json!({}) }
    }

    #[tokio::test]
    async fn a_run_is_answered_once_and_never_after_it_was_given_up_or_the_session_ended() {
        let awaited = Awaited::default();
        let (first, second) = (InvocationId(1), InvocationId(2));
        let answered = awaited.begin(first).expect("the session lives");
        assert_eq!(awaited.answer(second, done()), Answer::NotAsked);
        assert_eq!(awaited.answer(first, done()), Answer::Taken);
        assert_eq!(awaited.answer(first, done()), Answer::Late);
        assert_eq!(answered.await, Ok(done()));
        let given_up = awaited.begin(second).expect("the session lives");
        awaited.give_up(second);
        assert_eq!(awaited.answer(second, done()), Answer::Late);
        assert!(given_up.await.is_err());
        let waiting = awaited.begin(second).expect("the session lives");
        awaited.close();
        assert!(waiting.await.is_err() && awaited.begin(first).is_none());
    }
}
