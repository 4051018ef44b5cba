//! Transcribers one after another: a stream that breaks or goes mute is replaced and fed the audio since the last
//! settled slice.
//!
//! Has no task and no timer of its own: the caller's frames are its clock, and they come every 20 ms as long as the call
//! lasts. Once a turn is decided and nobody speaks it goes back to the best candidate that may be asked again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::health::Pass;
use super::replay::{Replay, shifted};
use super::told::{Fed, Shared, Turn, locked};
use super::{Listening, Setup};
use crate::audio::{Audio, AudioFormat, Convert, Converters};
use crate::notes::{Note, Stage};
use crate::registry::Kind;
use crate::stt::{Capabilities, Control, Event, Expectation, Listener, Settings, Sink, SpeechToText};
use crate::{Error, ErrorKind};

/// A stream that lived so long was sound: a fresh one of the same provider is the first thing to try.
const SOUND: Duration = Duration::from_secs(5);
/// Voice of this length in which a stream finds no word, which has found none so far: another is asked, once a call.
const WORDLESS_US: u64 = 1_500_000;
/// One that failed so that the caller had to wait is not gone back to for so long.
const LEFT_ALONE: Duration = Duration::from_secs(30);
/// Between two tries when all have failed; doubles.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// And at most so long.
const AGAIN_MAX: Duration = Duration::from_secs(2);
/// One that is over its rate is left alone as long as it asks, and at most so long when nobody else listens.
const ASKED_FOR_MAX: Duration = Duration::from_secs(5);
/// So long without any stream that works, and the caller is not heard any more: the call can't go on.
const DEAF_MAX: Duration = Duration::from_secs(15);

/// After mere noise words are waited for at most so many times as long.
const PATIENCE_MAX: u32 = 8;

pub(super) struct Chain {
    candidates: Vec<Listening>,
    converters: Converters,
    setup: Setup,
}

impl Chain {
    /// `candidates` is not empty.
    pub(super) fn new(candidates: Vec<Listening>, converters: Converters, setup: Setup) -> Self {
        Self { candidates, converters, setup }
    }
}

impl SpeechToText for Chain {
    fn name(&self) -> &'static str {
        self.candidates[0].provider.name()
    }

    /// As the first one's; it can always be fed PCM at 16 kHz, and mu-law if the first one takes that.
    fn capabilities(&self) -> Capabilities {
        let first = self.candidates[0].provider.capabilities();
        let mu_law = first.formats.contains(&AudioFormat::MuLaw);
        let formats: &[AudioFormat] =
            if mu_law { &[AudioFormat::PCM_16K, AudioFormat::MuLaw] } else { &[AudioFormat::PCM_16K] };
        Capabilities { formats, ..first }
    }

    fn open(&self, settings: Settings, sink: Sink) -> Result<Box<dyn Listener>, Error> {
        let mut stream = Stream {
            candidates: self.candidates.iter().map(|listening| Candidate::of(listening, &settings)).collect(),
            converters: self.converters.clone(),
            setup: self.setup.clone(),
            expectation: settings.expectation.clone(),
            replay: Replay::new(settings.format),
            settings,
            shared: Arc::new(Mutex::new(Shared::new(sink))),
            current: 0,
            pass: None,
            listener: None,
            convert: None,
            opened: Instant::now(),
            deaf_since: None,
            again_at: None,
            again_after: AGAIN_AFTER,
            asked_another: self.candidates.len() < 2,
            suspects: Vec::new(),
            is_watched: true,
            patience: 1,
            broken: None,
            over: false,
        };
        // What can't work at all on this machine is told to who opens, if nobody else can either.
        let mut first_error = None;
        let mut waiting: VecDeque<usize> = (0..stream.candidates.len()).collect();
        while let Some((index, pass)) = stream.next(&mut waiting) {
            match stream.begin(index, pass) {
                Ok(()) => return Ok(Box::new(stream)),
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| super::nobody_left("transcriber")))
    }
}

struct Candidate {
    listening: Listening,
    format: AudioFormat,
    capabilities: Capabilities,
    /// Streams that failed early, in a row.
    strikes: u32,
    given_up: bool,
    /// It has told words in this call.
    has_heard: bool,
    /// When it last failed in a way that made the caller wait.
    failed_late: Option<Instant>,
}

impl Candidate {
    fn of(listening: &Listening, settings: &Settings) -> Self {
        let capabilities = listening.provider.capabilities();
        let format = capabilities.format_for(settings.format == AudioFormat::MuLaw);
        Self {
            listening: listening.clone(),
            format,
            capabilities,
            strikes: 0,
            given_up: false,
            has_heard: false,
            failed_late: None,
        }
    }

