//! Reads what a call had come to, so that a carrier can go on with it on any node: the decisions of its journal, then
//! the rows of its tools, which are never behind. What is folded from them, and what goes on, is
//! `parlance-conversation`'s business. Enter at [`read`].

use parlance_conversation::{Event, InvocationId, Past, PastRun, ToolOutcome};
use parlance_store::invocations::{Invocation, InvocationState};
use parlance_store::{CallId, Error, Scope, invocations, journal};
use serde_json::Value;

use super::journal::TOLD;
use crate::convert::call::run_number;

/// Journal entries read at once.
const PAGE: u32 = 1_000;

/// A call's past, and where its journal goes on.
pub struct Read {
    /// What it had come to.
    pub past: Past,
    /// The offset after the last entry.
    pub next_offset: i64,
    /// The call's clock at the last entry, microseconds.
    pub at_us: i64,
}

/// Reads the past of a call. An entry that this version does not understand is left out: it was told by a newer one.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn read(scope: &Scope, call: CallId) -> Result<Read, Error> {
    let mut read = Read { past: Past::default(), next_offset: 0, at_us: 0 };
    loop {
        let entries = journal::read(scope, call, read.next_offset, PAGE).await?;
        let Some(last) = entries.last() else { break };
        (read.next_offset, read.at_us) = (last.offset + 1, last.at_us);
        let told = entries.into_iter().filter(|entry| entry.kind == TOLD);
        let told = told.filter_map(|entry| serde_json::from_value::<Event>(entry.payload).ok());
        told.for_each(|event| read.past.learn(&event));
    }
    for row in invocations::list(scope, call).await? {
        read.past.ran(run(row));
    }
    Ok(read)
}

fn run(row: Invocation) -> PastRun {
    let result = row.result.unwrap_or_default();
    let outcome = match row.state {
        InvocationState::Succeeded => Some(ToolOutcome::Succeeded { result }),
        InvocationState::Failed => {
            let reason = result.get("reason").and_then(Value::as_str).unwrap_or_default();
            Some(ToolOutcome::Failed { reason: reason.to_owned() })
        }
        // Whoever began it is gone.
        InvocationState::Pending | InvocationState::Running | InvocationState::Unknown => None,
    };
    let invocation = InvocationId(run_number(&row.idempotency_key));
    PastRun { invocation, tool: row.tool, arguments: row.arguments, outcome }
}
