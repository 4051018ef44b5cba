//! Who watches a live call from this process: a bounded broadcast of what is told, beside the journal.
//!
//! Costs a look at an empty cell while nobody watches. A watcher that lags loses entries and reads them from
//! Postgres instead; the call never waits for it. Each entry names the one told before, by which a watcher that
//! joins in the middle sees whether it has missed something.

use std::sync::{Arc, OnceLock};

use parlance_proto::v1;
use tokio::sync::broadcast;

/// Entries a watcher may lag behind: some turns of a busy call.
const CHANNEL: usize = 64;

/// One entry, as watchers get it.
pub struct Told {
    /// The offset of the entry that watchers got before; 0 if this is the first.
    pub previous: u64,
    /// The entry.
    pub event: v1::CallEvent,
}

/// The watchers of one call.
#[derive(Default)]
pub struct Onlookers {
    // Made with the first watcher: most calls have none, and a channel costs some kilobytes.
    sender: OnceLock<broadcast::Sender<Arc<Told>>>,
}

impl Onlookers {
    /// What is told from now on. It ends with the call.
    pub fn join(&self) -> broadcast::Receiver<Arc<Told>> {
        self.sender.get_or_init(|| broadcast::channel(CHANNEL).0).subscribe()
    }

    /// Shows an entry to those who watch; it is only made if somebody does.
    pub fn show(&self, told: impl FnOnce() -> Option<Told>) {
        let Some(sender) = self.sender.get().filter(|sender| sender.receiver_count() > 0) else { return };
        if let Some(told) = told() {
            // The last one may just have gone.
            sender.send(Arc::new(told)).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(offset: u64) -> Option<Told> {
        let event = v1::CallEvent { offset, ..Default::default() };
        Some(Told { previous: offset - 1, event })
    }

    #[test]
    fn nothing_is_made_for_nobody() {
        let onlookers = Onlookers::default();
        onlookers.show(|| panic!("nobody watches"));
        drop(onlookers.join());
        onlookers.show(|| panic!("nobody watches any more"));
    }

    #[test]
    fn a_watcher_that_lags_is_told_so_and_holds_up_nobody() {
        let onlookers = Onlookers::default();
        let (mut slow, mut quick) = (onlookers.join(), onlookers.join());
        for offset in 1..=CHANNEL as u64 * 3 {
            onlookers.show(|| told(offset));
            assert_eq!(quick.try_recv().expect("it keeps up").event.offset, offset);
        }
        assert!(matches!(slow.try_recv(), Err(broadcast::error::TryRecvError::Lagged(_))));
    }
}