    fn name(&self) -> &'static str {
        self.listening.provider.name()
    }
}

/// A stream that was mute, or found nothing, while somebody or something was heard.
struct Suspect {
    index: usize,
    pass: Pass,
    error: Error,
    /// How far it had listened.
    heard_until_us: u64,
}

struct Stream {
    candidates: Vec<Candidate>,
    converters: Converters,
    setup: Setup,
    settings: Settings,
    expectation: Expectation,
    replay: Replay,
    shared: Arc<Mutex<Shared>>,
    current: usize,
    /// Of the stream; gone once it was told how it does.
    pass: Option<Pass>,
    listener: Option<Box<dyn Listener>>,
    convert: Option<Box<dyn Convert>>,
    opened: Instant,
    /// Since when no stream has told anything.
    deaf_since: Option<Instant>,
    again_at: Option<Instant>,
    again_after: Duration,
    /// Another was asked because one found no word.
    asked_another: bool,
    /// Who was mute while somebody spoke. If others are too, there was nothing to be heard but noise; only words of
    /// another stream show that one was broken.
    suspects: Vec<Suspect>,
    /// Whether muteness means anything at present.
    is_watched: bool,
    /// By how much more is waited for words after mere noise.
    patience: u32,
    /// Who failed last, while nobody has taken over.
    broken: Option<(usize, Error)>,
    over: bool,
}

impl Listener for Stream {
    fn hear(&mut self, audio: Audio<'_>) {
        if self.over {
            return;
        }
        self.look();
        self.replay.hear(audio);
        if let Some(listener) = &mut self.listener {
            pass(&mut self.convert, audio, listener.as_mut());
        }
    }

    fn control(&mut self, control: Control) {
        if self.over {
            return;
        }
        self.look();
        if let Control::NextTurn(expectation) = &control {
            let of_call = &self.settings.expectation.key_terms;
            let of_turn = expectation.key_terms.iter().filter(|term| !of_call.contains(term));
            let key_terms = of_call.iter().chain(of_turn).cloned().collect();
            self.expectation = Expectation { jsgf: expectation.jsgf.clone(), key_terms };
            locked(&self.shared).turn = Turn::default();
        }
        self.replay.control(&control);
        self.expect(&control);
        if let Some(listener) = &mut self.listener {
            let begin = locked(&self.shared).begin_us;
            listener.control(shifted(control.clone(), begin));
        }
        if matches!(control, Control::NextTurn(_)) && !self.replay.is_voiced() {
            self.go_back();
        }
    }
}

impl Stream {
    /// Whom of these to ask.
    fn next(&self, waiting: &mut VecDeque<usize>) -> Option<(usize, Pass)> {
        self.setup.next(waiting, |index| self.candidates[index].listening.used())
    }

