//! Voices one after another: first audio within its budget, or the next one says the sentence (A3).
//!
//! Before any audio came another voice takes a sentence over unnoticed. One that breaks in the middle is told as failed:
//! only the conversation knows which words are missing, and asks for them as a sentence of their own, which the next
//! voice speaks. Audio that can't be played is such a break too. With hedging a second voice starts beside one that is
//! slower than it usually is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::form::Form;
use super::health::{Pass, Used};
use super::phrases::Key;
use super::{Setup, Speaking};
use crate::llm::Usage;
use crate::notes::{Note, Stage};
use crate::registry::Kind;
use crate::running::Running;
use crate::tts::{Event, Settings, Sink, Speaker, Speech};
use crate::{Error, ErrorKind};

/// A hedge starts no sooner than this.
const HEDGE_MIN: Duration = Duration::from_millis(150);
/// A voice that broke is not asked again for so long in this call, while there is another: as long as a breaker stays
/// open at first.
const LEFT_ALONE: Duration = Duration::from_secs(5);
/// Sentences that may break in a row before the call has no voice.
const BROKEN_MAX: u32 = 4;
/// One that asks to be left alone is waited for at most so long when nobody else is left.
const WAIT_MAX: Duration = Duration::from_millis(1_500);
/// Audio is asked of the next voice so long before what there is has been played.
const BEFORE_GAP: Duration = Duration::from_millis(300);

pub(super) struct Chain {
    shared: Arc<Shared>,
}

struct Shared {
    setup: Setup,
    settings: Settings,
    candidates: Vec<Speaking>,
    states: Mutex<States>,
}

struct States {
    speakers: Vec<Option<Box<dyn Speaker>>>,
    left_alone_until: Vec<Option<Instant>>,
    /// Until when it asked to be left alone; `None` once a caller has waited for it as long as one can.
    asked_until: Vec<Option<Instant>>,
    /// Why it is not asked again in this call.
    given_up: Vec<Option<Error>>,
    /// Whether the last sentence was one it could not speak.
    puzzled: Vec<bool>,
    /// Sentences in a row that broke.
    broken: u32,
}

impl Chain {
    /// `candidates` is not empty. The first that may be asked opens what it needs now.
    pub(super) fn open(candidates: Vec<Speaking>, settings: Settings, setup: Setup) -> Result<Self, Error> {
        let count = candidates.len();
        let states = States {
            speakers: (0..count).map(|_| None).collect(),
            left_alone_until: vec![None; count],
            asked_until: vec![None; count],
            given_up: vec![None; count],
            puzzled: vec![false; count],
            broken: 0,
        };
        let shared = Arc::new(Shared { setup, settings, candidates, states: Mutex::new(states) });
        let mut last = None;
        let mut waiting: VecDeque<usize> = (0..count).collect();
        // Opening is no trial of a breaker: only a sentence shows whether a voice is back.
        while let Some((index, mut pass)) = shared.setup.next(&mut waiting, |index| shared.used(index)) {
            match shared.ready(index) {
                Ok(()) => return Ok(Self { shared }),
                Err(error) => {
                    shared.note_failure(index, &mut pass, &error);
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| super::nobody_left("voice")))
    }
}

impl Speaker for Chain {
    fn speak(&mut self, text: &str, sink: Sink) -> Result<Speech, Error> {
        let name = self.shared.name(0);
        if text.trim().is_empty() {
            return Err(Error::new(name, ErrorKind::Invalid, "there is no text to speak"));
        }
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| Error::new(name, ErrorKind::Unavailable, error.to_string()))?;
        let (told, events) = unbounded_channel();
        let waiting = self.shared.order();
        let mut sentence = Sentence {
            failed: self.shared.why_given_up().filter(|_| waiting.is_empty()),
            waiting,
            shared: Arc::clone(&self.shared),
            text: text.to_owned(),
            sink,
            running: Vec::new(),
            attempts: 0,
            hedge: None,
            again: true,
            told,
            events,
        };
        if sentence.say_kept() {
            return Ok(Box::new(()));
        }
        // Now, not when the task is first run: a request that is under way sooner is heard sooner.
        sentence.start();
        Ok(Box::new(Running(runtime.spawn(sentence.say()))))
    }

