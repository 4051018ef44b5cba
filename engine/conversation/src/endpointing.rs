//! Endpointing (E): when a silent caller has finished the turn.
//!
//! Takes the silence so far, the words so far and what was asked; gives one deadline, and closes the
//! turn when it is due. Starts no reply. Enter at [`Conversation::watch_turn_end`]. It waits longer
//! after "and" or half a phone number, because cutting a caller off costs more than 400 ms of quiet.

use std::time::Duration;

use crate::answer::CallerTurn;
use crate::caller::{Caller, Speech, Standing, Token, join, tokens};
use crate::flow::{Completeness, SlotKind};
use crate::words::{ends_open, ends_question, ends_sentence, normal};
use crate::{
    Action, CallTime, Conversation, Deadline, DropReason, Entry, Event, Expectation, Responder, Speaker,
    Transcript, TurnEndReason, TurnSignal, WaitReason, WordTime,
};

/// E1: the wait is never shorter or longer than this.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_millis(3_000);
/// E3: finalize is asked for this long after the voice ended.
pub(crate) const FINALIZE_AFTER: Duration = Duration::from_millis(100);
/// E3: settlement may take this much longer than the provider's 95th percentile.
const SETTLE_GRACE: Duration = Duration::from_millis(300);
/// E9: voice without new words for this much longer than the wait is no speech.
const WORDLESS: Duration = Duration::from_millis(600);
/// A word this long after the last voiced sample was not noticed by the voice detector (B5).
const UNVOICED: Duration = Duration::from_millis(300);

impl Conversation {
    pub(crate) fn voice_started(&mut self, at: CallTime) {
        self.caller = Caller::Speaking { since: at };
        self.hearing.owed_since = None;
        self.open_speech(at);
        self.deadlines.clear(Deadline::Finalize);
        self.deadlines.clear(Deadline::EndOfTurn); // E4: the same turn goes on
        self.caller_is_heard(at);
    }

    pub(crate) fn voice_ended(&mut self, last: CallTime) {
        self.caller = Caller::Paused { last };
        self.hearing.owed_since = Some(last);
        if let Some(speech) = &mut self.speech {
            speech.last_voice = speech.last_voice.max(Some(last));
        }
        self.deadlines.set(Deadline::Finalize, last + FINALIZE_AFTER);
        self.caller_falls_silent(last);
    }

    /// The speech that is going on, or a new one.
    pub(crate) fn open_speech(&mut self, at: CallTime) -> &mut Speech {
        let (state, position) =
            (self.agent.state(), self.agent.reply().map_or(Duration::ZERO, |reply| reply.position));
        self.speech.get_or_insert_with(|| Speech::new(at, state, position))
    }

    /// Words: joined to the speech that is going on, judged by their audio time (B5).
    pub(crate) fn transcript(&mut self, transcript: &Transcript) {
        self.hearing.listened(transcript.covers_until);
        let all = tokens(transcript);
        let said = !all.is_empty();
        let fresh = self.hearing.unjudged(transcript, all);
        let late = said && fresh.is_empty();
        let count = fresh.len();
        let fresh = self.playing.without_echo(fresh);
        let echo = fresh.len() < count;
        if late && self.speech.is_none() {
            self.dropped(transcript.text.clone(), DropReason::Late);
        } else if echo {
            self.dropped(transcript.text.clone(), DropReason::Echo);
        }
        self.learn_lag(!fresh.is_empty());
        if fresh.is_empty() && self.speech.is_none() {
            return;
        }
        self.take_words(transcript, fresh, echo);
    }

    fn take_words(&mut self, transcript: &Transcript, fresh: Vec<Token>, echo: bool) {
        let begun = fresh.first().and_then(|token| token.span).map(|(start, _)| start);
        let ended = fresh.last().and_then(|token| token.span).map(|(_, end)| end);
        let audio = self.now.audio;
        let covers = transcript.covers_until.or(ended).unwrap_or(audio);
        let has_words = !fresh.is_empty();
        let speech = self.open_speech(begun.unwrap_or(covers).min(audio));
        speech.echo |= echo;
        let changed = speech.take(transcript.kind, fresh, covers);
        let (standing, text) = (speech.standing, speech.text());
        if has_words {
            self.count_as_voice(begun, ended.unwrap_or(covers));
        }
        if let (true, Standing::Turn { id, .. }) = (changed, standing) {
            self.tell_interim(id, text);
        }
    }

