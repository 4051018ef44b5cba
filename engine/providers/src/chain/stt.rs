//! Transcribers one after another: a stream that breaks or goes mute is replaced and fed the audio since the last
//! settled slice.
//!
//! Has no task and no timer of its own: the caller's frames are its clock, and they come every 20 ms as long as the call
//! lasts. Once a turn is decided and nobody speaks it goes back to the best candidate that may be asked again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::replay::{Replay, shifted};
use super::{Listening, Setup};
use crate::audio::{Audio, AudioFormat, Convert, Converters};
use crate::notes::{Note, Stage};
use crate::registry::Kind;
use crate::stt::{
    Capabilities, Control, Event, Expectation, Listener, Settings, Sink, SpeechToText, Transcript,
};
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
/// So long without any stream that works, and the caller is not heard any more: the call can't go on.
const DEAF_MAX: Duration = Duration::from_secs(15);

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
        let names: Vec<_> = self.candidates.iter().map(|candidate| candidate.provider.name()).collect();
        let order = self.setup.order(Kind::Stt, &names);
        let mut stream = Stream {
            candidates: self.candidates.iter().map(|listening| Candidate::of(listening, &settings)).collect(),
            converters: self.converters.clone(),
            setup: self.setup.clone(),
            expectation: settings.expectation.clone(),
            replay: Replay::new(settings.format),
            settings,
            shared: Arc::new(Mutex::new(Shared::new(sink))),
            current: order[0],
            listener: None,
            convert: None,
            opened: Instant::now(),
            deaf_since: None,
            again_at: None,
            again_after: AGAIN_AFTER,
            asked_another: self.candidates.len() < 2,
            over: false,
        };
        // What can't work at all on this machine is told to who opens, if nobody else can either.
        let mut first_error = None;
        for index in order {
            match stream.begin(index) {
                Ok(()) => return Ok(Box::new(stream)),
                Err(error) => {
                    stream.candidates[index].given_up |= error.kind.is_permanent();
                    stream.note_failure(index, &error);
                    first_error.get_or_insert(error);
                }
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
            failed_late: None,
        }
    }

    fn name(&self) -> &'static str {
        self.listening.provider.name()
    }
}

/// What the sink of the current stream and the stream itself both need.
struct Shared {
    sink: Sink,
    /// Counts streams: what an older one tells is dropped.
    generation: u32,
    begin_us: u64,
    since: Instant,
    settled_us: u64,
    /// How far it had been fed when it was asked for what there is.
    finalized: Option<(Instant, u64)>,
    heard_from: bool,
    /// It has found a word.
    proven: bool,
    /// It has listened so far.
    covered_us: u64,
    /// Since when something should have come.
    waiting_since: Option<Instant>,
    connected: Option<Duration>,
    first_output: Option<Duration>,
    failed: Option<Error>,
}

impl Shared {
    fn new(sink: Sink) -> Self {
        Self {
            sink,
            generation: 0,
            begin_us: 0,
            since: Instant::now(),
            settled_us: 0,
            finalized: None,
            heard_from: false,
            proven: false,
            covered_us: 0,
            waiting_since: None,
            connected: None,
            first_output: None,
            failed: None,
        }
    }

