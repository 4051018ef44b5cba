//! One call's listening: from audio and voice marks to interims and slices.
//!
//! Decides when an utterance is decoded and which text stands. While voice is on, the audio is
//! decoded as it comes, for interims; when asked to finalize, the whole turn so far is decoded anew,
//! because levelling the channel over all of it is what makes noisy speech come out right (23 ms of
//! CPU a second of audio). So a turn spoken with a pause in the middle gives exactly the text it
//! gives undivided. Decides nothing about the end of a turn. Enter at [`Listening`].

use std::sync::Arc;

use super::decoder::{Decoder, Heard};
use super::gate::{plausible, plausible_beginning};
use super::kept::{Kept, sample_at, us_of};
use super::stable::Stable;
use super::voice::Voice;
use crate::Error;
use crate::stt::{Control, Event, Expectation, Transcript, Word};

/// An utterance is decoded from so long before its voice was noticed.
const RUN_UP_US: u64 = 250_000;
/// Kept in silence: the run-up plus the time the detector takes to be sure.
const SILENCE_KEPT_US: u64 = 500_000;
/// A turn that closes while voice is on takes a younger voice than this along to the next one …
const YOUNG_VOICE_US: u64 = 600_000;
/// … and leaves so much of an older one, so that a word cut in two is heard in the next turn.
const OLD_VOICE_KEPT_US: u64 = 300_000;
/// Decoded after the last voiced moment; the rest of a long silence would only cost time.
const RUN_OUT_US: u64 = 400_000;
/// After such a pause what was said before is settled by itself: no engine waits longer.
const PAUSE_US_MAX: u64 = 4_000_000;
/// The longest stretch decoded as one, so that a noise that never ends can't fill the memory.
const TURN_US_MAX: u64 = 30_000_000;
/// How often a partial result is looked at, of audio.
const PARTIAL_EVERY_US: u64 = 200_000;

/// Where results go.
pub(super) type Emit = Box<dyn Fn(Event) + Send>;

/// The state of one call.
pub(super) struct Listening {
    decoder: Decoder,
    emit: Emit,
    has_grammar: bool,
    kept: Kept,
    voice: Voice,
    /// Where the turn's audio begins; `None` until there was voice in it.
    turn_from: Option<u64>,
    /// How far the open utterance is decoded; `None` when none is open.
    fed_to: Option<u64>,
    /// The words of the turn and the sample up to which they were decoded.
    decided: Option<(u64, Vec<Word>)>,
    stable: Stable,
    partial_at: u64,
    covered_us: u64,
}

impl Listening {
    /// Listens with `decoder` for `expectation`.
    pub(super) fn new(decoder: Decoder, expectation: &Expectation, emit: Emit) -> Result<Self, Error> {
        let mut listening = Self {
            decoder,
            emit,
            has_grammar: false,
            kept: Kept::default(),
            voice: Voice::default(),
            turn_from: None,
            fed_to: None,
            decided: None,
            stable: Stable::default(),
            partial_at: 0,
            covered_us: 0,
        };
        listening.expect(expectation.jsgf.as_ref())?;
        Ok(listening)
    }

    /// The caller's next samples.
    pub(super) fn hear(&mut self, samples: &[i16]) -> Result<(), Error> {
        self.kept.push(samples);
        if self.turn_from.is_none() {
            self.kept.forget_before(self.kept.end().saturating_sub(sample_at(SILENCE_KEPT_US)));
        }
        self.go_on()?;
        match self.turn_from {
            Some(from) if self.kept.end() - from > sample_at(TURN_US_MAX) => self.settle(),
            _ => Ok(()),
        }
    }

    /// Something beside the audio, in order with it.
    pub(super) fn control(&mut self, control: Control) -> Result<(), Error> {
        match control {
            Control::VoiceStarted(at) => self.voice_started(at),
            Control::VoiceEnded(last) => {
                self.voice.end(last);
                Ok(())
            }
            Control::Finalize => self.finalize(),
            Control::NextTurn(expectation) => self.next_turn(&expectation),
        }
    }

    fn voice_started(&mut self, at: u64) -> Result<(), Error> {
        let last = self.voice.last(self.now_us());
        if self.turn_from.is_some() && last.is_some_and(|last| at > last + PAUSE_US_MAX) {
            self.settle()?;
        }
        self.voice.start(at);
        self.go_on()
    }

