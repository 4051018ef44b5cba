//! Language models one after another: first useful output within its budget, or the next is asked (A3).
//!
//! Before anything was said the next model simply answers instead. When an answer breaks after it has begun, the next
//! one is told what was said and goes on from there. With hedging a second model starts beside one that is slower than
//! it usually is; who says something first answers, the other is cancelled. One that fails with what only a person can
//! mend is not asked again in this call; its breaker says when another call may.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::health::Pass;
use super::joint::{self, Joint, Words};
use super::{Setup, Thinking};
use crate::llm::{Event, LanguageModel, Request, Response, Sink, ToolCall, Usage};
use crate::notes::{Note, Stage};
use crate::registry::Kind;
use crate::running::Running;
use crate::{Error, ErrorKind};

/// A hedge starts no sooner than this.
const HEDGE_MIN: Duration = Duration::from_millis(200);
/// A rate limit is waited for so long when nobody else is left.
const WAIT_MAX: Duration = Duration::from_millis(500);

pub(super) struct Chain {
    candidates: Vec<Thinking>,
    setup: Setup,
    given_up: GivenUp,
}

/// Why candidates are not asked again in this call: only a person can mend what they have failed with.
type GivenUp = Arc<Mutex<Vec<Option<Error>>>>;

impl Chain {
    /// `candidates` is not empty.
    pub(super) fn new(candidates: Vec<Thinking>, setup: Setup) -> Self {
        let given_up = Arc::new(Mutex::new(vec![None; candidates.len()]));
        Self { candidates, setup, given_up }
    }
}

impl LanguageModel for Chain {
    fn name(&self) -> &'static str {
        self.candidates[0].provider.name()
    }

    fn warm(&self) {
        // The fallbacks too: their first turn is one that is late already.
        for thinking in &self.candidates {
            self.setup.watch(thinking.used(), false).over(|| thinking.provider.warm());
        }
    }

    fn respond(&self, request: Request, sink: Sink) -> Result<Response, Error> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| Error::new(self.name(), ErrorKind::Unavailable, error.to_string()))?;
        let (told, events) = unbounded_channel();
        let (waiting, failed) = {
            let given_up = given_up(&self.given_up);
            let waiting: VecDeque<usize> =
                (0..given_up.len()).filter(|index| given_up[*index].is_none()).collect();
            let last = given_up.iter().cloned().enumerate().rev().find_map(|(of, why)| Some((of, why?)));
            let failed = last.filter(|_| waiting.is_empty());
            (waiting, failed)
        };
        let answer = Answer {
            candidates: self.candidates.clone(),
            setup: self.setup.clone(),
            given_up: Arc::clone(&self.given_up),
            waiting,
            running: Vec::new(),
            attempts: 0,
            hedge: None,
            again: true,
            has_called: false,
            request,
            told,
            events,
            sink,
            said: String::new(),
            failed,
        };
        Ok(Box::new(Running(runtime.spawn(answer.give()))))
    }
}

/// An attempt under way.
struct Attempt {
    number: u32,
    candidate: usize,
    since: Instant,
    words: Words,
    joint: Joint,
    bill: Bill,
    pass: Pass,
    /// In a lock that nobody takes, so that a task may look at an attempt between waits.
    _response: Mutex<Response>,
}

/// What an attempt costs, told also when it is dropped.
struct Bill {
    setup: Setup,
    provider: &'static str,
    model: String,
    asked: usize,
    given: usize,
    settled: bool,
}

impl Bill {
    /// It was worth its price.
    fn used(&mut self, told: Usage) {
        self.settled = true;
        let has_told = told.input_tokens.is_some() || told.output_tokens.is_some();
        let usage = if has_told { told } else { self.estimate() };
        let (kind, provider, model) = (Kind::Llm, self.provider, std::mem::take(&mut self.model));
        (self.setup.notes)(Note::Used { kind, provider, model, usage, characters: 0 });
    }

    /// The vendor failed: what it had not answered yet costs nothing, what it had was said.
    fn broke(&mut self) {
        if self.given > 0 {
            self.used(Usage::default());
        }
        self.settled = true;
    }

