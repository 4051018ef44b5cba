//! What the providers' notes mean to a call: they are counted, and who takes over from whom becomes one of its events.
//!
//! A provider that failed before this call may not be asked in it at all; then no failure of this call says why
//! another works, so [`PassedOver`] does, once. Enter at [`Session::noted`].

use parlance_conversation::Input;
use parlance_providers::notes::Note;
use parlance_providers::registry::Kind;

use super::facts;
use super::run::Session;
use super::usage::Names;

/// Of whom it is known in this call why who works does.
#[derive(Debug, Default)]
pub struct PassedOver {
    transcriber: bool,
    model: bool,
    voice: bool,
}

impl PassedOver {
    /// That the first of its kind is passed over, if this note is the first sign of it.
    fn by(&mut self, note: &Note, first: Names) -> Option<Input> {
        let (kind, works) = match note {
            Note::Used { kind, provider, .. } => (*kind, Some(*provider)),
            // A transcriber is paid for listening, not for words: its first step shows that it works.
            Note::Took { kind: kind @ Kind::Stt, provider, .. } => (*kind, Some(*provider)),
            Note::Failed { kind, .. } | Note::Switched { kind, .. } | Note::Hedged { kind, .. } => {
                (*kind, None)
            }
            Note::WentBack { .. } | Note::Took { .. } | Note::ThrownAway { .. } => return None,
        };
        let (known, first) = match kind {
            Kind::Llm => (&mut self.model, first.model),
            Kind::Tts => (&mut self.voice, first.voice),
            Kind::Stt => (&mut self.transcriber, first.transcriber),
        };
        let was_known = std::mem::replace(known, true);
        let works = works.filter(|works| !was_known && !first.is_empty() && *works != first)?;
        let why = format!("{first} failed before this call and is not asked for now");
        Some(facts::switched(kind, first, works, why))
    }
}

impl Session {
    pub(super) fn noted(&mut self, note: Note) {
        for note in self.voice.noted(note) {
            self.take_note(note);
        }
    }

    fn take_note(&mut self, note: Note) {
        self.metrics.providers.noted(&note);
        if let Note::ThrownAway { usage, .. } = &note {
            self.metrics.threw_away(*usage);
        }
        self.tally.noted(&note, self.caller_audio.listened_us());
        if let Some(trace) = &mut self.trace {
            trace.noted(self.clock.now(), &note);
        }
        if let Some(fact) = self.passed_over.by(&note, self.names) {
            self.feed(fact);
        }
        match note {
            Note::Switched { kind, from, to, error } => {
                self.feed(facts::switched(kind, from, to, error.to_string()));
            }
            Note::WentBack { kind, from, to } => {
                self.feed(facts::switched(kind, from, to, "it may be asked again".to_owned()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parlance_providers::llm::Usage;
    use parlance_providers::notes::Stage;
    use parlance_providers::{Error, ErrorKind};

    use super::*;

    const FIRST: Names = Names { transcriber: "ear", model: "one", voice: "sings" };

    fn used(kind: Kind, provider: &'static str) -> Note {
        Note::Used { kind, provider, model: String::new(), usage: Usage::default(), characters: 0 }
    }

    #[test]
    fn that_the_first_is_not_asked_in_a_call_is_told_once_for_each_kind() {
        let mut passed_over = PassedOver::default();
        let mut told = |note: Note| passed_over.by(&note, FIRST);
        let why = "one failed before this call and is not asked for now".to_owned();
        assert_eq!(told(used(Kind::Llm, "two")), Some(facts::switched(Kind::Llm, "one", "two", why)));
        assert_eq!(told(used(Kind::Llm, "two")), None);
        assert_eq!(told(used(Kind::Tts, "sings")), None, "it is the first");
        assert_eq!(told(used(Kind::Tts, "hums")), None, "then it failed in this call");
        let took = |provider| {
            let (kind, stage) = (Kind::Stt, Stage::FirstOutput);
            Note::Took { kind, provider, stage, time: Duration::from_millis(200), in_turn: false }
        };
        let why = "ear failed before this call and is not asked for now".to_owned();
        assert_eq!(told(took("other ear")), Some(facts::switched(Kind::Stt, "ear", "other ear", why)));
    }

    #[test]
    fn a_failure_of_this_call_says_why_by_itself() {
        let mut passed_over = PassedOver::default();
        let error = Error::new("one", ErrorKind::TimedOut, "slow");
        let switched = Note::Switched { kind: Kind::Llm, from: "one", to: "two", error };
        assert_eq!(passed_over.by(&switched, FIRST), None);
        assert_eq!(passed_over.by(&used(Kind::Llm, "two"), FIRST), None);
        let flow = Names { model: "", ..FIRST };
        assert_eq!(PassedOver::default().by(&used(Kind::Llm, "two"), flow), None, "a flow answers");
    }
}