    fn has_another(&self) -> bool {
        let states = self.shared.states();
        states.broken < BROKEN_MAX && states.given_up.iter().any(Option::is_none)
    }
}

impl Shared {
    fn name(&self, index: usize) -> &'static str {
        self.candidates[index].provider.name()
    }

    fn used(&self, index: usize) -> Used {
        self.candidates[index].used()
    }

    fn settings_of(&self, index: usize) -> Settings {
        let Speaking { voice, model, .. } = &self.candidates[index];
        Settings { voice: voice.clone(), model: model.clone(), ..self.settings.clone() }
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to ask: as listed, without those given up; those left alone last.
    fn order(&self) -> VecDeque<usize> {
        let now = Instant::now();
        let states = self.states();
        let usable = (0..self.candidates.len()).filter(|index| states.given_up[*index].is_none());
        let alone = |index: &usize| states.left_alone_until[*index].is_some_and(|until| now < until);
        let (last, first): (Vec<_>, Vec<_>) = usable.partition(alone);
        first.into_iter().chain(last).collect()
    }

    /// The last that is not asked again in this call, and why.
    fn why_given_up(&self) -> Option<(usize, Error)> {
        self.states().given_up.iter().cloned().enumerate().rev().find_map(|(of, why)| Some((of, why?)))
    }

    /// How long this one still asks to be left alone.
    fn asks_for(&self, index: usize) -> Duration {
        let until = self.states().asked_until[index];
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Who of these may be asked soonest: its vendor does not ask to be left alone and its breaker lets a request through.
    fn soonest(&self, of: impl Iterator<Item = usize> + Clone) -> Option<usize> {
        let asks_for = |index: &usize| self.asks_for(*index);
        let is_free =
            |index: &usize| asks_for(index).is_zero() && self.setup.health.is_free(&self.used(*index));
        let now = Instant::now();
        let closed_for = |index: &usize| {
            let until = self.setup.health.open_until(&self.used(*index));
            asks_for(index).max(until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now)))
        };
        of.clone().find(is_free).or_else(|| of.min_by_key(closed_for))
    }

    /// Whom of these to ask now, taken out of them; `None` while all ask to be left alone.
    fn next(&self, waiting: &mut VecDeque<usize>) -> Option<(usize, Pass)> {
        let may_be_asked = |index: &usize| self.asks_for(*index).is_zero();
        self.soonest(waiting.iter().copied()).filter(may_be_asked)?;
        let mut those = waiting.iter().copied().filter(may_be_asked).collect();
        let (index, pass) = self.setup.next(&mut those, |index| self.used(index))?;
        waiting.retain(|of| *of != index);
        Some((index, pass))
    }

    /// Opens it, once.
    fn ready(&self, index: usize) -> Result<(), Error> {
        let mut states = self.states();
        if states.speakers[index].is_none() {
            states.speakers[index] = Some(self.opened(index)?);
        }
        Ok(())
    }

    fn opened(&self, index: usize) -> Result<Box<dyn Speaker>, Error> {
        let watch = self.setup.watch(self.used(index), false);
        watch.over(|| self.candidates[index].provider.open(self.settings_of(index)))
    }

    fn speak(&self, index: usize, text: &str, sink: Sink) -> Result<Speech, Error> {
        self.ready(index)?;
        let watch = self.setup.watch(self.used(index), true);
        match &mut self.states().speakers[index] {
            Some(speaker) => watch.over(|| speaker.speak(text, sink)),
            None => Err(super::nobody_left("voice")),
        }
    }

    fn note_failure(&self, index: usize, pass: &mut Pass, error: &Error) {
        pass.failed(error);
        (self.setup.notes)(Note::Failed {
            kind: Kind::Tts,
            provider: self.name(index),
            error: error.clone(),
        });
        let mut states = self.states();
        // Text that can't be spoken says nothing about the voice; two such in a row do.
        let is_puzzled = error.kind == ErrorKind::Invalid;
        let was_puzzled = std::mem::replace(&mut states.puzzled[index], is_puzzled);
        if !is_puzzled || was_puzzled {
            states.left_alone_until[index] = Some(Instant::now() + LEFT_ALONE);
        }
        states.asked_until[index] = error.retry_after.and_then(|wait| Instant::now().checked_add(wait));
        if error.kind.is_of_the_account() {
            states.given_up[index] = Some(error.clone());
        }
        // Its socket may be one that is open and mute: the next sentence finds another, which is opened now.
        let may_be_stuck = matches!(
            error.kind,
            ErrorKind::TimedOut | ErrorKind::Unavailable | ErrorKind::Protocol | ErrorKind::Empty
        );
        if may_be_stuck {
            // The old one closes first: accounts have few sockets.
            states.speakers[index] = None;
            states.speakers[index] = self.opened(index).ok();
        }
    }

    fn spoke(&self, index: usize) {
        let mut states = self.states();
        (states.puzzled[index], states.asked_until[index], states.broken) = (false, None, 0);
    }
}

