//! Listening: the caller's voice and words become the speech that is going on.
//!
//! Opens it, joins what belongs to it, learns how late the transcriber is, and drops it when it was
//! no turn. When the turn is over is decided in `endpointing`, whose floor it is in `barge_in`. Enter
//! at [`Conversation::transcript`].

use std::time::Duration;

use crate::Transcriber;
use crate::caller::{Caller, Speech, Standing, Token, join, tokens};
use crate::endpointing::FINALIZE_AFTER;
use crate::{
    Action, CallTime, Conversation, Deadline, DropReason, Entry, Event, Expectation, Speaker, Transcript,
    TranscriptKind, WordTime,
};

/// A word this long after the last voiced sample was not noticed by the voice detector (B5).
const UNVOICED: Duration = Duration::from_millis(300);

impl Conversation {
    pub(crate) fn voice_started(&mut self, at: CallTime) {
        self.caller = Caller::Speaking { since: at };
        self.hearing.owed_since = None;
        self.hearing.finalizing = false;
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
        self.hearing.listened(transcript);
        let all = tokens(transcript);
        let closing = self.hearing.only_closes(transcript);
        let said = !all.is_empty();
        let fresh = self.hearing.unjudged(transcript, all);
        let late = said && fresh.is_empty();
        let count = fresh.len();
        let fresh = self.playing.without_echo(fresh);
        let echo = fresh.len() < count;
        if late && !closing && self.speech.is_none() {
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
            // A slice is the end of the provider's turn, whoever closed it.
            self.hearing.ended &= transcript.kind == TranscriptKind::Slice;
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
    /// E3: nobody has listened to what lies behind `from` any more.
    pub(crate) fn transcriber_replaced(&mut self, transcriber: Transcriber, from: CallTime) {
        self.hearing.begin_again(from, transcriber.lag_p95);
        let recovery = self.policy.transcriber.recovery;
        self.policy.transcriber = Transcriber { recovery, ..transcriber };
    }

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

    /// The speech was no turn: its words are used up.
    pub(crate) fn drop_speech(&mut self, why: DropReason) {
        let Some(speech) = self.speech.take() else { return };
        if speech.has_words() {
            self.hearing.judged(&speech); // of wordless voice the words may still come (E2)
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

    /// E3: some ask for their last words.
    pub(crate) fn finalize(&mut self) {
        self.hearing.finalizing = true;
        self.act(Action::FinalizeTranscript);
    }

    /// The transcriber's turn is closed, and this may come next.
    pub(crate) fn expect(&mut self, expectation: Expectation) {
        self.expectation = expectation.clone();
        self.hearing.ended = true; // of words that are still open no end comes (E5)
        self.act(Action::Expect(expectation));
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