    /// A token is about four characters.
    fn estimate(&self) -> Usage {
        let tokens = |characters: usize| u32::try_from(characters.div_ceil(4)).ok();
        Usage { input_tokens: tokens(self.asked), output_tokens: tokens(self.given), ..Usage::default() }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if !self.settled {
            let (kind, provider, usage) = (Kind::Llm, self.provider, self.estimate());
            (self.setup.notes)(Note::ThrownAway { kind, provider, usage, characters: 0 });
        }
    }
}

struct Answer {
    candidates: Vec<Thinking>,
    setup: Setup,
    given_up: GivenUp,
    waiting: VecDeque<usize>,
    running: Vec<Attempt>,
    attempts: u32,
    /// The attempt that was started beside a slow one.
    hedge: Option<u32>,
    /// One that failed may be asked once more when nobody else is left: the only one that is not given up, or one whose words are being said.
    again: bool,
    /// It has asked for tools, which run now: nothing of it is missing.
    has_called: bool,
    request: Request,
    told: UnboundedSender<(u32, Event)>,
    events: UnboundedReceiver<(u32, Event)>,
    sink: Sink,
    said: String,
    /// The last failure, and whose; `None` once it was told who follows.
    failed: Option<(usize, Error)>,
}

impl Answer {
    async fn give(mut self) {
        loop {
            if self.running.is_empty() && !self.start().await {
                let (_, error) =
                    self.failed.take().unwrap_or_else(|| (0, super::nobody_left("language model")));
                return (self.sink)(Event::Failed(error));
            }
            if self.first_useful().await && self.rest().await {
                return;
            }
        }
    }

    /// Asks the next candidate. `false` when none is left.
    async fn start(&mut self) -> bool {
        loop {
            let next = self.setup.next(&mut self.waiting, |index| self.candidates[index].used());
            let Some((candidate, mut pass)) = next else { return false };
            let used = self.candidates[candidate].used();
            let Thinking { provider, model, .. } = self.candidates[candidate].clone();
            self.note_switch(candidate);
            let messages = if self.said.is_empty() {
                self.request.messages.clone()
            } else {
                joint::go_on(&self.request.messages, &self.said)
            };
            let asked = messages.iter().map(|message| message.text.chars().count()).sum();
            let request = Request { messages, model: model.clone(), ..self.request.clone() };
            self.attempts += 1;
            let (number, told) = (self.attempts, self.told.clone());
            let sink: Sink = Arc::new(move |event| drop(told.send((number, event))));
            let since = Instant::now();
            let watch = self.setup.watch(used, true);
            match watch.over(|| provider.respond(request, sink)) {
                Ok(response) => {
                    let model = model.unwrap_or_default();
                    let (setup, provider) = (self.setup.clone(), provider.name());
                    self.running.push(Attempt {
                        number,
                        candidate,
                        since,
                        words: Words::default(),
                        joint: Joint::new(&self.said),
                        bill: Bill { setup, provider, model, asked, given: 0, settled: false },
                        pass,
                        _response: Mutex::new(response),
                    });
                    return true;
                }
                Err(error) => self.note_failure(candidate, &mut pass, error).await,
            }
        }
    }

    /// Until one attempt has said something useful; all others are cancelled then. `false` when all have failed.
    async fn first_useful(&mut self) -> bool {
        let mut hedge = self.hedge_at();
        loop {
            let Some(due) =
                self.running.iter().map(|attempt| attempt.since + self.setup.budgets.first_token).min()
            else {
                return false;
            };
            let at = hedge.map_or(due, |hedge| hedge.min(due));
            tokio::select! {
                biased;
                told = self.events.recv() => {
                    let Some((number, event)) = told else { return false };
                    let Some(index) = self.running.iter().position(|attempt| attempt.number == number) else { continue };
                    match event {
                        Event::Failed(error) => {
                            let mut failed = self.running.remove(index);
                            failed.bill.broke();
                            self.note_failure(failed.candidate, &mut failed.pass, error).await;
                        }
                        // White space is no word; nothing at all is the sign that a tool call is being written.
                        Event::Text(text) if !text.is_empty() && text.trim().is_empty() => {
                            self.running[index].words.push(&text);
                        }
                        event => {
                            self.choose(index);
                            if self.forward(event) {
                                return true;
                            }
                            return !self.running.is_empty();
                        }
                    }
                }
                () = sleep_until(at) => {
                    if hedge.take().is_some_and(|hedge| hedge <= Instant::now()) {
                        self.hedge().await;
                    } else {
                        self.give_up_late().await;
                    }
                }
            }
        }
    }