struct Attempt {
    number: u32,
    candidate: usize,
    since: Instant,
    /// Word times that came before the first audio.
    early: Vec<Event>,
    bill: Bill,
    pass: Pass,
    /// In a lock that nobody takes, so that a task may look at an attempt between waits.
    _speech: Mutex<Speech>,
}

/// What an attempt costs, told also when it is dropped: a vendor is paid for the text it was given.
struct Bill {
    shared: Arc<Shared>,
    candidate: usize,
    characters: u64,
    settled: bool,
}

impl Bill {
    fn used(&mut self) {
        self.settled = true;
        let (kind, provider, usage) = (Kind::Tts, self.shared.name(self.candidate), Usage::default());
        let model = self.shared.candidates[self.candidate].model.clone().unwrap_or_default();
        (self.shared.setup.notes)(Note::Used { kind, provider, model, usage, characters: self.characters });
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if !self.settled {
            let (kind, provider, usage) = (Kind::Tts, self.shared.name(self.candidate), Usage::default());
            (self.shared.setup.notes)(Note::ThrownAway {
                kind,
                provider,
                usage,
                characters: self.characters,
            });
        }
    }
}

struct Sentence {
    shared: Arc<Shared>,
    text: String,
    sink: Sink,
    waiting: VecDeque<usize>,
    running: Vec<Attempt>,
    attempts: u32,
    /// The attempt that was started beside a slow one.
    hedge: Option<u32>,
    /// A voice that failed may be asked once more when nobody else is left.
    again: bool,
    told: UnboundedSender<(u32, Event)>,
    events: UnboundedReceiver<(u32, Event)>,
    /// The last failure, and whose; `None` once it was told who follows.
    failed: Option<(usize, Error)>,
}

impl Sentence {
    /// Says it from what is kept, if it is.
    fn say_kept(&self) -> bool {
        let Some(&first) = self.waiting.front() else { return false };
        let kept = self.shared.setup.health.phrases().find(&self.key(first));
        kept.inspect(|events| events.iter().cloned().for_each(|event| (self.sink)(event))).is_some()
    }

    fn key(&self, candidate: usize) -> Key {
        let Used { account, provider, .. } = self.shared.used(candidate);
        Key::new(account, provider, &self.shared.settings_of(candidate), &self.text)
    }

    async fn say(mut self) {
        loop {
            // One that fails on the spot may ask to be left alone too.
            while self.running.is_empty() && !self.waiting.is_empty() {
                self.leave_alone().await;
                self.start();
            }
            if self.running.is_empty() {
                self.shared.states().broken += 1;
                let (_, error) = self.failed.take().unwrap_or_else(|| (0, super::nobody_left("voice")));
                return (self.sink)(Event::Failed(error));
            }
            if let Some(first) = self.first_audio().await {
                return self.rest(first).await;
            }
        }
    }

    /// While all that are left ask for it, as long as a caller can wait: whoever asks for least is next.
    async fn leave_alone(&self) {
        let Some(next) = self.shared.soonest(self.waiting.iter().copied()) else { return };
        tokio::time::sleep(self.shared.asks_for(next).min(WAIT_MAX)).await;
        self.shared.states().asked_until[next] = None;
    }

