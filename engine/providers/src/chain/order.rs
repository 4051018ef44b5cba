//! Which candidates are asked, in which order: as listed, those that are left alone last.

use super::Setup;
use crate::registry::Kind;

impl Setup {
    /// The order in which candidates of these names are asked now. Those whose breaker is open come last, so that
    /// somebody is asked at all.
    pub(super) fn order(&self, kind: Kind, names: &[&'static str]) -> Vec<usize> {
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for (index, name) in names.iter().enumerate() {
            // The trial of a provider that may be back is taken only by who would ask it next.
            let asked = first.is_empty();
            let open = if asked {
                !self.health.may_try(&self.organisation, kind, name)
            } else {
                self.health.is_open(&self.organisation, kind, name)
            };
            if open { &mut last } else { &mut first }.push(index);
        }
        first.append(&mut last);
        first
    }
}
