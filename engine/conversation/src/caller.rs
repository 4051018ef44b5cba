//! The caller: whether there is voice, and the words of the turn that is not decided yet.
//!
//! Joins slices and interims to one text, in order and each word once; knows what earlier turns
//! have taken (E6, B5: words are judged once, by their audio time). Does not decide what words
//! mean. Enter at [`Speech::take`] and [`Hearing`].

use std::time::Duration;

use crate::words::normal;
use crate::{AgentState, CallTime, Transcript, TranscriptKind, TurnId, WordTime};

/// The caller's voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// No voice, and nothing undecided.
    Silent,
    /// Voice is on.
    Speaking { since: CallTime },
    /// Voice ended; undecided what it was.
    Paused { last: CallTime },
}

/// A word as heard, with its place where the transcriber gives one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub text: String,
    pub span: Option<(CallTime, CallTime)>,
}

impl Token {
    fn middle(&self) -> Option<CallTime> {
        self.span.map(|(start, end)| start + end.since(start) / 2)
    }
}

/// The words of a transcript, each with its time if there is one.
pub(crate) fn tokens(transcript: &Transcript) -> Vec<Token> {
    let shown: Vec<&str> = transcript.text.split_whitespace().collect();
    let times = &transcript.words;
    if !times.is_empty() && shown.len() != times.len() {
        return times.iter().map(|w| Token { text: w.text.clone(), span: Some((w.start, w.end)) }).collect();
    }
    let span = |i: usize| times.get(i).map(|w: &WordTime| (w.start, w.end));
    shown.iter().enumerate().map(|(i, text)| Token { text: (*text).to_owned(), span: span(i) }).collect()
}

/// The words, for reading.
pub(crate) fn join(tokens: &[Token]) -> String {
    let words: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    words.join(" ")
}

/// A piece of transcript.
#[derive(Debug, Clone, PartialEq)]
struct Piece {
    tokens: Vec<Token>,
    covers: CallTime,
}

/// Whether the caller's words are a turn yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not decided whether they take the floor.
    Unjudged,
    /// A turn, with its place in the transcript (H4).
    Turn { id: TurnId, sequence: u32 },
}

/// The caller's speech since the last decision.
#[derive(Debug, Clone)]
pub(crate) struct Speech {
    pub standing: Standing,
    /// First voice, or the first word where there was none.
    pub started: CallTime,
    /// What the agent did then, and how far its reply was played (B4, B5).
    pub begun_while: AgentState,
    pub reply_position: Duration,
    /// Words of the same turn that were decided too early (E6), and how often that was.
    base: Vec<Token>,
    pub joins: u32,
    slices: Vec<Piece>,
    interim: Option<Piece>,
    /// Last voiced sample; none while there was only voice-less text.
    pub last_voice: Option<CallTime>,
    /// Audio time of the newest word (E9).
    pub newest_word: CallTime,
    /// When the words were first known to be settled.
    pub settled: Option<CallTime>,
    /// Whether words were taken off as the agent's echo (B8).
    pub echo: bool,
}

impl Speech {
    pub(crate) fn new(started: CallTime, begun_while: AgentState, reply_position: Duration) -> Self {
        Self {
            standing: Standing::Unjudged,
            started,
            begun_while,
            reply_position,
            base: Vec::new(),
            joins: 0,
            slices: Vec::new(),
            interim: None,
            last_voice: None,
            newest_word: started,
            settled: None,
            echo: false,
        }
    }

    /// E6: goes on with the words of a turn that was not over.
    pub(crate) fn rejoin(&mut self, base: Vec<Token>, started: CallTime, standing: Standing, joins: u32) {
        self.base = base;
        self.started = started;
        self.standing = standing;
        self.joins = joins;
    }

    /// Takes a transcript's new words. True if the text changed.
    pub(crate) fn take(&mut self, kind: TranscriptKind, tokens: Vec<Token>, covers: CallTime) -> bool {
        let before = self.text();
        match kind {
            TranscriptKind::Slice => self.add_slice(tokens, covers),
            TranscriptKind::Interim => self.set_interim(tokens, covers),
        }
        let now = self.text();
        if normal(&before) != normal(&now) {
            let end = self.tokens().last().and_then(|token| token.span).map(|(_, end)| end);
            self.newest_word = end.unwrap_or(covers).max(self.newest_word);
        }
        before != now
    }

    /// Slices may come late, doubled or out of order; they stand in order of their audio.
    fn add_slice(&mut self, tokens: Vec<Token>, covers: CallTime) {
        let tokens = self.without_known(tokens);
        self.settle_interim(&tokens, covers);
        let doubled =
            |old: &Piece| old.covers == covers && normal(&join(&old.tokens)) == normal(&join(&tokens));
        if tokens.is_empty() || self.slices.iter().any(doubled) {
            return;
        }
        let at = self.slices.partition_point(|old| old.covers <= covers);
        self.slices.insert(at, Piece { tokens, covers });
    }