    /// B5: words without voice count as voice from the first word's time.
    fn count_as_voice(&mut self, begun: Option<CallTime>, ended: CallTime) {
        let ended = ended.min(self.now.audio.max(begun.unwrap_or(ended)));
        let last = match self.caller {
            Caller::Speaking { .. } => return,
            Caller::Paused { last } if ended <= last + UNVOICED => return,
            Caller::Paused { .. } | Caller::Silent => ended,
        };
        let known = self.speech.as_ref().and_then(|speech| speech.last_voice);
        let last = if begun.is_none() { known.unwrap_or(last) } else { last };
        self.caller = Caller::Paused { last };
        if let Some(speech) = &mut self.speech {
            speech.last_voice = speech.last_voice.max(Some(last));
        }
        self.deadlines.set(Deadline::Finalize, last + FINALIZE_AFTER);
    }

    fn tell_interim(&mut self, turn: crate::TurnId, text: String) {
        let words = self.speech.as_ref().map(|speech| word_times(&speech.tokens())).unwrap_or_default();
        self.tell(Event::CallerInterim { turn, text, words });
    }

    /// How late the transcriber is after the voice ended: by its watermark, or by the words it owed.
    fn learn_lag(&mut self, words: bool) {
        let settles = match self.policy.transcriber.watermark {
            true => self.hearing.owed_since.is_some_and(|last| self.hearing.has_covered(last)),
            false => words,
        };
        if settles {
            self.hearing.learn(self.now.clock);
            self.hearing.owed_since = None;
        }
    }

    /// The words begin a turn.
    pub(crate) fn accept_speech(&mut self) {
        let (turn, sequence) = (self.ids.turn(), self.ids.sequence());
        let Some(speech) = &mut self.speech else { return };
        speech.standing = Standing::Turn { id: turn, sequence };
        let (at, text) = (speech.started, speech.text());
        self.remainder = None;
        self.tell(Event::TurnStarted { turn, at });
        self.tell_interim(turn, text);
    }

    /// Everything the caller said up to the last voiced sample has been listened to.
    pub(crate) fn is_settled(&self, last: CallTime) -> bool {
        if self.policy.transcriber.watermark {
            self.hearing.has_covered(last)
        } else {
            self.now.clock >= last + self.hearing.lag
        }
    }

    /// When the words are taken as they are, settled or not.
    pub(crate) fn settles_by(&self, last: CallTime) -> CallTime {
        match self.policy.transcriber.watermark {
            true => last + FINALIZE_AFTER + self.hearing.lag + SETTLE_GRACE,
            false => last + self.hearing.lag,
        }
    }

    /// Sets the one deadline at which the speech that is going on is decided.
    pub(crate) fn watch_turn_end(&mut self) {
        let due = match (&self.speech, self.caller) {
            (Some(speech), Caller::Speaking { .. }) => self.wordless_due(speech),
            (Some(speech), Caller::Paused { last }) if speech.is_turn() => Some(self.turn_due(speech, last)),
            (Some(_), Caller::Paused { last }) => Some(self.settles_by(last)),
            (Some(_), Caller::Silent) | (None, _) => None,
        };
        self.note_settlement();
        match due {
            Some(due) => self.deadlines.set(Deadline::EndOfTurn, due),
            None => self.deadlines.clear(Deadline::EndOfTurn),
        }
        if let Some(due) = due {
            self.tell_waiting(due);
        }
        if self.speech.is_none() && matches!(self.caller, Caller::Paused { .. }) {
            self.caller = Caller::Silent;
            self.deadlines.clear(Deadline::Finalize);
        }
    }

    fn note_settlement(&mut self) {
        let Caller::Paused { last } = self.caller else {
            self.speech.iter_mut().for_each(|speech| speech.settled = None);
            return;
        };
        let (settled, clock) = (self.is_settled(last), self.now.clock);
        if let Some(speech) = &mut self.speech {
            speech.settled = settled.then(|| speech.settled.unwrap_or(clock));
        }
    }

    /// E1, E3.
    fn turn_due(&self, speech: &Speech, last: CallTime) -> CallTime {
        let due = last + self.wait(speech, self.is_settled(last)).0;
        if self.is_settled(last) { due } else { due.max(self.settles_by(last)) }
    }

