//! The waits that run: one due time for each [`Deadline`].
//!
//! Decides only when a wait is over: by the clock, or by the caller's audio with a limit. What
//! happens then is decided where the rule is kept. Enter at [`Deadlines::next`].

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{CallTime, Deadline, Now};

/// A jittering or vanished caller must not stop time: audio is waited for at most this long.
const AUDIO_LATE_MAX: Duration = Duration::from_millis(200);

/// The running waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deadlines {
    due: BTreeMap<Deadline, CallTime>,
}

impl Deadlines {
    pub(crate) fn set(&mut self, deadline: Deadline, due: CallTime) {
        self.due.insert(deadline, due);
    }

    pub(crate) fn clear(&mut self, deadline: Deadline) {
        self.due.remove(&deadline);
    }

    pub(crate) fn clear_all(&mut self) {
        self.due.clear();
    }

    pub(crate) fn get(&self, deadline: Deadline) -> Option<CallTime> {
        self.due.get(&deadline).copied()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (Deadline, CallTime)> {
        self.due.iter().map(|(deadline, due)| (*deadline, *due))
    }

    /// Takes out the earliest wait that is over.
    pub(crate) fn next(&mut self, now: Now) -> Option<(Deadline, CallTime)> {
        let over = self.due.iter().filter(|(deadline, due)| is_over(**deadline, **due, now));
        let (deadline, due) =
            over.min_by_key(|(deadline, due)| (**due, **deadline)).map(|(d, t)| (*d, *t))?;
        self.due.remove(&deadline);
        Some((deadline, due))
    }

    /// When the clock alone ends the next wait, if no more audio comes.
    pub(crate) fn wake(&self, now: Now) -> Option<CallTime> {
        self.due.iter().map(|(deadline, due)| wake(*deadline, *due, now)).min()
    }

    /// The earliest wait that is counted from audio not yet received.
    pub(crate) fn audio_wanted(&self, now: Now) -> Option<CallTime> {
        let counted = self.due.iter().filter(|(deadline, due)| by_audio(**deadline) && **due > now.audio);
        counted.map(|(_, due)| *due).min()
    }
}

fn by_audio(deadline: Deadline) -> bool {
    matches!(deadline, Deadline::EndOfTurn | Deadline::Finalize | Deadline::Hold)
}

fn is_over(deadline: Deadline, due: CallTime, now: Now) -> bool {
    now.clock >= wake(deadline, due, now)
}

fn wake(deadline: Deadline, due: CallTime, now: Now) -> CallTime {
    if by_audio(deadline) && now.audio < due { due + AUDIO_LATE_MAX } else { due }
}
