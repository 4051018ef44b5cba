//! S under random facts: what must hold whatever comes, and that nobody can tell a call with speculation from one
//! without by what was said and done.

use std::collections::{BTreeMap, BTreeSet};

use parlance_conversation::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::agents::{eager, model};
use crate::session::{Answer, Session};

/// What must hold of every call.
pub fn check_speculation(call: &Session) {
    let mut flight: Option<ReplyId> = None;
    let mut tries: BTreeMap<TurnId, u32> = BTreeMap::new();
    let (mut decided, mut dropped) = (BTreeSet::new(), BTreeSet::new());
    let mut cancelled = BTreeSet::new();
    for (_, action) in &call.actions {
        match action {
            Action::Tell(Event::SpeculationStarted { reply, turn, .. }) => {
                assert_eq!(flight.replace(*reply), None, "two in flight\n{}", call.text());
                let tries = tries.entry(*turn).or_default();
                *tries += 1;
                assert!(*tries <= 3, "too many in {turn}\n{}", call.text());
            }
            Action::Tell(Event::SpeculationKept { reply, .. }) => {
                assert_eq!(flight.take(), Some(*reply), "{}", call.text());
            }
            Action::Tell(Event::SpeculationDropped { reply, .. }) => {
                assert_eq!(flight.take(), Some(*reply), "{}", call.text());
                assert!(cancelled.contains(reply), "dropped and not cancelled\n{}", call.text());
                dropped.insert(*reply);
            }
            Action::Tell(Event::ReplyStarted { reply, .. }) => {
                assert!(!dropped.contains(reply) && flight != Some(*reply), "{}", call.text());
                decided.insert(*reply);
            }
            Action::StartReply { reply, speculative, .. } => {
                assert_eq!(*speculative, flight == Some(*reply), "{}", call.text());
                assert!(*speculative || decided.contains(reply), "{}", call.text());
            }
            Action::Synthesize { reply, .. } => {
                assert!(flight == Some(*reply) || decided.contains(reply), "{}", call.text());
            }
            Action::ReleaseReply { reply } | Action::HoldPlayout { reply } => {
                assert!(decided.contains(reply), "released before the decision\n{}", call.text());
            }
            Action::Tell(Event::Said(Entry { reply: Some(reply), .. })) => {
                assert!(decided.contains(reply), "heard before the decision\n{}", call.text());
            }
            Action::CancelReply { reply } => drop(cancelled.insert(*reply)),
            _ => {}
        }
    }
    assert!(flight.is_none() || !call.conversation.is_over(), "one is left\n{}", call.text());
}

/// A caller's turn: what the transcriber makes of it, and what else comes before it is decided.
#[derive(Debug, Clone)]
struct Turn {
    words: Vec<usize>,
    /// The last interim is wrong.
    wrong: bool,
    marked: bool,
    /// A pause in the middle, shorter than any wait, milliseconds.
    pause: Option<u64>,
    eager: bool,
    resumed: bool,
    end: bool,
    typed: bool,
}

const WORDS: &[&str] =
    &["book", "table", "Friday", "cancel", "please", "and", "Saturday", "menu", "terrace", "for"];

#[derive(Debug, Clone)]
struct Plan {
    turns: Vec<Turn>,
    trusted: bool,
    watermark: bool,
    voice_delay: u64,
    tool_delay: u64,
}