    /// E9: voice goes on, the transcriber listens on, and no word comes.
    fn wordless_due(&self, speech: &Speech) -> Option<CallTime> {
        if !speech.is_turn() || !speech.has_words() {
            return None;
        }
        let due = speech.newest_word + self.wait(speech, false).0 + WORDLESS;
        let listening = !self.policy.transcriber.watermark || self.hearing.has_covered(due);
        (listening || due > self.now.clock).then_some(due)
    }

    fn tell_waiting(&mut self, until: CallTime) {
        let Some(speech) = &self.speech else { return };
        let (Standing::Turn { id, .. }, Caller::Paused { last }) = (speech.standing, self.caller) else {
            return;
        };
        if self.waiting_told != Some((id, until)) {
            let why = self.wait(speech, self.is_settled(last)).1;
            self.waiting_told = Some((id, until));
            self.tell(Event::Waiting { turn: id, until, why });
        }
    }

    /// E1: the table. Value complete wins; else the most patient row that fits.
    fn wait(&self, speech: &Speech, settled: bool) -> (Duration, WaitReason) {
        let (text, asked) = (speech.text(), self.asked());
        let (given, asks) = (asked.judge(&text), !asked.slots.is_empty() || !asked.options.is_empty());
        let (factor, why) = if asks && settled && given == Completeness::Complete {
            (0.4, WaitReason::ValueComplete)
        } else if asks && given == Completeness::Partial {
            (2.5, WaitReason::ValueIncomplete)
        } else if ends_open(&text) {
            (2.0, WaitReason::OpenEnded)
        } else if !settled {
            (1.0, WaitReason::NotSettled)
        } else if !asks && ends_sentence(&text) {
            (0.6, WaitReason::FinishedSentence)
        } else {
            (1.0, WaitReason::Ordinary)
        };
        let base = (1_200.0 - 1_000.0 * self.policy.turn_taking.responsiveness.clamp(0.0, 1.0)) / 1_000.0;
        (Duration::from_secs_f64(base * factor).clamp(WAIT_MIN, WAIT_MAX), why)
    }

    /// What was asked: the flow's expectation; without a flow, what the agent's last heard sentence asks.
    fn asked(&self) -> Expectation {
        match self.policy.responder {
            Responder::Flow { .. } => self.expectation.clone(),
            Responder::Model { .. } => {
                let heard = self.agent.reply().or(self.previous.as_deref());
                heard.map(|reply| asked_by(&reply.last_sentence_heard())).unwrap_or_default()
            }
        }
    }

    pub(crate) fn end_of_turn_due(&mut self) {
        let Some(speech) = self.speech.as_ref().filter(|speech| speech.is_turn() && speech.has_words())
        else {
            return;
        };
        let reason = match self.caller {
            Caller::Paused { last } if self.is_settled(last) => match self.wait(speech, true).1 {
                WaitReason::ValueComplete => TurnEndReason::ValueComplete,
                _ => TurnEndReason::Silence,
            },
            Caller::Speaking { .. } if self.wordless_due(speech).is_none_or(|due| due > self.now.clock) => {
                return;
            }
            Caller::Paused { .. } | Caller::Speaking { .. } | Caller::Silent => TurnEndReason::MaxWait,
        };
        self.decide(reason);
    }

    /// E5.
    pub(crate) fn provider_turn(&mut self, signal: TurnSignal) {
        self.tell(Event::ProviderTurn { signal });
        let is_turn = self.speech.as_ref().is_some_and(|speech| speech.is_turn() && speech.has_words());
        match signal {
            TurnSignal::Start => self.provider_hears_voice(),
            TurnSignal::End if is_turn && self.policy.turn_taking.trust_provider_turns => {
                self.decide(TurnEndReason::Provider);
            }
            TurnSignal::End | TurnSignal::EagerEnd | TurnSignal::Resumed => {}
        }
    }

    /// Closes the turn (E8) and has it answered, now or when the floor is free.
    fn decide(&mut self, reason: TurnEndReason) {
        let Some(speech) = self.speech.take() else { return };
        let Standing::Turn { id, sequence } = speech.standing else { return };
        self.hearing.judged(&speech);
        let wait_until = self.waiting_told.filter(|(turn, _)| *turn == id).map(|(_, until)| until);
        if matches!(self.caller, Caller::Paused { .. }) {
            self.caller = Caller::Silent;
        }
        let last_voice = speech.last_voice.or(match self.caller {
            Caller::Speaking { .. } => Some(speech.newest_word),
            Caller::Silent | Caller::Paused { .. } => None,
        });
        self.deadlines.clear(Deadline::EndOfTurn);
        self.deadlines.clear(Deadline::Finalize);
        self.turn_ended(CallerTurn {
            id,
            sequence,
            tokens: speech.tokens(),
            started: speech.started,
            last_voice,
            wait_until,
            settled: speech.settled,
            joins: speech.joins,
            reason,
        });
    }