    /// When a second one starts beside the first.
    fn hedge_at(&self) -> Option<Instant> {
        let attempt = self.running.first().filter(|_| self.setup.budgets.hedging && self.said.is_empty())?;
        if !self.setup.has_next(&self.waiting, |index| self.candidates[index].used()) {
            return None;
        }
        let half = self.setup.budgets.first_token / 2;
        let used = self.candidates[attempt.candidate].used();
        let usual = self.setup.health.usual(&used, Stage::FirstOutput);
        Some(attempt.since + usual.unwrap_or(half).clamp(HEDGE_MIN.min(half), half))
    }

    async fn hedge(&mut self) {
        // Not a switch: the first may still win.
        let failed = self.failed.take();
        self.start().await;
        self.failed = failed.or(self.failed.take());
        self.hedge = self.running.get(1).map(|attempt| attempt.number);
    }

    /// The one that failed is followed by this one.
    fn note_switch(&mut self, candidate: usize) {
        let Some((from, error)) = self.failed.take() else { return };
        let [from, to] = [from, candidate].map(|index| self.candidates[index].provider.name());
        (self.setup.notes)(Note::Switched { kind: Kind::Llm, from, to, error });
    }

    async fn give_up_late(&mut self) {
        let (now, budget) = (Instant::now(), self.setup.budgets.first_token);
        while let Some(index) = self.running.iter().position(|attempt| attempt.since + budget <= now) {
            let mut late = self.running.remove(index);
            let name = self.candidates[late.candidate].provider.name();
            let message = format!("nothing said within {} ms", budget.as_millis());
            let error = Error::new(name, ErrorKind::TimedOut, message);
            self.note_failure(late.candidate, &mut late.pass, error).await;
        }
    }

    /// This attempt answers.
    fn choose(&mut self, index: usize) {
        let mut chosen = self.running.swap_remove(index);
        chosen.pass.was_heard();
        let winner = self.candidates[chosen.candidate].provider.name();
        for Attempt { candidate, since, mut pass, .. } in self.running.drain(..) {
            let loser = self.candidates[candidate].provider.name();
            // It takes at least so long; without the slow ones it would seem ever quicker, and be hedged ever sooner.
            let used = self.candidates[candidate].used();
            self.setup.health.took(&used, Stage::FirstOutput, since.elapsed());
            if since < chosen.since {
                pass.was_outrun();
            }
            (self.setup.notes)(Note::Hedged { kind: Kind::Llm, winner, loser });
        }
        // The one it was to outrun has failed meanwhile.
        if self.hedge == Some(chosen.number) {
            self.note_switch(chosen.candidate);
        }
        self.took(chosen.candidate, Stage::FirstOutput, chosen.since.elapsed());
        self.running.push(chosen);
    }

