//! Which candidate is asked next: as listed, those that are left alone last.

use std::collections::VecDeque;

use super::Setup;
use super::health::Pass;
use crate::registry::Kind;

impl Setup {
    /// The next of those that `waiting` lists, taken out of it: the first whose breaker lets a request through. When all
    /// are open, the one that is closest to a trial, so that somebody is asked at all.
    pub(super) fn next(
        &self,
        kind: Kind,
        waiting: &mut VecDeque<usize>,
        name: impl Fn(usize) -> &'static str,
    ) -> Option<(usize, Pass)> {
        let mut listed = waiting.iter().enumerate();
        let free = listed.find_map(|(place, index)| {
            let pass = self.health.pass(&self.organisation, kind, name(*index))?;
            Some((place, pass))
        });
        let (place, pass) = match free {
            Some(free) => free,
            None => {
                let until =
                    |place: &usize| self.health.open_until(&self.organisation, kind, name(waiting[*place]));
                let place = (0..waiting.len()).min_by_key(until)?;
                (place, self.health.pass_anyway(&self.organisation, kind, name(waiting[place])))
            }
        };
        Some((waiting.remove(place)?, pass))
    }

    /// Whether one of those is not left alone.
    pub(super) fn has_next(
        &self,
        kind: Kind,
        waiting: &VecDeque<usize>,
        name: impl Fn(usize) -> &'static str,
    ) -> bool {
        waiting.iter().any(|index| self.health.is_free(&self.organisation, kind, name(*index)))
    }
}