    /// The speech was no turn: its words are used up.
    pub(crate) fn drop_speech(&mut self, why: DropReason) {
        let Some(speech) = self.speech.take() else { return };
        self.hearing.judged(&speech);
        if speech.has_words() {
            self.dropped(speech.text(), why);
        }
    }

    /// The call ends in the middle of a turn: its words are not lost.
    pub(crate) fn tell_undecided_words(&mut self) {
        let Some(speech) = self.speech.take() else { return };
        let Standing::Turn { id, sequence } = speech.standing else { return };
        let end = speech.last_voice.unwrap_or(speech.newest_word);
        self.tell(Event::Said(caller_entry(id, sequence, &speech.tokens(), (speech.started, end), false)));
    }
}

/// A caller's entry of the transcript.
pub(crate) fn caller_entry(
    turn: crate::TurnId,
    sequence: u32,
    tokens: &[Token],
    (start, end): (CallTime, CallTime),
    typed: bool,
) -> Entry {
    Entry {
        sequence,
        speaker: Speaker::Caller,
        turn: Some(turn),
        reply: None,
        text: join(tokens),
        unheard: String::new(),
        start,
        end: end.max(start),
        words: word_times(tokens),
        estimated: false,
        interrupted_at: None,
        typed,
    }
}

fn word_times(tokens: &[Token]) -> Vec<WordTime> {
    let timed =
        |token: &Token| token.span.map(|(start, end)| WordTime { text: token.text.clone(), start, end });
    tokens.iter().filter_map(timed).collect()
}

/// Words that begin a question to be answered with yes or no.
const YES_NO: &[&str] = &[
    "is", "are", "was", "were", "do", "does", "did", "can", "could", "will", "would", "shall", "should",
    "have", "has", "may", "am",
];

/// E1: what a sentence of the agent asks for, without a flow to say it.
fn asked_by(sentence: &str) -> Expectation {
    let words = normal(sentence);
    let has =
        |any: &[&str]| any.iter().any(|wanted| words.iter().any(|word| *word == normal(wanted).join(" ")));
    if !ends_question(sentence) && !has(&["please", "tell", "give"]) {
        return Expectation::default();
    }
    if let Some(options) = options_of(sentence) {
        return Expectation {
            slots: vec![SlotKind::Option { options: options.clone() }],
            options,
            jsgf: None,
        };
    }
    let kind = if has(&["phone", "telephone", "number", "card"]) {
        SlotKind::Phone
    } else if has(&["name"]) {
        SlotKind::PersonName
    } else if has(&["date", "day"]) {
        SlotKind::Date
    } else if words.first().is_some_and(|first| YES_NO.iter().any(|word| normal(word).first() == Some(first)))
    {
        SlotKind::YesNo
    } else {
        return Expectation::default();
    };
    Expectation { slots: vec![kind], ..Expectation::default() }
}

/// "Friday or Saturday?" lists its options.
fn options_of(sentence: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = sentence.split_whitespace().collect();
    let or = words.iter().position(|word| word.eq_ignore_ascii_case("or"))?;
    let plain = |word: &&str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let (before, after) = (words[..or].last().map(plain)?, words[or + 1..].last().map(plain)?);
    (words.len() - or <= 3 && !before.is_empty() && !after.is_empty()).then(|| vec![before, after])
}

/// The transcriber's turn is closed, and this may come next.
impl Conversation {
    pub(crate) fn expect(&mut self, expectation: Expectation) {
        self.expectation = expectation.clone();
        self.act(Action::Expect(expectation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_of_the_agent_says_what_it_asks_for() {
        let kind = |sentence: &str| asked_by(sentence).slots.first().cloned();
        let options = vec!["Friday".to_owned(), "Saturday".to_owned()];
        assert_eq!(kind("Would you like Friday or Saturday?"), Some(SlotKind::Option { options }));
        assert_eq!(kind("What is your phone number?"), Some(SlotKind::Phone));
        assert_eq!(kind("Please tell me your name."), Some(SlotKind::PersonName));
        assert_eq!(kind("Is that correct?"), Some(SlotKind::YesNo));
        assert_eq!(kind("I have a table at seven."), None);
    }
}