    /// Asks the next voice; none while all that are left ask to be left alone.
    fn start(&mut self) {
        while let Some((candidate, mut pass)) = self.shared.next(&mut self.waiting) {
            self.note_switch(candidate);
            self.attempts += 1;
            let (number, told) = (self.attempts, self.told.clone());
            let sink: Sink = Arc::new(move |event| drop(told.send((number, event))));
            let since = Instant::now();
            match self.shared.speak(candidate, &self.text, sink) {
                Ok(speech) => {
                    let speech = Mutex::new(speech);
                    let (shared, characters) = (Arc::clone(&self.shared), self.text.chars().count() as u64);
                    let bill = Bill { shared, candidate, characters, settled: false };
                    self.running.push(Attempt {
                        number,
                        candidate,
                        since,
                        early: Vec::new(),
                        bill,
                        pass,
                        _speech: speech,
                    });
                    return;
                }
                Err(error) => self.note_failure(candidate, &mut pass, error),
            }
        }
    }

    /// Until one attempt has given audio; all others are cancelled then. `None` when all have failed.
    async fn first_audio(&mut self) -> Option<Event> {
        let budgets = self.shared.setup.budgets;
        let mut hedge = self.hedge_at();
        loop {
            let due = self.running.iter().map(|attempt| attempt.since + budgets.first_audio).min()?;
            let at = hedge.map_or(due, |hedge| hedge.min(due));
            tokio::select! {
                biased;
                told = self.events.recv() => {
                    let (number, event) = told?;
                    let Some(index) = self.running.iter().position(|attempt| attempt.number == number) else { continue };
                    match event {
                        Event::Audio(sound) if !sound.is_empty() => {
                            let name = self.shared.name(self.running[index].candidate);
                            if let Err(error) = Form::of(&sound, name) {
                                self.give_up(index, error);
                                continue;
                            }
                            self.choose(index);
                            return Some(Event::Audio(sound));
                        }
                        Event::Audio(_) => {}
                        Event::Words(words) => self.running[index].early.push(Event::Words(words)),
                        Event::Finished => {
                            let name = self.shared.name(self.running[index].candidate);
                            self.broke(index, Error::new(name, ErrorKind::Empty, "it gave no audio"));
                        }
                        Event::Failed(error) => self.broke(index, error),
                    }
                }
                () = sleep_until(at) => {
                    if hedge.take().is_some_and(|hedge| hedge <= Instant::now()) {
                        // Not a switch: the first may still win.
                        let failed = self.failed.take();
                        self.start();
                        self.failed = failed.or(self.failed.take());
                        self.hedge = self.running.get(1).map(|attempt| attempt.number);
                    } else {
                        self.give_up_late(budgets.first_audio);
                    }
                }
            }
        }
    }

    /// The vendor failed before any audio: that costs nothing.
    fn broke(&mut self, index: usize, error: Error) {
        self.running[index].bill.settled = true;
        self.give_up(index, error);
    }

    /// Nothing more of this attempt is wanted; the vendor is paid for it.
    fn give_up(&mut self, index: usize, error: Error) {
        let mut broken = self.running.remove(index);
        self.note_failure(broken.candidate, &mut broken.pass, error);
    }

    fn hedge_at(&self) -> Option<Instant> {
        let setup = &self.shared.setup;
        let attempt = self.running.first().filter(|_| setup.budgets.hedging)?;
        if !setup.has_next(&self.waiting, |index| self.shared.used(index)) {
            return None;
        }
        let half = setup.budgets.first_audio / 2;
        let usual = setup.health.usual(&self.shared.used(attempt.candidate), Stage::FirstOutput);
        Some(attempt.since + usual.unwrap_or(half).clamp(HEDGE_MIN.min(half), half))
    }

    fn give_up_late(&mut self, budget: Duration) {
        let now = Instant::now();
        while let Some(index) = self.running.iter().position(|attempt| attempt.since + budget <= now) {
            let message = format!("no audio within {} ms", budget.as_millis());
            let name = self.shared.name(self.running[index].candidate);
            self.give_up(index, Error::new(name, ErrorKind::TimedOut, message));
        }
    }