    /// Takes what a stream tells. What is to be given on comes back, so that it is given on outside the lock.
    fn told(&mut self, event: Event) -> Option<Event> {
        if self.failed.is_some() {
            return None;
        }
        match event {
            Event::Replaced { .. } => None,
            Event::Opened => {
                self.connected = Some(self.since.elapsed());
                None
            }
            Event::Interim(transcript) => {
                self.heard();
                let transcript = self.in_call(transcript);
                Some(Event::Interim(transcript))
            }
            Event::Slice(transcript) => {
                self.heard();
                let transcript = self.in_call(transcript);
                let words_end = transcript.words.last().map(|word| word.end_us);
                let asked = self.finalized.map(|(_, until)| until);
                let settled = transcript.covers_until_us.or(words_end).or(asked).unwrap_or(0);
                self.settled_us = self.settled_us.max(settled);
                if let Some((at, _)) =
                    self.finalized.take_if(|(_, until)| settled >= until.saturating_sub(200_000))
                {
                    self.first_output = Some(at.elapsed());
                }
                Some(Event::Slice(transcript))
            }
            Event::Turn(signal) => {
                self.heard();
                Some(Event::Turn(signal))
            }
            Event::Failed(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    fn heard(&mut self) {
        self.heard_from = true;
        self.waiting_since = None;
    }

    fn in_call(&mut self, mut transcript: Transcript) -> Transcript {
        self.proven |= !transcript.text.trim().is_empty();
        for word in &mut transcript.words {
            word.start_us += self.begin_us;
            word.end_us += self.begin_us;
        }
        transcript.covers_until_us = transcript.covers_until_us.map(|until| until + self.begin_us);
        self.covered_us = self.covered_us.max(transcript.covers_until_us.unwrap_or(0));
        transcript
    }
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
    listener: Option<Box<dyn Listener>>,
    convert: Option<Box<dyn Convert>>,
    opened: Instant,
    /// Since when no stream has told anything.
    deaf_since: Option<Instant>,
    again_at: Option<Instant>,
    again_after: Duration,
    /// Another was asked because one found no word.
    asked_another: bool,
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
            self.expectation = expectation.clone();
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
    /// Opens a stream of this candidate and feeds it what is not settled.
    fn begin(&mut self, index: usize) -> Result<(), Error> {
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
            (shared.heard_from, shared.failed, shared.finalized) = (false, None, None);
            (shared.proven, shared.covered_us) = (false, 0);
            (shared.connected, shared.first_output) = (None, None);
            shared.waiting_since = None;
            // Set before anything can be told: it is fed from here on.
            shared.begin_us = self.replay.begin_us();
            shared.settled_us = shared.begin_us;
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
        let format = self.candidates[index].format;
        let mut convert =
            (format != self.settings.format).then(|| (self.converters)(self.settings.format, format));
        self.replay.feed(listener.as_mut(), |audio, listener| pass(&mut convert, audio, listener));
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
                shared.finalized = Some((Instant::now(), until));
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
        let (failed, works, settled, connected, first_output, proven) = {
            let mut shared = locked(&self.shared);
            let interims = self.candidates[self.current].capabilities.interims;
            if self.replay.is_voiced() && interims || self.replay.is_asked_for() {
                shared.waiting_since.get_or_insert(now);
            }
            let mute = self.mute_after();
            let is_mute = shared.waiting_since.is_some_and(|since| now - since > mute);
            let failed = shared.failed.take().or_else(|| {
                let name = self.candidates[self.current].name();
                let message = format!("nothing heard from it for {} ms", mute.as_millis());
                (is_mute && self.listener.is_some()).then(|| Error::new(name, ErrorKind::TimedOut, message))
            });
            let failed = failed.or_else(|| self.is_deaf(&shared));
            let (connected, first_output) = (shared.connected.take(), shared.first_output.take());
            (failed, shared.heard_from, shared.settled_us, connected, first_output, shared.proven)
        };
        let found_nothing = failed.as_ref().is_some_and(|error| error.kind == ErrorKind::Empty);
        // That there is nothing in some voice is believed of a stream that has found words before.
        if (proven || self.asked_another || !self.replay.has_unsettled_voice()) && !found_nothing {
            self.replay.settle(settled);
        }
        self.asked_another |= found_nothing;
        if let Some(time) = connected {
            self.took(Stage::Connect, time, self.replay.has_unsettled_voice());
        }
        if let Some(time) = first_output {
            self.took(Stage::FirstOutput, time, true);
        }
        if works && self.deaf_since.take().is_some() {
            self.again_after = AGAIN_AFTER;
        }
        if works && now - self.opened > SOUND && self.candidates[self.current].strikes > 0 {
            self.candidates[self.current].strikes = 0;
            let name = self.candidates[self.current].name();
            self.setup.health.succeeded(&self.setup.organisation, Kind::Stt, name);
        }
        if let Some(error) = failed {
            self.replace(Some(error));
        }
    }

    /// A stream that listens and finds nothing, while somebody speaks.
    fn is_deaf(&self, shared: &Shared) -> Option<Error> {
        let from = self.replay.voice_from_us().filter(|_| !shared.proven && !self.asked_another)?;
        let voiced = self.replay.voiced_until_us().min(shared.covered_us.max(shared.settled_us));
        let name = self.candidates[self.current].name();
        let message = format!("no word in {} ms of voice", WORDLESS_US / 1_000);
        (voiced >= from + WORDLESS_US).then(|| Error::new(name, ErrorKind::Empty, message))
    }

    /// How long it may be mute. Once it was asked for what there is, its lag says when that should come.
    fn mute_after(&self) -> Duration {
        let lag = Duration::from_millis(u64::from(self.candidates[self.current].capabilities.lag_ms_p95));
        let (mute, asked) = (self.setup.budgets.mute, lag + self.setup.budgets.mute / 2);
        if self.replay.is_asked_for() { asked } else { mute.max(asked) }
    }

    /// The stream is no good: the next one takes over.
    fn replace(&mut self, error: Option<Error>) {
        let now = Instant::now();
        let from = self.current;
        // Older ones have nothing to say any more.
        locked(&self.shared).generation += 1;
        self.listener = None;
        let deaf_since = *self.deaf_since.get_or_insert(now);
        if let Some(error) = &error {
            let candidate = &mut self.candidates[from];
            candidate.strikes = match error.kind {
                // It has asked to be left alone; or it has cost the caller a long wait already.
                ErrorKind::RateLimited | ErrorKind::TimedOut | ErrorKind::Empty => 2,
                _ if now - self.opened > SOUND => 1,
                _ => candidate.strikes + 1,
            };
            candidate.given_up |= error.kind.is_permanent();
            if matches!(error.kind, ErrorKind::TimedOut | ErrorKind::Empty) {
                candidate.failed_late = Some(now);
            }
            self.note_failure(from, error);
        }
        let mut last = error.clone();
        for index in self.next_candidates(from) {
            match self.begin(index) {
                Ok(()) => {
                    if let Some(error) = error {
                        let (from, to) = (self.candidates[from].name(), self.candidates[index].name());
                        (self.setup.notes)(Note::Switched { kind: Kind::Stt, from, to, error });
                    }
                    return;
                }
                Err(error) => {
                    self.candidates[index].given_up |= error.kind.is_permanent();
                    self.note_failure(index, &error);
                    last = Some(error);
                }
            }
        }
        let all_given_up = self.candidates.iter().all(|candidate| candidate.given_up);
        if all_given_up || now - deaf_since > DEAF_MAX {
            self.over = true;
            let error = last.unwrap_or_else(|| super::nobody_left("transcriber"));
            let sink = Arc::clone(&locked(&self.shared).sink);
            return sink(Event::Failed(error));
        }
        // Nobody can be asked at this moment; the audio is kept.
        self.again_at = Some(now + self.again_after);
        self.again_after = (self.again_after * 2).min(AGAIN_MAX);
        self.candidates.iter_mut().for_each(|candidate| candidate.strikes = candidate.strikes.min(1));
    }

    /// Whom to ask after this one failed: itself once more if it had been sound, then the others as listed.
    fn next_candidates(&self, failed: usize) -> Vec<usize> {
        let names: Vec<_> = self.candidates.iter().map(Candidate::name).collect();
        let usable = |index: &usize| {
            let candidate = &self.candidates[*index];
            !candidate.given_up && candidate.strikes < 2
        };
        let others = self.setup.order(Kind::Stt, &names).into_iter().filter(|index| *index != failed);
        std::iter::once(failed).chain(others).filter(usable).collect()
    }

    /// Between turns the best one that may be asked takes over again.
    fn go_back(&mut self) {
        if self.current == 0 || self.again_at.is_some() {
            return;
        }
        let name = self.candidates[0].name();
        let lately = self.candidates[0].failed_late.is_some_and(|at| at.elapsed() < LEFT_ALONE);
        if lately
            || self.candidates[0].given_up
            || !self.setup.health.may_try(&self.setup.organisation, Kind::Stt, name)
        {
            return;
        }
        self.candidates[0].strikes = 0;
        locked(&self.shared).generation += 1;
        let before = self.current;
        if let Err(error) = self.begin(0) {
            self.note_failure(0, &error);
            self.replace(None);
        } else if before != 0 {
            tracing::debug!(provider = name, "the first transcriber listens again");
        }
    }

    fn took(&self, stage: Stage, time: Duration, in_turn: bool) {
        let provider = self.candidates[self.current].name();
        self.setup.health.took(&self.setup.organisation, Kind::Stt, provider, stage, time);
        (self.setup.notes)(Note::Took { kind: Kind::Stt, provider, stage, time, in_turn });
    }

    fn note_failure(&self, index: usize, error: &Error) {
        let provider = self.candidates[index].name();
        self.setup.health.failed(&self.setup.organisation, Kind::Stt, provider, error);
        (self.setup.notes)(Note::Failed { kind: Kind::Stt, provider, error: error.clone() });
    }
}

fn pass(convert: &mut Option<Box<dyn Convert>>, audio: Audio<'_>, listener: &mut dyn Listener) {
    match convert {
        Some(convert) => listener.hear(convert.convert(audio).borrowed()),
        None => listener.hear(audio),
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