fn turn() -> impl Strategy<Value = Turn> {
    let words = prop::collection::vec(0..WORDS.len(), 1..7);
    let pause = prop::option::weighted(0.4, 60_u64..200);
    let rare = || prop::bool::weighted(0.2);
    (words, any::<bool>(), any::<bool>(), pause, any::<bool>(), rare(), rare(), rare()).prop_map(
        |(words, wrong, marked, pause, eager, resumed, end, typed)| Turn {
            words,
            wrong,
            marked,
            pause,
            eager,
            resumed,
            end,
            typed,
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let turns = prop::collection::vec(turn(), 1..5);
    (turns, any::<bool>(), any::<bool>(), 0_u64..900, 0_u64..2_000).prop_map(
        |(turns, trusted, watermark, voice_delay, tool_delay)| Plan {
            turns,
            trusted,
            watermark,
            voice_delay,
            tool_delay,
        },
    )
}

/// A model that answers the same to the same words.
fn answer(context: &[Message]) -> Answer {
    let letters = |text: &String| -> u64 {
        let plain = text.to_lowercase();
        let bytes = plain.bytes().filter(u8::is_ascii_alphabetic);
        bytes.fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003)
    };
    let told: u64 = context
        .iter()
        .map(|message| match message {
            Message::Caller { text } => letters(text),
            _ => 0,
        })
        .sum();
    let (delay, pick) = (told % 1_900, told % 7);
    let text = match context.last() {
        Some(Message::ToolResult { .. }) => "That is done.",
        Some(Message::System { .. }) => "Pardon me?",
        _ if pick == 0 => "",
        _ if pick < 4 => "Certainly. For how many people shall I book it? I have room.",
        _ => "One moment please.",
    };
    let asks = matches!(context.last(), Some(Message::Caller { .. }));
    let tool = |name: &str| vec![(name.to_owned(), serde_json::json!({ "told": told }))];
    let tools = match pick {
        5 if asks => tool("book"),
        6 if asks => tool("look_up"),
        _ => Vec::new(),
    };
    Answer { delay, text: text.to_owned(), tools }
}

fn play(plan: &Plan, policy: Policy) -> Session {
    let mut policy = policy;
    policy.turn_taking.trust_provider_turns = plan.trusted;
    policy.transcriber.turns = plan.trusted;
    policy.transcriber.watermark = plan.watermark;
    let mut call = Session::new(policy);
    call.voice_delay = Some(plan.voice_delay);
    call.tool_delay = Some(plan.tool_delay);
    call.answers_by = Some(answer);
    call.run(300);
    for turn in &plan.turns {
        speak(&mut call, turn);
        listen(&mut call);
    }
    let now = call.clock;
    call.post(now, Input::FarEndLost { reason: EndReason::CallerHungUp }).run(now + 100);
    call
}

fn speak(call: &mut Session, turn: &Turn) {
    let words: Vec<&str> = turn.words.iter().map(|word| WORDS[*word]).collect();
    let from = call.clock + 200;
    let to = from + 200 * words.len() as u64;
    let covers = |at: u64| Some(at);
    match turn.pause.filter(|_| words.len() > 1) {
        None => {
            call.voice(from, to);
        }
        Some(pause) => {
            call.voice(from, to - 200 - pause);
            call.voice(to - 200, to);
        }
    }
    for count in 1..words.len() {
        let at = from + 200 * count as u64;
        call.plain(at + 60, TranscriptKind::Interim, &words[..count].join(" "), covers(at));
    }
    let text = words.join(" ");
    let wrong = format!("{text} terrace");
    let interim = if turn.wrong { &wrong } else { &text };
    call.plain(to + 90, TranscriptKind::Interim, interim, covers(to + 40));
    let post = |call: &mut Session, at: u64, signal| {
        call.post(at, Input::ProviderTurn { signal });
    };
    if turn.eager {
        post(call, to + 95, TurnSignal::EagerEnd);
    }
    if turn.resumed {
        post(call, to + 140, TurnSignal::Resumed);
    }
    let text = if turn.marked { format!("{}.", text.to_uppercase()) } else { text };
    call.plain(to + 180, TranscriptKind::Slice, &text, covers(to + 110));
    if turn.typed {
        call.post(to + 220, Input::TypedText { text: "by hand".into() });
    } else if turn.end {
        post(call, to + 230, TurnSignal::End);
    }
    call.run(to + 240);
}

/// Until the answer was heard.
fn listen(call: &mut Session) {
    for _ in 0..400 {
        let view = call.conversation.state();
        let quiet = view.agent == AgentState::Listening && view.caller == CallerState::Silent;
        if quiet && call.count("run i") == call.count("tool over") {
            return;
        }
        let now = call.clock;
        call.run(now + 50);
    }
    panic!("no end of the answer\n{}", call.text());
}

/// What was said and done in the end, without times.
fn outcome(call: &Session) -> Vec<String> {
    let mut said = BTreeMap::new();
    let mut done = Vec::new();
    for (_, action) in &call.actions {
        match action {
            Action::Tell(Event::Said(entry)) => {
                let line = format!("{:?} {} | {} {}", entry.speaker, entry.text, entry.unheard, entry.typed);
                said.insert(entry.sequence, line);
            }
            Action::RunTool { tool, arguments, .. } => done.push(format!("{tool} {arguments}")),
            Action::EndCall { reason } => done.push(format!("{reason:?}")),
            _ => {}
        }
    }
    said.into_values().chain(done).collect()
}

#[test]
fn nobody_can_tell_speculation_by_what_was_said_and_done() {
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let counts = std::cell::RefCell::new((0, 0));
    let result = runner.run(&plan(), |plan| {
        let (with, without) = (play(&plan, eager()), play(&plan, model()));
        check_speculation(&with);
        prop_assert_eq!(outcome(&with), outcome(&without), "{}\n\nwithout:\n{}", with.text(), without.text());
        prop_assert_eq!(without.count("guess"), 0);
        let mut counts = counts.borrow_mut();
        counts.0 += with.count("guess kept");
        counts.1 += with.count("guess dropped");
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let (kept, dropped) = counts.into_inner();
    assert!(kept > 300 && dropped > 100, "{kept} kept, {dropped} dropped: the test must see both");
}