    /// This attempt speaks.
    fn choose(&mut self, index: usize) {
        let mut chosen = self.running.swap_remove(index);
        chosen.pass.was_heard();
        let winner = self.shared.name(chosen.candidate);
        let setup = &self.shared.setup;
        for Attempt { candidate, since, mut pass, .. } in self.running.drain(..) {
            let (kind, loser) = (Kind::Tts, self.shared.name(candidate));
            // It takes at least so long; without the slow ones it would seem ever quicker, and be hedged ever sooner.
            setup.health.took(&self.shared.used(candidate), Stage::FirstOutput, since.elapsed());
            if since < chosen.since {
                pass.was_outrun();
            }
            (setup.notes)(Note::Hedged { kind, winner, loser });
        }
        chosen.bill.used();
        // The one it was to outrun has failed meanwhile.
        if self.hedge == Some(chosen.number) {
            self.note_switch(chosen.candidate);
        }
        self.took(chosen.candidate, Stage::FirstOutput, chosen.since.elapsed());
        for early in std::mem::take(&mut chosen.early) {
            (self.sink)(early.clone());
            chosen.early.push(early);
        }
        self.running.push(chosen);
    }

    /// The one that failed is followed by this one.
    fn note_switch(&mut self, candidate: usize) {
        let Some((from, error)) = self.failed.take() else { return };
        let [from, to] = [from, candidate].map(|index| self.shared.name(index));
        (self.shared.setup.notes)(Note::Switched { kind: Kind::Tts, from, to, error });
    }

    /// The rest of the chosen attempt.
    async fn rest(&mut self, first: Event) {
        let Some(mut attempt) = self.running.pop() else { return };
        let (number, candidate, since) = (attempt.number, attempt.candidate, attempt.since);
        let mut spoken = std::mem::take(&mut attempt.early);
        let name = self.shared.name(candidate);
        let key = self.key(candidate);
        let phrases = self.shared.setup.health.phrases();
        let mut keeps = phrases.shall_keep(&key);
        let (began, mut last) = (Instant::now(), Instant::now());
        let mut length = Duration::ZERO;
        let mut form = None;
        let mut event = first;
        let stalled = self.shared.setup.budgets.stalled_audio;
        loop {
            if let Event::Audio(sound) = &event {
                length += Duration::from_micros(sound.length_us());
                if let Err(error) = Form::of(sound, name).and_then(|of| of.follows(&mut form, name)) {
                    event = Event::Failed(error);
                }
            }
            match event {
                Event::Failed(error) => {
                    self.note_failure(candidate, &mut attempt.pass, error.clone());
                    self.shared.states().broken += 1;
                    return (self.sink)(Event::Failed(error));
                }
                Event::Finished => {
                    if keeps {
                        spoken.push(Event::Finished);
                        phrases.keep(key, spoken);
                    }
                    self.took(candidate, Stage::Whole, since.elapsed());
                    attempt.pass.worked();
                    self.shared.spoke(candidate);
                    return (self.sink)(Event::Finished);
                }
                event => {
                    if keeps {
                        keeps = length < Duration::from_secs(20);
                        spoken.push(event.clone());
                    }
                    (self.sink)(event);
                }
            }
            // What there is may be played on while nothing comes.
            let gap = began + length.saturating_sub(BEFORE_GAP);
            event = loop {
                tokio::select! {
                    biased;
                    told = self.events.recv() => match told {
                        Some((of, event)) if of == number => {
                            last = Instant::now();
                            break event;
                        }
                        Some(_) => {}
                        None => return,
                    },
                    () = sleep_until((last + stalled).max(gap)) => {
                        let message = format!("silent for {} ms in mid-sentence", stalled.as_millis());
                        break Event::Failed(Error::new(name, ErrorKind::TimedOut, message));
                    }
                }
            };
        }
    }

    fn took(&self, candidate: usize, stage: Stage, time: Duration) {
        self.shared.setup.took(&self.shared.used(candidate), stage, time, true);
    }

    fn note_failure(&mut self, candidate: usize, pass: &mut Pass, error: Error) {
        self.shared.note_failure(candidate, pass, &error);
        let nobody_else = self.waiting.is_empty() && self.running.is_empty();
        if nobody_else && !error.kind.is_permanent() && std::mem::take(&mut self.again) {
            self.waiting.extend(self.shared.soonest(self.shared.order().into_iter()));
        }
        self.failed = Some((candidate, error));
    }
}
