//! When the caller's voice was on, as the engine's voice detector told us.
//!
//! Keeps the spans of one turn; all times are microseconds of call audio. Enter at [`Voice`].

/// The voiced stretches of the turn.
#[derive(Debug, Default, Clone)]
pub(super) struct Voice {
    ended: Vec<(u64, u64)>,
    since: Option<u64>,
}

impl Voice {
    /// Voice began at `at`. A second beginning without an end is the same voice.
    pub(super) fn start(&mut self, at: u64) {
        self.since.get_or_insert(at);
    }

    /// `last` is the last voiced moment so far. Without a beginning it means nothing.
    pub(super) fn end(&mut self, last: u64) {
        if let Some(since) = self.since.take() {
            self.ended.push((since, last.max(since)));
        }
    }

    /// When the voice that is on now began.
    pub(super) fn on_since(&self) -> Option<u64> {
        self.since
    }

    /// The last voiced moment before `now`, which is `now` itself if voice was on by then; `None`
    /// when there was none.
    pub(super) fn last(&self, now: u64) -> Option<u64> {
        match self.since {
            Some(since) if since < now => Some(now),
            _ => self.ended.last().map(|span| span.1),
        }
    }

    /// How much of `from..to` was voiced, with `now` as the end of a voice that is still on.
    pub(super) fn within(&self, from: u64, to: u64, now: u64) -> u64 {
        let open = self.since.map(|since| (since, now.max(since)));
        let overlap = |(start, end): (u64, u64)| end.min(to).saturating_sub(start.max(from));
        self.ended.iter().copied().chain(open).map(overlap).sum()
    }

    /// Forgets the ended spans; a voice that is on goes on, counted from `from` at the earliest.
    pub(super) fn restart(&mut self, from: u64) {
        self.ended.clear();
        self.since = self.since.map(|since| since.max(from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voice_is_counted_within_the_asked_stretch_only() {
        let mut voice = Voice::default();
        voice.start(100);
        voice.end(300);
        voice.start(500);
        assert_eq!(voice.within(200, 600, 550), 150);
        assert_eq!((voice.last(550), voice.last(450)), (Some(550), Some(300)));
        voice.restart(520);
        assert_eq!(voice.within(0, 600, 600), 80);
    }

    #[test]
    fn an_end_without_a_beginning_is_no_voice() {
        let mut voice = Voice::default();
        voice.end(300);
        assert_eq!(voice.last(900), None);
    }
}