    /// Opens a stream of this candidate and feeds it what is not settled.
    fn begin(&mut self, index: usize, mut pass: Pass) -> Result<(), Error> {
        match self.try_begin(index) {
            Ok(()) => self.pass = Some(pass),
            Err(error) => {
                self.candidates[index].given_up |= error.kind.is_permanent();
                self.note_failure(index, &mut pass, &error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn try_begin(&mut self, index: usize) -> Result<(), Error> {
        let candidate = &self.candidates[index];
        let settings = Settings {
            model: candidate.listening.model.clone(),
            format: candidate.format,
            expectation: self.expectation.clone(),
            ..self.settings.clone()
        };
        let now = Instant::now();
        let generation = {
            let mut shared = locked(&self.shared);
            shared.generation += 1;
            shared.since = now;
            shared.is_open = false;
            (shared.heard_from, shared.has_words, shared.answered) = (false, false, false);
            shared.words_from_us = None;
            (shared.failed, shared.finalized) = (None, None);
            (shared.connected, shared.first_output) = (None, None);
            shared.waiting_since = None;
            // Set before anything can be told: it is fed from here on.
            shared.begin_us = self.replay.begin_us();
            (shared.settled_us, shared.covered_us) = (shared.begin_us, 0);
            if shared.generation > 1 {
                let (from_us, capabilities) = (shared.begin_us, candidate.capabilities.clone());
                (shared.sink)(Event::Replaced { from_us, capabilities });
            }
            shared.generation
        };
        let shared = Arc::clone(&self.shared);
        let sink: Sink = Arc::new(move |event| {
            let mut state = locked(&shared);
            if state.generation != generation {
                return;
            }
            let given_on = state.told(event).map(|event| (Arc::clone(&state.sink), event));
            // In order: under the lock, and it never blocks.
            if let Some((sink, event)) = given_on {
                sink(event);
            }
        });
        let mut listener = candidate.listening.provider.open(settings, sink)?;
        let format = candidate.format;
        let mut convert =
            (format != self.settings.format).then(|| (self.converters)(self.settings.format, format));
        let (listening, asked_us) = (listener.as_mut(), self.replay.asked_us());
        let mut fed = Fed { listener: listening, shared: &self.shared, asked_us };
        self.replay.feed(&mut fed, |audio, listener| pass(&mut convert, audio, listener));
        if self.replay.has_unsettled_voice() {
            let mut shared = locked(&self.shared);
            if shared.failed.is_none() && !shared.heard_from {
                shared.waiting_since = Some(now);
            }
        }
        (self.current, self.opened) = (index, now);
        (self.listener, self.convert) = (Some(listener), convert);
        Ok(())
    }

    /// Something should come now.
    fn expect(&mut self, control: &Control) {
        let interims = self.candidates[self.current].capabilities.interims;
        let unsettled = self.replay.has_unsettled_voice();
        let until = self.replay.until_us();
        let mut shared = locked(&self.shared);
        match control {
            Control::VoiceStarted(_) if interims => {
                shared.waiting_since.get_or_insert_with(Instant::now);
            }
            Control::Finalize if unsettled => {
                shared.waiting_since.get_or_insert_with(Instant::now);
                (shared.finalized, shared.answered) = (Some((Instant::now(), until)), false);
            }
            // Decided without it.
            Control::NextTurn(_) => shared.waiting_since = None,
            Control::VoiceStarted(_) | Control::VoiceEnded(_) | Control::Finalize => {}
        }
    }

    /// Looks how the stream is doing.
    fn look(&mut self) {
        let now = Instant::now();
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            return self.replace(None);
        }
        let mute = self.mute_after();
        let interims = self.candidates[self.current].capabilities.interims;
        let deaf;
        let (failed, is_mute, heard_from, words, is_open, connected, first_output) = {
            let mut shared = locked(&self.shared);
            deaf = self.is_deaf(&shared);
            if deaf.is_none() && self.is_believed(&shared) {
                self.replay.settle(shared.settled_us);
            }
            if std::mem::take(&mut shared.answered) {
                self.replay.answered();
            }
            if self.replay.is_voiced() && interims || self.replay.is_asked_for() {
                shared.waiting_since.get_or_insert(now);
            }
            (
                shared.failed.take(),
                shared.waiting_since.is_some_and(|since| now - since > mute),
                shared.heard_from,
                shared.has_words.then_some(shared.words_from_us),
                shared.is_open,
                shared.connected.take(),
                shared.first_output.take(),
            )
        };
        if let Some(time) = connected {
            self.took(Stage::Connect, time, self.replay.has_unsettled_voice());
        }
        if let Some(time) = first_output {
            self.took(Stage::FirstOutput, time, true);
        }
        if let Some(from_us) = words {
            self.words_came(from_us);
        }
        let is_sound = now - self.opened > SOUND;
        // A vendor that has taken the stream and keeps it is there, though nobody speaks.
        if heard_from || is_sound && is_open && failed.is_none() {
            (self.deaf_since, self.again_after) = (None, AGAIN_AFTER);
        }
        if heard_from && is_sound {
            self.candidates[self.current].strikes = 0;
            if let Some(mut pass) = self.pass.take() {
                pass.worked();
            }
        }
        if let Some(error) = failed {
            self.replace(Some(error));
        } else if let Some(error) = deaf {
            self.replace_suspect(error);
            self.asked_another = true;
        } else if is_mute && self.is_watched && self.listener.is_some() {
            let name = self.candidates[self.current].name();
            let message = format!("nothing heard from it for {} ms", mute.as_millis());
            self.replace_suspect(Error::new(name, ErrorKind::TimedOut, message));
        }
    }

    /// A stream that listens and finds nothing, while somebody speaks.
    fn is_deaf(&self, shared: &Shared) -> Option<Error> {
        let from = self.replay.voice_from_us().filter(|_| !shared.has_words && !self.asked_another)?;
        let voiced = self.replay.voiced_until_us().min(shared.covered_us.max(shared.settled_us));
        let name = self.candidates[self.current].name();
        let message = format!("no word in {} ms of voice", WORDLESS_US / 1_000);
        (voiced >= from + WORDLESS_US).then(|| Error::new(name, ErrorKind::Empty, message))
    }

    /// That there is nothing in some voice is believed of a stream that has found words before.
    fn is_believed(&self, shared: &Shared) -> bool {
        shared.has_words || self.asked_another || !self.replay.has_unsettled_voice()
    }

    /// There was something to be heard: who did not hear it was broken. Who heard only what was before it was not.
    fn words_came(&mut self, from_us: Option<u64>) {
        (self.is_watched, self.patience) = (true, 1);
        self.candidates[self.current].has_heard = true;
        for Suspect { index, mut pass, error, heard_until_us } in std::mem::take(&mut self.suspects) {
            // Without times only one that told nothing at all is blamed.
            let missed_them = from_us.map_or(error.kind != ErrorKind::Empty, |from| from < heard_until_us);
            // Whoever heard words where it heard none is stayed with in this call.
            if missed_them || from_us.is_none() {
                self.candidates[index].failed_late = Some(Instant::now());
            }
            if missed_them {
                self.note_failure(index, &mut pass, &error);
            }
        }
    }

    /// Nothing came though somebody speaks: either the stream is broken, or what is heard is no speech. Others are asked
    /// first: this one has cost the caller a wait.
    fn replace_suspect(&mut self, error: Error) {
        let from = self.current;
        let suspected = |index: &usize| self.suspects.iter().any(|suspect| suspect.index == *index);
        let usable = (0..self.candidates.len()).filter(|index| !self.candidates[*index].given_up);
        // Mute anew, and whoever was asked since has broken.
        let is_deaf = suspected(&from) && self.deaf_since.is_some_and(|since| since.elapsed() > DEAF_MAX);
        if is_deaf && !self.candidates[from].has_heard {
            self.leave();
            return self.give_up(error);
        }
        if is_deaf || usable.clone().all(|index| suspected(&index)) {
            // All of them, or one that has heard words before: nobody is to blame. Watched again when words came, and, with more patience, at the next turn.
            self.suspects.clear();
            (self.is_watched, self.patience) = (false, (self.patience * 2).min(PATIENCE_MAX));
            return;
        }
        let others: Vec<usize> = usable.filter(|index| *index != from && !suspected(index)).collect();
        let heard_until_us = self.replay.voiced_until_us();
        match self.suspects.iter_mut().find(|suspect| suspect.index == from) {
            Some(again) => again.heard_until_us = heard_until_us,
            None => {
                let used = self.candidates[from].listening.used();
                let pass = self.pass.take().unwrap_or_else(|| self.setup.health.pass_anyway(used));
                self.suspects.push(Suspect { index: from, pass, error: error.clone(), heard_until_us });
            }
        }
        let mut waiting = VecDeque::from(others);
        if waiting.is_empty() {
            waiting.push_back(from);
        }
        self.leave();
        self.begin_any(waiting, from, Some(error));
    }

    /// How long it may be mute. Once it was asked for what there is, its lag says when that should come.
    fn mute_after(&self) -> Duration {
        let lag = Duration::from_millis(u64::from(self.candidates[self.current].capabilities.lag_ms_p95));
        let (mute, asked) = (self.setup.budgets.mute, lag + self.setup.budgets.mute / 2);
        self.patience * if self.replay.is_asked_for() { asked } else { mute.max(asked) }
    }

    /// Hears nothing more of the current stream.
    fn leave(&mut self) {
        let settled = {
            let mut shared = locked(&self.shared);
            shared.generation += 1;
            // What it told until now is settled; the next one is fed from there.
            self.is_believed(&shared).then_some(shared.settled_us)
        };
        if let Some(settled) = settled {
            self.replay.settle(settled);
        }
        self.listener = None;
        self.deaf_since.get_or_insert_with(Instant::now);
    }

    /// The stream is no good: the next one takes over.
    fn replace(&mut self, error: Option<Error>) {
        let from = self.current;
        let was_sound = self.opened.elapsed() > SOUND;
        self.leave();
        if let Some(error) = &error {
            let candidate = &mut self.candidates[from];
            candidate.strikes = match error.kind {
                // It has asked to be left alone; or it has cost the caller a long wait already.
                ErrorKind::RateLimited | ErrorKind::TimedOut => 2,
                _ if was_sound => 1,
                _ => candidate.strikes + 1,
            };
            candidate.given_up |= error.kind.is_permanent();
            if error.kind == ErrorKind::TimedOut {
                candidate.failed_late = Some(Instant::now());
            }
            let used = candidate.listening.used();
            let mut pass = self.pass.take().unwrap_or_else(|| self.setup.health.pass_anyway(used));
            self.note_failure(from, &mut pass, error);
        }
        // Itself once more if it had been sound, then the others as listed.
        let others = (0..self.candidates.len()).filter(|index| *index != from);
        let usable = |index: &usize| {
            let candidate = &self.candidates[*index];
            !candidate.given_up && candidate.strikes < 2
        };
        let waiting = std::iter::once(from).chain(others).filter(usable).collect();
        self.begin_any(waiting, from, error);
    }

    /// The first of these that can be opened goes on where `from` failed.
    fn begin_any(&mut self, mut waiting: VecDeque<usize>, from: usize, error: Option<Error>) {
        let now = Instant::now();
        self.broken = error.map(|error| (from, error)).or(self.broken.take());
        while let Some((index, pass)) = self.next(&mut waiting) {
            match self.begin(index, pass) {
                Ok(()) => {
                    if let Some((from, error)) = self.broken.take() {
                        let (from, to) = (self.candidates[from].name(), self.candidates[index].name());
                        (self.setup.notes)(Note::Switched { kind: Kind::Stt, from, to, error });
                    }
                    return;
                }
                Err(error) => self.broken = Some((index, error)),
            }
        }
        let all_given_up = self.candidates.iter().all(|candidate| candidate.given_up);
        if all_given_up || self.deaf_since.is_some_and(|since| now - since > DEAF_MAX) {
            let broken = self.broken.take().map(|(_, error)| error);
            return self.give_up(broken.unwrap_or_else(|| super::nobody_left("transcriber")));
        }
        // Nobody can be asked at this moment; the audio is kept.
        self.again_at = Some(now + self.again_after.max(self.asked_for()));
        self.again_after = (self.again_after * 2).min(AGAIN_MAX);
        self.candidates.iter_mut().for_each(|candidate| candidate.strikes = candidate.strikes.min(1));
    }

    /// Nobody listens any more.
    fn give_up(&mut self, error: Error) {
        self.over = true;
        let sink = Arc::clone(&locked(&self.shared).sink);
        sink(Event::Failed(error));
    }

    /// How long the only one there is wants to be left alone, as far as a caller can wait for it.
    fn asked_for(&self) -> Duration {
        let is_alone = self.candidates.iter().filter(|candidate| !candidate.given_up).count() == 1;
        let limited = self.broken.as_ref().filter(|(_, error)| error.kind == ErrorKind::RateLimited);
        let asked = limited.and_then(|(_, error)| error.retry_after).filter(|_| is_alone);
        asked.unwrap_or_default().min(ASKED_FOR_MAX)
    }

    /// Between turns the best one that may be asked takes over again.
    fn go_back(&mut self) {
        self.suspects.clear();
        self.is_watched = true;
        if self.again_at.is_some() {
            return;
        }
        let health = Arc::clone(&self.setup.health);
        for index in 0..self.current {
            let name = self.candidates[index].name();
            let lately = self.candidates[index].failed_late.is_some_and(|at| at.elapsed() < LEFT_ALONE);
            if lately || self.candidates[index].given_up {
                continue;
            }
            let Some(pass) = health.pass(self.candidates[index].listening.used()) else { continue };
            // A single failure is enough this time: who speaks now has to wait for it.
            self.candidates[index].strikes = 1;
            let from = self.candidates[self.current].name();
            self.leave();
            self.pass = None;
            match self.begin(index, pass) {
                Ok(()) => (self.setup.notes)(Note::WentBack { kind: Kind::Stt, from, to: name }),
                Err(_) => self.replace(None),
            }
            return;
        }
    }

    fn took(&self, stage: Stage, time: Duration, in_turn: bool) {
        self.setup.took(&self.candidates[self.current].listening.used(), stage, time, in_turn);
    }

    fn note_failure(&self, index: usize, pass: &mut Pass, error: &Error) {
        let provider = self.candidates[index].name();
        pass.failed(error);
        (self.setup.notes)(Note::Failed { kind: Kind::Stt, provider, error: error.clone() });
    }
}

fn pass(convert: &mut Option<Box<dyn Convert>>, audio: Audio<'_>, listener: &mut dyn Listener) {
    match convert {
        Some(convert) => listener.hear(convert.convert(audio).borrowed()),
        None => listener.hear(audio),
    }
}