    /// Words with times that lie within a slice already taken are that slice's.
    fn without_known(&self, tokens: Vec<Token>) -> Vec<Token> {
        let known = |token: &Token| {
            let Some(middle) = token.middle() else { return false };
            self.slices
                .iter()
                .flat_map(|slice| &slice.tokens)
                .any(|old| old.span.is_some_and(|(start, end)| start <= middle && middle <= end))
        };
        tokens.into_iter().filter(|token| !known(token)).collect()
    }

    /// A slice settles the interim, or its beginning.
    fn settle_interim(&mut self, slice: &[Token], covers: CallTime) {
        let Some(interim) = self.interim.take() else { return };
        if interim.covers <= covers {
            return;
        }
        let timed = interim.tokens.iter().all(|token| token.span.is_some());
        let rest = match timed {
            true => interim.tokens.into_iter().filter(|t| t.middle().is_some_and(|m| m > covers)).collect(),
            false => after_prefix(interim.tokens, &normal(&join(slice))),
        };
        if !rest.is_empty() {
            self.interim = Some(Piece { tokens: rest, covers: interim.covers });
        }
    }

    fn set_interim(&mut self, tokens: Vec<Token>, covers: CallTime) {
        let stale = self.interim.as_ref().is_some_and(|old| old.covers > covers)
            || self.slices.last().is_some_and(|slice| slice.covers > covers);
        if !stale {
            let tokens = self.without_known(tokens);
            self.interim = (!tokens.is_empty()).then_some(Piece { tokens, covers });
        }
    }

    /// All words, in order.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let pieces = self.slices.iter().chain(&self.interim).flat_map(|piece| &piece.tokens);
        self.base.iter().chain(pieces).cloned().collect()
    }

    /// Words that came after the turn was joined; all of them if it was not.
    pub(crate) fn new_text(&self) -> String {
        let pieces = self.slices.iter().chain(&self.interim).flat_map(|piece| &piece.tokens);
        join(&pieces.cloned().collect::<Vec<_>>())
    }

    pub(crate) fn text(&self) -> String {
        join(&self.tokens())
    }

    /// The words no slice has settled: they may come again.
    fn unsettled(&self) -> Vec<String> {
        self.interim.as_ref().map(|piece| normal(&join(&piece.tokens))).unwrap_or_default()
    }

    pub(crate) fn is_turn(&self) -> bool {
        matches!(self.standing, Standing::Turn { .. })
    }

    pub(crate) fn has_words(&self) -> bool {
        !self.base.is_empty() || !self.slices.is_empty() || self.interim.is_some()
    }
}

/// The words after `prefix`; all of them if they do not begin with it.
fn after_prefix(tokens: Vec<Token>, prefix: &[String]) -> Vec<Token> {
    let mut left = prefix;
    for (i, token) in tokens.iter().enumerate() {
        if left.is_empty() {
            return tokens[i..].to_vec();
        }
        let words = normal(&token.text);
        match left.strip_prefix(words.as_slice()) {
            Some(rest) => left = rest,
            None if words.len() > left.len() && words.starts_with(left) => left = &[],
            None => {
                return if i * 2 >= prefix.len() {
                    tokens[prefix.len().min(tokens.len())..].to_vec()
                } else {
                    tokens
                };
            }
        }
    }
    Vec::new()
}

/// What the transcriber has listened to, how late it is, and which words are used up.
#[derive(Debug, Clone)]
pub(crate) struct Hearing {
    /// How far the transcriber has listened.
    pub covers: Option<CallTime>,
    /// The same, for words it stands by: a slice, or its answer to finalize.
    sure: Option<CallTime>,
    /// Finalize was asked for since the voice ended.
    pub finalizing: bool,
    /// 95th percentile of its lag: as configured, then learnt.
    pub lag: Duration,
    /// Last voiced sample whose words the transcriber still owes.
    pub owed_since: Option<CallTime>,
    /// The provider told the end of a turn, or was made to close it, and no words came since (E5).
    pub ended: bool,
    /// Audio up to here has been judged.
    judged_until: CallTime,
    /// Judged words that no slice has settled: the transcriber may send them again.
    judged_words: Vec<String>,
}

/// A lag above this is an outage, not a lag to learn.
const LAG_MAX: Duration = Duration::from_secs(2);

impl Hearing {
    pub(crate) fn new(lag: Duration) -> Self {
        Self {
            covers: None,
            sure: None,
            finalizing: false,
            lag,
            owed_since: None,
            ended: false,
            judged_until: CallTime::ZERO,
            judged_words: Vec::new(),
        }
    }

