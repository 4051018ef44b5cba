//! Client tools: runs that wait for the program at the other end of the session.
//!
//! A run waits here under its number until its answer comes, its time is up or the session ends. An answer that nobody
//! waits for is refused to its giver's face, so that nothing but a client's own tool can be answered by a client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_conversation::{InvocationId, ToolOutcome};
use tokio::sync::oneshot;

/// The runs of one session that wait for its client.
#[derive(Clone, Default)]
pub struct Awaited(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    runs: HashMap<InvocationId, oneshot::Sender<ToolOutcome>>,
    closed: bool,
}

impl Awaited {
    /// Begins to wait; none once the session has ended.
    pub fn begin(&self, invocation: InvocationId) -> Option<oneshot::Receiver<ToolOutcome>> {
        let mut waiting = self.lock();
        let (answer, answered) = oneshot::channel();
        (!waiting.closed).then(|| {
            waiting.runs.insert(invocation, answer);
            answered
        })
    }

    /// Waits no longer.
    pub fn give_up(&self, invocation: InvocationId) {
        self.lock().runs.remove(&invocation);
    }

    /// The client's answer. False: nobody waits for it.
    pub fn answer(&self, invocation: InvocationId, outcome: ToolOutcome) -> bool {
        let run = self.lock().runs.remove(&invocation);
        run.is_some_and(|run| run.send(outcome).is_ok())
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
        assert!(awaited.answer(first, done()) && !awaited.answer(first, done()));
        assert_eq!(answered.await, Ok(done()));
        let given_up = awaited.begin(second).expect("the session lives");
        awaited.give_up(second);
        assert!(!awaited.answer(second, done()) && given_up.await.is_err());
        let waiting = awaited.begin(second).expect("the session lives");
        awaited.close();
        assert!(waiting.await.is_err() && awaited.begin(first).is_none());
    }
}