    /// The rest of the chosen answer. `true` when it is complete; `false` when another attempt must go on.
    async fn rest(&mut self) -> bool {
        while let Some(attempt) = self.running.first() {
            let (number, candidate) = (attempt.number, attempt.candidate);
            let budget = self.setup.budgets.stalled_token;
            let event = tokio::select! {
                biased;
                told = self.events.recv() => match told {
                    Some((of, event)) if of == number => event,
                    Some(_) => continue,
                    None => return false,
                },
                () = sleep_until(Instant::now() + budget) => {
                    let name = self.candidates[candidate].provider.name();
                    let message = format!("silent for {} ms in mid-answer", budget.as_millis());
                    Event::Failed(Error::new(name, ErrorKind::TimedOut, message))
                }
            };
            if let Event::Failed(error) = event {
                let Some(mut broken) = self.running.pop() else { return false };
                broken.bill.broke();
                if self.has_called {
                    broken.pass.failed(&error);
                    (self.setup.notes)(Note::Failed {
                        kind: Kind::Llm,
                        provider: broken.bill.provider,
                        error,
                    });
                    (self.sink)(Event::Finished { usage: broken.bill.estimate() });
                    return true;
                }
                self.note_failure(candidate, &mut broken.pass, error).await;
                return false;
            }
            if self.forward(event) {
                return true;
            }
        }
        true
    }

    /// Gives an event of the chosen attempt on. `true` when the answer is complete.
    fn forward(&mut self, event: Event) -> bool {
        let Some(attempt) = self.running.first_mut() else { return true };
        match event {
            Event::Text(text) => {
                attempt.bill.given += text.chars().count();
                let whole = attempt.words.push(&text);
                let new = attempt.joint.push(&whole);
                self.say(new);
                false
            }
            Event::ToolCalls(calls) => {
                self.say_held();
                if let Some(attempt) = self.running.first_mut() {
                    let written = |call: &ToolCall| call.name.len() + call.arguments.to_string().len();
                    attempt.bill.given += calls.iter().map(written).sum::<usize>();
                }
                self.has_called = true;
                (self.sink)(Event::ToolCalls(calls));
                false
            }
            Event::Finished { usage } => {
                self.say_held();
                if let Some(mut attempt) = self.running.pop() {
                    attempt.bill.used(usage);
                    self.took(attempt.candidate, Stage::Whole, attempt.since.elapsed());
                    attempt.pass.worked();
                }
                (self.sink)(Event::Finished { usage });
                true
            }
            Event::Failed(error) => {
                (self.sink)(Event::Failed(error));
                true
            }
        }
    }

    fn say_held(&mut self) {
        let Some(attempt) = self.running.first_mut() else { return };
        let last = attempt.words.finish();
        let mut new = attempt.joint.push(&last);
        new.push_str(&attempt.joint.finish());
        self.say(new);
    }

    fn say(&mut self, text: String) {
        // Where another goes on there is one space, not two.
        let text = if self.said.ends_with(char::is_whitespace) { text.trim_start() } else { &text };
        if !text.is_empty() {
            self.said.push_str(text);
            (self.sink)(Event::Text(text.to_owned()));
        }
    }

    fn took(&self, candidate: usize, stage: Stage, time: Duration) {
        self.setup.took(&self.candidates[candidate].used(), stage, time, true);
    }

    async fn note_failure(&mut self, candidate: usize, pass: &mut Pass, error: Error) {
        let provider = self.candidates[candidate].provider.name();
        pass.failed(&error);
        (self.setup.notes)(Note::Failed { kind: Kind::Llm, provider, error: error.clone() });
        if error.kind.is_of_the_account() {
            given_up(&self.given_up)[candidate] = Some(error.clone());
        }
        let wait = error.retry_after.unwrap_or_default();
        let left = given_up(&self.given_up).iter().filter(|why| why.is_none()).count();
        let may_again = left == 1 || !self.said.is_empty();
        let worth_it = may_again && !error.kind.is_permanent() && wait <= WAIT_MAX;
        if self.waiting.is_empty() && self.running.is_empty() && worth_it && std::mem::take(&mut self.again) {
            tokio::time::sleep(wait).await;
            let is_asked = |index: &usize| {
                *index != candidate
                    && given_up(&self.given_up)[*index].is_none()
                    && self.setup.health.is_free(&self.candidates[*index].used())
            };
            let another = (0..self.candidates.len()).find(is_asked);
            self.waiting.push_back(another.unwrap_or(candidate));
        }
        self.failed = Some((candidate, error));
    }
}

fn given_up(of: &GivenUp) -> MutexGuard<'_, Vec<Option<Error>>> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
