//! Which candidate is asked next: as listed, those that are left alone last.

use std::collections::VecDeque;

use super::Setup;
use super::health::{Pass, Used};

impl Setup {
    /// The next of those that `waiting` lists, taken out of it: the first whose breaker lets a request through. When all
    /// are open, the one that is closest to a trial, so that somebody is asked at all.
    pub(super) fn next(
        &self,
        waiting: &mut VecDeque<usize>,
        used: impl Fn(usize) -> Used,
    ) -> Option<(usize, Pass)> {
        let mut listed = waiting.iter().enumerate();
        let free = listed.find_map(|(place, index)| Some((place, self.health.pass(used(*index))?)));
        let (place, pass) = match free {
            Some(free) => free,
            None => {
                let until = |place: &usize| self.health.open_until(&used(waiting[*place]));
                let place = (0..waiting.len()).min_by_key(until)?;
                (place, self.health.pass_anyway(used(waiting[place])))
            }
        };
        Some((waiting.remove(place)?, pass))
    }

    /// Whether one of those is not left alone.
    pub(super) fn has_next(&self, waiting: &VecDeque<usize>, used: impl Fn(usize) -> Used) -> bool {
        waiting.iter().any(|index| self.health.is_free(&used(*index)))
    }
}