    pub(crate) fn listened(&mut self, transcript: &Transcript) {
        let covers = transcript.covers_until;
        self.covers = self.covers.max(covers);
        if self.finalizing || transcript.kind == TranscriptKind::Slice {
            self.sure = self.sure.max(covers);
        }
    }

    /// Another transcriber listens, from here on, with this lag.
    pub(crate) fn begin_again(&mut self, from: CallTime, lag: Duration) {
        self.covers = self.covers.map(|covers| covers.min(from));
        self.sure = self.sure.map(|sure| sure.min(from));
        self.lag = lag;
        self.ended = false;
    }

    /// Whether no more words can come of the audio up to `last`.
    pub(crate) fn is_sure_of(&self, last: CallTime) -> bool {
        self.sure.is_some_and(|sure| sure >= last)
    }

    /// Rises at once and falls slowly, so it stays near the high percentiles.
    pub(crate) fn learn(&mut self, now: CallTime) {
        let Some(lag) = self.owed_since.map(|since| now.since(since)).filter(|lag| *lag <= LAG_MAX) else {
            return;
        };
        self.lag = if lag > self.lag { lag } else { (self.lag * 31 + lag) / 32 };
    }

    /// Takes off the words that earlier decisions have judged.
    pub(crate) fn unjudged(&mut self, transcript: &Transcript, tokens: Vec<Token>) -> Vec<Token> {
        let timed = !tokens.is_empty() && tokens.iter().all(|token| token.span.is_some());
        let rest = if timed {
            tokens.into_iter().filter(|token| token.middle().is_some_and(|m| m > self.judged_until)).collect()
        } else if transcript.covers_until.is_some_and(|covers| covers <= self.judged_until) {
            Vec::new()
        } else if self.judged_words.is_empty() {
            tokens
        } else {
            after_prefix(tokens, &self.judged_words)
        };
        if transcript.kind == TranscriptKind::Slice {
            self.judged_words.clear();
        }
        rest
    }

    /// Whether this is the slice of words that were judged as an interim: the usual end of a turn.
    pub(crate) fn only_closes(&self, transcript: &Transcript) -> bool {
        transcript.kind == TranscriptKind::Slice
            && !self.judged_words.is_empty()
            && normal(&transcript.text) == self.judged_words
    }

    /// The words of this speech are used up, whatever came of them.
    pub(crate) fn judged(&mut self, speech: &Speech) {
        let spoken = speech.tokens().iter().filter_map(|token| token.span).map(|(_, end)| end).max();
        let until = self.covers.or(spoken.max(speech.last_voice)).unwrap_or(CallTime::ZERO);
        self.judged_until = self.judged_until.max(until);
        self.judged_words = speech.unsettled();
    }

    /// Whether all of the audio up to `last` has been listened to.
    pub(crate) fn has_covered(&self, last: CallTime) -> bool {
        self.covers.is_some_and(|covers| covers >= last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, covers: u64) -> Transcript {
        let covers_until = Some(CallTime::from_millis(covers));
        Transcript { kind: TranscriptKind::Slice, text: text.into(), words: Vec::new(), covers_until }
    }

    fn speech() -> Speech {
        Speech::new(CallTime::ZERO, AgentState::Listening, Duration::ZERO)
    }

    fn take(speech: &mut Speech, kind: TranscriptKind, text: &str, covers: u64) {
        let transcript = plain(text, covers);
        speech.take(kind, tokens(&transcript), CallTime::from_millis(covers));
    }

    #[test]
    fn slices_out_of_order_late_and_doubled_make_one_text() {
        let mut speech = speech();
        take(&mut speech, TranscriptKind::Slice, "for four", 2_000);
        take(&mut speech, TranscriptKind::Slice, "a table", 1_000);
        take(&mut speech, TranscriptKind::Slice, "for four", 2_000);
        take(&mut speech, TranscriptKind::Interim, "stale", 1_500);
        take(&mut speech, TranscriptKind::Interim, "on Friday", 3_000);
        assert_eq!(speech.text(), "a table for four on Friday");
        take(&mut speech, TranscriptKind::Slice, "on Friday.", 3_000);
        assert_eq!(speech.text(), "a table for four on Friday.");
    }

    #[test]
    fn words_of_a_judged_interim_are_not_taken_again() {
        let (mut hearing, mut first) = (Hearing::new(Duration::ZERO), speech());
        take(&mut first, TranscriptKind::Interim, "book a table", 1_000);
        hearing.listened(&plain("book a table", 1_000));
        hearing.judged(&first);
        let grown = plain("book a table for four", 2_000);
        assert_eq!(join(&hearing.unjudged(&grown, tokens(&grown))), "for four");
        let same = plain("book a table", 1_000);
        assert_eq!(hearing.unjudged(&same, tokens(&same)), []);
    }
}
