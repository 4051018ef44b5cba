//! Notices: what the nodes on one database tell one another, over Postgres' LISTEN and NOTIFY.
//!
//! A notice carries ids only, never a row: it says that there is something to read, and reading goes through
//! row-level security as always. Notices are lost while the connection is down, so a node that has just begun to
//! listen, again or for the first time, hears [`Notice::Missed`] and looks for itself. Enter at
//! [`Store::listen`](crate::Store::listen); the connection is not from the pool, because it is held for ever.

use std::time::Duration;

use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_postgres::AsyncMessage;

use crate::connect::DatabaseUrl;
use crate::pool::{ENGINE_ROLE, SCHEMA};
use crate::{CallId, CommandId, Error, Result};

/// The channel. Notifications reach the listeners of one database only.
const CHANNEL: &str = "parlance_calls";
/// How the connection is called among the server's activity.
pub const LISTENER: &str = "parlance listener";
/// Calls in one notice: at 37 bytes each they stay below the 8,000 a notification may have.
pub(crate) const CALLS_PER_NOTICE: usize = 200;
/// How often a quiet connection is asked for a sign of life, and how long it may take. TCP alone would find out
/// after hours.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The pause after a connection was lost; it doubles with each failure.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What a node hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The connection is new: what was told before was not heard here.
    Missed,
    /// The journals of these calls have grown, or the calls are over.
    Written(Vec<CallId>),
    /// A command waits for the node that the call lives on.
    Asked {
        /// The call.
        call: CallId,
        /// The command.
        command: CommandId,
    },
    /// A command was carried out.
    Answered(CommandId),
}

impl Notice {
    /// As it travels; `Missed` never does.
    fn payload(&self) -> String {
        match self {
            Self::Missed => String::new(),
            Self::Written(calls) => {
                calls.iter().fold("written".to_owned(), |text, id| format!("{text} {id}"))
            }
            Self::Asked { call, command } => format!("asked {call} {command}"),
            Self::Answered(command) => format!("answered {command}"),
        }
    }

    /// `None` for what this version does not understand.
    fn parse(payload: &str) -> Option<Self> {
        let mut words = payload.split(' ');
        match words.next()? {
            "written" => words.map(|id| id.parse().ok()).collect::<Option<_>>().map(Self::Written),
            "asked" => {
                let call = words.next()?.parse().ok()?;
                Some(Self::Asked { call, command: words.next()?.parse().ok()? })
            }
            "answered" => words.next()?.parse().ok().map(Self::Answered),
            _ => None,
        }
    }
}

/// A node that listens. Dropped, it stops.
#[derive(Debug)]
pub struct Listening {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells all who listen. Inside a transaction they hear it when that is committed.
pub(crate) async fn tell(conn: &mut AsyncPgConnection, notice: &Notice) -> Result<()> {
    let query = diesel::sql_query("SELECT pg_notify($1, $2)");
    query.bind::<Text, _>(CHANNEL).bind::<Text, _>(notice.payload()).execute(conn).await?;
    Ok(())
}

pub(crate) fn listen(url: DatabaseUrl, hear: impl Fn(Notice) + Send + Sync + 'static) -> Listening {
    let task = tokio::spawn(async move {
        let mut pause = BACKOFF_MIN;
        loop {
            let began = Instant::now();
            let error = listen_once(&url, &hear).await;
            // A connection that held for a while was sound: begin with the short pause again.
            if began.elapsed() > BACKOFF_MAX {
                pause = BACKOFF_MIN;
            }
            tracing::warn!(%error, "what other nodes say is not heard; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    });
    Listening { task }
}

/// Listens until the connection is lost; gives why.
async fn listen_once(url: &DatabaseUrl, hear: &(impl Fn(Notice) + Send + Sync)) -> Error {
    let (client, mut connection) = match url.connect_to_listen(LISTENER).await {
        Ok(halves) => halves,
        Err(error) => return error,
    };
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    let begin = format!("SET ROLE {ENGINE_ROLE}; SET search_path TO {SCHEMA}; LISTEN {CHANNEL}");
    let mut asked = Some(ask(&client, begin));
    let mut listens = false;
    let mut alive = tokio::time::interval(SIGN_OF_LIFE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(note))) if note.channel() == CHANNEL => {
                    if let Some(notice) = Notice::parse(note.payload()) {
                        hear(notice);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Error::Unavailable(error.to_string()),
                None => return Error::Unavailable("the server closed the connection".to_owned()),
            },
            answer = answered(&mut asked) => {
                if let Err(error) = answer {
                    return error;
                }
                if !listens {
                    listens = true;
                    hear(Notice::Missed);
                }
            }
            _ = alive.tick(), if listens && asked.is_none() => {
                asked = Some(ask(&client, "SELECT 1".to_owned()));
            }
        }
    }
}

/// Sends a statement; its answer comes while the connection's messages are read.
fn ask(client: &tokio_postgres::Client, statement: String) -> BoxFuture<'_, Result<()>> {
    async move {
        match tokio::time::timeout(ANSWER_WITHIN, client.batch_execute(&statement)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::Unavailable(error.to_string())),
            Err(_) => Err(Error::Unavailable("no answer in time".to_owned())),
        }
    }
    .boxed()
}

/// The answer to what was asked; waits for ever if nothing was.
async fn answered(asked: &mut Option<BoxFuture<'_, Result<()>>>) -> Result<()> {
    let Some(waiting) = asked else { return std::future::pending().await };
    let answer = waiting.await;
    *asked = None;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_reads_as_it_was_told() {
        let notices = [
            Notice::Written(vec![CallId::new(), CallId::new()]),
            Notice::Asked { call: CallId::new(), command: CommandId::new() },
            Notice::Answered(CommandId::new()),
        ];
        for notice in notices {
            assert_eq!(Notice::parse(&notice.payload()), Some(notice));
        }
    }

    #[test]
    fn the_largest_notice_fits_a_notification() {
        let calls = (0..CALLS_PER_NOTICE).map(|_| CallId::new()).collect();
        assert!(Notice::Written(calls).payload().len() < 8_000);
    }

    #[test]
    fn what_a_later_version_tells_is_passed_over() {
        for payload in ["", "moved 1", "written nonsense", "asked", "answered 42"] {
            assert_eq!(Notice::parse(payload), None, "{payload}");
        }
    }
}