    /// Decodes what came since, and opens an utterance where voice is on and none is open.
    fn go_on(&mut self) -> Result<(), Error> {
        if !self.has_grammar {
            return Ok(());
        }
        if self.fed_to.is_none() {
            let Some(since) = self.voice.on_since() else { return Ok(()) };
            let from = sample_at(since.saturating_sub(RUN_UP_US)).max(self.kept.start());
            let from = *self.turn_from.get_or_insert(from);
            self.decoder.begin()?;
            self.stable.restart();
            self.fed_to = Some(from);
            self.partial_at = self.kept.end();
        }
        let Some(fed_to) = self.fed_to.replace(self.kept.end()) else { return Ok(()) };
        self.decoder.feed(self.kept.between(fed_to, self.kept.end()))?;
        if self.kept.end() - self.partial_at >= sample_at(PARTIAL_EVERY_US) {
            self.partial_at = self.kept.end();
            self.tell_partial();
        }
        Ok(())
    }

    /// An interim of the words that stood unchanged in two looks and can have been said.
    fn tell_partial(&mut self) {
        let Some(from) = self.turn_from else { return };
        let now = self.now_us();
        let words = self.stable.stood(timed(self.decoder.words(), from));
        let words = plausible(words, &self.voice, now);
        let Some(last) = words.last().map(|word| word.start_us) else { return };
        if self.stable.is_news(&words) {
            // Not `now`: the last word may still grow or be followed, so it must not look settled.
            self.covered_us = self.covered_us.max(last);
            self.stable.told(&words);
            (self.emit)(Event::Interim(transcript(words, self.covered_us)));
        }
    }

    fn finalize(&mut self) -> Result<(), Error> {
        let words = self.decide(self.kept.end())?;
        self.stable.told(&words);
        self.covered_us = self.now_us();
        (self.emit)(Event::Interim(transcript(words, self.covered_us)));
        Ok(())
    }

    /// The turn's words in the audio before `until`, decoded as a whole. Ends the open utterance.
    fn decide(&mut self, until: u64) -> Result<Vec<Word>, Error> {
        let Some(from) = self.turn_from else { return Ok(Vec::new()) };
        let last = self.voice.last(us_of(until)).unwrap_or(0);
        // What was told once is not revised for mere silence after it.
        if let Some((decided_to, words)) = &self.decided
            && *decided_to >= sample_at(last)
        {
            return Ok(words.clone());
        }
        let until = until.min(sample_at(last + RUN_OUT_US));
        self.fed_to = None;
        let whole = self.decoder.decode(self.kept.between(from, until))?;
        let words = timed(whole.words, from);
        let judge = if whole.is_complete { plausible } else { plausible_beginning };
        let words = judge(words, &self.voice, us_of(until));
        self.decided = Some((until, words.clone()));
        Ok(words)
    }

    /// Closes what was heard before this moment, and goes on with an empty turn and the same grammar.
    fn settle(&mut self) -> Result<(), Error> {
        let now = self.kept.end();
        let next = match self.voice.on_since() {
            // The caller began while the turn was being decided: that belongs to what comes next.
            Some(since) if us_of(now) < since + YOUNG_VOICE_US => sample_at(since.saturating_sub(RUN_UP_US)),
            Some(_) => now.saturating_sub(sample_at(OLD_VOICE_KEPT_US)),
            None => now,
        };
        let is_young = self.voice.on_since().is_some_and(|since| us_of(next) <= since);
        let words = self.decide(if is_young { next } else { now })?;
        if !words.is_empty() {
            self.covered_us = self.covered_us.max(us_of(next));
            (self.emit)(Event::Slice(transcript(words, self.covered_us)));
        }
        self.decoder.end();
        self.fed_to = None;
        self.decided = None;
        self.voice.restart(us_of(next));
        self.turn_from = self.voice.on_since().map(|_| next.max(self.kept.start()));
        self.stable = Stable::default();
        self.kept.forget_before(next.min(now.saturating_sub(sample_at(SILENCE_KEPT_US))));
        Ok(())
    }

    fn next_turn(&mut self, expectation: &Expectation) -> Result<(), Error> {
        self.settle()?;
        self.expect(expectation.jsgf.as_ref())?;
        self.go_on()
    }

    fn expect(&mut self, jsgf: Option<&Arc<str>>) -> Result<(), Error> {
        self.has_grammar = jsgf.is_some();
        match jsgf {
            Some(jsgf) => self.decoder.listen_for(jsgf),
            None => {
                self.turn_from = None;
                Ok(())
            }
        }
    }

    fn now_us(&self) -> u64 {
        us_of(self.kept.end())
    }
}

/// Frames of an utterance that begins at sample `from`, as times of the call.
fn timed(words: Vec<Heard>, from: u64) -> Vec<Word> {
    let us = |frame: u32| us_of(from) + u64::from(frame) * 10_000;
    words
        .into_iter()
        .map(|word| Word { start_us: us(word.start), end_us: us(word.end), text: word.text })
        .collect()
}

fn transcript(words: Vec<Word>, covers_until_us: u64) -> Transcript {
    let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    Transcript { text, words, covers_until_us: Some(covers_until_us) }
}
