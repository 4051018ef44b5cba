//! Commands from node to node: asking for them, and carrying them out where the call lives.
//!
//! Every node hears of every command; the one that has the call takes it, in the organisation it knows the call
//! by. Taking comes before doing, so that nothing is done twice: a node that dies in between has done it not at
//! all. Enter at [`Bus::ask`] and [`Desk::open`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_conversation::{Control, EndReason};
use parlance_store::commands::{self, Command};
use parlance_store::{CallId, CommandId, Error, Scope, Store};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior};

use super::Bus;
use crate::session::inbox::Posted;
use crate::session::live::LiveCalls;

/// How long the call's node may take.
const OWNER_WAIT: Duration = Duration::from_secs(2);
/// How often the answer is looked for when no word of it comes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Commands that may wait to be carried out here. One takes some milliseconds.
const DESK: usize = 256;
/// How often what dead nodes left behind is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// What is posted to a call for a command.
pub fn posted(command: Command) -> Posted {
    match command {
        Command::End => Posted::End(EndReason::ApiEnded),
        Command::Interrupt => Posted::Control(Control::Interrupt),
        Command::Say { text, protected } => Posted::Control(Control::Say { text, protected }),
    }
}

/// Who waits for an answer here.
#[derive(Default)]
pub struct Answers(Mutex<HashMap<CommandId, Arc<Notify>>>);

impl Answers {
    /// An answer has come.
    pub(super) fn answered(&self, command: CommandId) {
        if let Some(waiting) = self.lock().get(&command) {
            waiting.notify_one();
        }
    }

    /// Any answer may have come.
    pub(super) fn all(&self) {
        self.lock().values().for_each(|waiting| waiting.notify_one());
    }

    fn expect(self: &Arc<Self>, command: CommandId) -> Expected {
        let come = Arc::<Notify>::default();
        self.lock().insert(command, come.clone());
        Expected { answers: self.clone(), command, come }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CommandId, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is waited for.
struct Expected {
    answers: Arc<Answers>,
    command: CommandId,
    come: Arc<Notify>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.answers.lock().remove(&self.command);
    }
}

impl Bus {
    /// Asks the node that `call` lives on. False if none has taken the command in 2 s: then none will.
    ///
    /// # Errors
    /// The store's; then the command may still be carried out, unless it was not even asked for.
    pub async fn ask(&self, scope: &Scope, call: CallId, command: &Command) -> Result<bool, Error> {
        let give_up = Instant::now() + OWNER_WAIT;
        let id = commands::ask(scope, call, command, OWNER_WAIT).await?;
        let expected = self.answers.expect(id);
        let taken = taken_until(give_up, &expected.come, || commands::is_taken(scope, id)).await;
        match commands::settle(scope, id).await {
            // It is done, whatever becomes of its row.
            Err(error) if taken => {
                tracing::debug!(%call, %error, "a command that was taken was not put away");
                Ok(true)
            }
            settled => settled,
        }
    }
}

/// Whether `look` finds the command taken before it is time to give up. A look that fails has not found it yet: who
/// asked may not leave while the call's node may still take it.
async fn taken_until<F>(give_up: Instant, come: &Notify, mut look: impl FnMut() -> F) -> bool
where
    F: Future<Output = Result<bool, Error>>,
{
    loop {
        // The first time right away: the answer may have come before it was expected.
        match look().await {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "whether a command was taken is not known yet"),
        }
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        // An error here is only the time-out.
        tokio::time::timeout(LOOK_EVERY.min(left), come.notified()).await.ok();
    }
}

enum Job {
    One(CallId, CommandId),
    /// Whatever waits.
    All,
}

/// Where commands for the calls of this node are handed in.
pub struct Desk {
    jobs: mpsc::Sender<Job>,
    live: Arc<LiveCalls>,
}

impl Desk {
    /// Opens it; its clerk goes when it is dropped. One clerk, so that commands are carried out in order.
    pub fn open(store: Store, live: Arc<LiveCalls>) -> Self {
        let (jobs, receiver) = mpsc::channel(DESK);
        tokio::spawn(clerk(store, live.clone(), receiver));
        Self { jobs, live }
    }

    /// A command waits.
    pub fn asked(&self, call: CallId, command: CommandId) {
        if self.live.organisation_of(call).is_some() {
            self.hand_in(Job::One(call, command));
        }
    }

    /// Commands may wait that were not heard of.
    pub fn missed(&self) {
        if self.live.count() > 0 {
            self.hand_in(Job::All);
        }
    }

    fn hand_in(&self, job: Job) {
        if let Err(TrySendError::Full(_)) = self.jobs.try_send(job) {
            tracing::warn!("a command to a call is not carried out: too many wait");
        }
    }
}

async fn clerk(store: Store, live: Arc<LiveCalls>, mut jobs: mpsc::Receiver<Job>) {
    let mut sweep = tokio::time::interval_at(Instant::now() + SWEEP_EVERY, SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            job = jobs.recv() => match job {
                Some(Job::One(call, command)) => carry_out(&store, &live, call, command).await,
                Some(Job::All) => carry_out_all(&store, &live).await,
                None => return,
            },
            _ = sweep.tick() => {
                if let Err(error) = commands::sweep(&store).await {
                    tracing::debug!(%error, "old commands were not swept");
                }
            }
        }
    }
}

async fn carry_out_all(store: &Store, live: &LiveCalls) {
    for organisation in live.organisations() {
        match commands::waiting(&store.scope(organisation)).await {
            Ok(waiting) => {
                for (call, command) in waiting {
                    carry_out(store, live, call, command).await;
                }
            }
            Err(error) => tracing::warn!(%error, "commands that may wait were not read"),
        }
    }
}

async fn carry_out(store: &Store, live: &LiveCalls, call: CallId, command: CommandId) {
    // By the call that lives here, not by what was heard: nobody reaches across organisations with a notice.
    let Some(organisation) = live.organisation_of(call) else { return };
    match commands::take(&store.scope(organisation), command).await {
        // The row's own call: the notice may have named another.
        Ok(Some((call, command))) => drop(live.post(call, posted(command))),
        Ok(None) => {}
        Err(error) => tracing::warn!(%call, %error, "a command to a call was not carried out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_is_away_for_a_moment_does_not_end_the_wait_for_the_answer() {
        let away = || Err(Error::Unavailable("the connection was closed".to_owned()));
        let come = Notify::new();
        let mut looks = vec![Ok(true), Ok(false), away()];
        let taken = taken_until(Instant::now() + OWNER_WAIT, &come, || {
            come.notify_one();
            std::future::ready(looks.pop().expect("it looks no more once it is taken"))
        });
        assert!(taken.await);
        let taken = taken_until(Instant::now(), &come, || std::future::ready(away()));
        assert!(!taken.await, "it gives up in time, without an error, so that the command is withdrawn");
    }
}
