//! Random facts in random order at random times: what must hold whatever comes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parlance_conversation::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::agents::{booking, eager, greeting, model};
use crate::session::{Session, ms, show};
use crate::speculation_chaos::check_speculation;

const CASES: u32 = 1_200;

/// Something that happens in a call; times and ids are made from the call as it is then.
#[derive(Debug, Clone)]
enum Step {
    /// Nothing but time, milliseconds.
    Pass(u64),
    /// The caller's audio stands still, or comes again.
    AudioStalls(bool),
    /// A fact with a time that was before.
    Earlier,
    Voice,
    VoiceEnd,
    Words {
        text: usize,
        slice: bool,
        timed: bool,
        lag: u64,
    },
    Provider(TurnSignal),
    Typed(usize),
    Digit(usize),
    Interrupt,
    Say(bool),
    Settings(usize),
    ToolEnds {
        which: u32,
        ok: bool,
    },
    Model {
        which: u32,
        what: usize,
    },
    Failed {
        kind: usize,
        fallback: bool,
    },
    OldAudio {
        reply: u32,
        length: u64,
    },
    Lost,
}

const TEXTS: &[&str] = &[
    "",
    "yes",
    "mhm",
    "I see",
    "i",
    "Saturday",
    "no, stop",
    "I'd like to book a table for",
    "thanks bye",
    "hello?",
    "five five five",
    "We open at nine",
    "wait one more thing",
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u64..400).prop_map(Step::Pass),
        4 => (400_u64..9_000).prop_map(Step::Pass),
        1 => (9_000_u64..40_000).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::AudioStalls),
        1 => Just(Step::Earlier),
        6 => Just(Step::Voice),
        6 => Just(Step::VoiceEnd),
        8 => (0..TEXTS.len(), any::<bool>(), any::<bool>(), 0_u64..600)
            .prop_map(|(text, slice, timed, lag)| Step::Words { text, slice, timed, lag }),
        3 => prop_oneof![Just(TurnSignal::Start), Just(TurnSignal::EagerEnd), Just(TurnSignal::Resumed), Just(TurnSignal::End)]
            .prop_map(Step::Provider),
        1 => (0..TEXTS.len()).prop_map(Step::Typed),
        1 => (0_usize..4).prop_map(Step::Digit),
        1 => Just(Step::Interrupt),
        1 => any::<bool>().prop_map(Step::Say),
        1 => (0..agents().len()).prop_map(Step::Settings),
        2 => (0_u32..6, any::<bool>()).prop_map(|(which, ok)| Step::ToolEnds { which, ok }),
        4 => (0_u32..12, 0_usize..5).prop_map(|(which, what)| Step::Model { which, what }),
        1 => (0_usize..3, prop::bool::weighted(0.9)).prop_map(|(kind, fallback)| Step::Failed { kind, fallback }),
        1 => (0_u32..12, 0_u64..3_000).prop_map(|(reply, length)| Step::OldAudio { reply, length }),
        1 => prop::bool::weighted(0.1).prop_map(|lost| if lost { Step::Lost } else { Step::Pass(100) }),
    ]
}

const DEADLINES: &[Deadline] = &[
    Deadline::Begin,
    Deadline::EndOfTurn,
    Deadline::Finalize,
    Deadline::Speculate,
    Deadline::Hold,
    Deadline::HoldOutcome,
    Deadline::Release,
    Deadline::FirstToken,
    Deadline::FirstAudio,
    Deadline::StalledAudio,
    Deadline::Filler,
    Deadline::Tool,
    Deadline::Reminder,
    Deadline::Silence,
    Deadline::Goodbye,
    Deadline::DtmfCollect,
    Deadline::DurationWarning,
    Deadline::MaxDuration,
];

/// Agents that differ in what makes deadlines and states.
fn agents() -> Vec<Policy> {
    let mut agents =
        vec![model(), booking(), greeting("We open at nine. Shall I book a table for you? I can do that.")];
    let mut deaf = greeting("We open at nine in the morning and close at five.");
    deaf.transcriber = Transcriber {
        interims: false,
        watermark: false,
        lag_p95: Duration::from_millis(400),
        ..Transcriber::default()
    };
    deaf.budgets.fillers = vec!["One moment.".into()];
    agents.push(deaf);
    let mut short = greeting("Hello there.");
    short.call_handling.max_duration = Duration::from_secs(32);
    short.call_handling.duration_warning = Some("We must end soon.".into());
    short.call_handling.begin_delay = Duration::from_millis(700);
    short.turn_taking.protect_begin = Duration::from_millis(500);
    agents.push(short);
    let mut provider = booking();
    provider.turn_taking.trust_provider_turns = true;
    provider.transcriber.turns = true;
    provider.turn_taking.interrupt_min_words = 2;
    provider.budgets.fillers = vec!["Hmm.".into(), "Let me see.".into()];
    agents.push(provider);
    let mut deaf_to_all = greeting("You can't interrupt me at all, I go on and on.");
    deaf_to_all.turn_taking.interruption_sensitivity = 0.0;
    deaf_to_all.call_handling.reminder_max = 0;
    agents.push(deaf_to_all);
    let mut early = eager();
    early.turn_taking.trust_provider_turns = true;
    early.budgets.first_token = Duration::from_millis(900);
    agents.push(early);
    let mut early = eager();
    early.call_handling.begin = Begin::Agent;
    early.call_handling.begin_message = Some("We open at nine. Shall I book a table for you?".into());
    early.budgets.fillers = vec!["One moment.".into()];
    early.budgets.context_tokens = 60;
    agents.push(early);
    agents
}

#[derive(Debug, Clone)]
struct Plan {
    agent: usize,
    voice_delay: Option<u64>,
    voice_gap: u64,
    tool_delay: Option<u64>,
    answers: Vec<(u64, usize, bool)>,
    steps: Vec<Step>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let voice = prop_oneof![6 => (0_u64..900).prop_map(Some), 1 => Just(None)];
    let tool = prop_oneof![4 => (0_u64..3_000).prop_map(Some), 1 => Just(None)];
    let answers = prop::collection::vec((0_u64..4_000, 0_usize..4, prop::bool::weighted(0.3)), 0..8);
    let steps = prop::collection::vec(step(), 1..24);
    let gap = prop_oneof![3 => Just(0), 1 => 0_u64..6_000];
    (0..agents().len(), voice, gap, tool, answers, steps).prop_map(
        |(agent, voice_delay, voice_gap, tool_delay, answers, steps)| Plan {
            agent,
            voice_delay,
            voice_gap,
            tool_delay,
            answers,
            steps,
        },
    )
}

const ANSWERS: &[&str] =
    &["", "We open at nine.", "Certainly. What is your name? I need it.", "Have a nice day."];

fn start(plan: &Plan) -> Session {
    let mut call = Session::new(agents()[plan.agent].clone());
    call.voice_delay = plan.voice_delay;
    call.voice_gap = plan.voice_gap;
    call.tool_delay = plan.tool_delay;
    for (delay, text, tool) in &plan.answers {
        match (tool, delay % 3) {
            (false, _) => call.answer(*delay, ANSWERS[*text]),
            (true, 0) => call.answer_with_tool(*delay, ANSWERS[*text], "book"),
            (true, 1) => call.answer_with_tool(*delay, ANSWERS[*text], "look_up"),
            (true, _) => call.answer_with_tool(*delay, ANSWERS[*text], "end_call"),
        };
    }
    call
}

fn transcript(now: u64, text: &str, slice: bool, timed: bool, lag: u64) -> Input {
    let kind = if slice { TranscriptKind::Slice } else { TranscriptKind::Interim };
    let covers = now.saturating_sub(lag);
    let all: Vec<&str> = text.split_whitespace().collect();
    let begin = covers.saturating_sub(all.len() as u64 * 200);
    let word = |(i, text): (usize, &&str)| WordTime {
        text: (*text).to_owned(),
        start: ms(begin + 200 * i as u64),
        end: ms(begin + 200 * (i as u64 + 1)),
    };
    let words = if timed { all.iter().enumerate().map(word).collect() } else { Vec::new() };
    let covers_until = (timed || lag.is_multiple_of(2)).then(|| ms(covers));
    Input::Transcript(Transcript { kind, text: text.to_owned(), words, covers_until })
}

fn take(call: &mut Session, step: &Step) {
    let now = call.clock;
    let input = match step.clone() {
        Step::Pass(time) => {
            call.run(now + time);
            return;
        }
        Step::AudioStalls(stalls) => return call.audio_stopped_at = stalls.then_some(now),
        Step::Earlier => return call.hand(now.saturating_sub(700), Input::CallerAudioReached),
        Step::Voice => Input::CallerVoiceStarted { at: ms(now.saturating_sub(50)) },
        Step::VoiceEnd => Input::CallerVoiceEnded { last: ms(now.saturating_sub(80)) },
        Step::Words { text, slice, timed, lag } => transcript(now, TEXTS[text], slice, timed, lag),
        Step::Provider(signal) => Input::ProviderTurn { signal },
        Step::Typed(text) => Input::TypedText { text: TEXTS[text].into() },
        Step::Digit(digit) => Input::Digit { digit: ['1', '2', '#', '*'][digit], at: ms(now) },
        Step::Interrupt => Input::Control(Control::Interrupt),
        Step::Say(protected) => Input::Control(Control::Say { text: "An announcement.".into(), protected }),
        Step::Settings(agent) => Input::Control(Control::Settings(Box::new(agents()[agent].clone()))),
        Step::ToolEnds { which, ok } => {
            let outcome = match ok {
                true => ToolOutcome::Succeeded { result: serde_json::json!({}) },
                false => ToolOutcome::Failed { reason: "we are full".into() },
            };
            Input::ToolFinished { invocation: InvocationId(which), outcome }
        }
        Step::Model { which, what } => model_fact(ReplyId(which), what),
        Step::Failed { kind, fallback } => Input::ProviderFailed {
            kind: [ProviderKind::SpeechToText, ProviderKind::LanguageModel, ProviderKind::TextToSpeech][kind],
            reply: None,
            message: "closed".into(),
            fallback_left: fallback,
        },
        Step::OldAudio { reply, length } => {
            Input::PlayedUpTo { reply: ReplyId(reply), position: Duration::from_millis(length), at: ms(now) }
        }
        Step::Lost => Input::FarEndLost { reason: EndReason::FarEndLost },
    };
    call.post(now, input).run(now);
}

fn model_fact(reply: ReplyId, what: usize) -> Input {
    let call = |tool: &str| ToolRequest {
        call_id: "c".into(),
        tool: tool.into(),
        arguments: serde_json::json!({}),
        signature: None,
    };
    match what {
        0 => Input::ReplyText { reply, text: "So, in other words, it is. ".into() },
        1 => Input::ReplyFinished { reply },
        2 => Input::ReplyWantsTools {
            reply,
            calls: vec![call("book"), call("look_up"), call("a"), call("b"), call("c")],
        },
        3 => Input::ReplyWantsTools { reply, calls: vec![call("look_up"), call("end_call")] },
        _ => Input::PlayoutDrained { reply, at: ms(0) },
    }
}

#[derive(Default)]
struct Seen {
    states: BTreeSet<(CallerState, AgentState)>,
    fired: BTreeSet<Deadline>,
}

/// What must hold after every step.
fn check(call: &Session) {
    let over = call.conversation.is_over();
    assert!(over || call.conversation.next_deadline().is_some(), "no deadline runs\n{}", call.text());
}

/// What must hold of the whole call.
fn check_all(call: &Session) {
    check_speculation(call);
    let lines = || call.text();
    let ends: Vec<usize> = call
        .actions
        .iter()
        .enumerate()
        .filter(|(_, (_, a))| matches!(a, Action::EndCall { .. }))
        .map(|(i, _)| i)
        .collect();
    if call.conversation.is_over() {
        assert_eq!(ends, [call.actions.len() - 1], "the end comes once and last\n{}", lines());
    } else {
        assert!(ends.is_empty(), "{}", lines());
    }
    let mut over: BTreeSet<ReplyId> = BTreeSet::new();
    let mut held: BTreeSet<ReplyId> = BTreeSet::new();
    let mut synthesized: BTreeMap<ReplyId, Vec<String>> = BTreeMap::new();
    let revoiced = call.count("failed text_to_speech") > 0;
    for (_, action) in &call.actions {
        let acts_on = match action {
            Action::StartReply { reply, .. }
            | Action::ReleaseReply { reply }
            | Action::HoldPlayout { reply } => Some(reply),
            Action::ResumePlayout { reply, .. } | Action::Synthesize { reply, .. } => Some(reply),
            _ => None,
        };
        assert!(
            acts_on.is_none_or(|reply| !over.contains(reply)),
            "{} after its end\n{}",
            show(action),
            lines()
        );
        match action {
            Action::Synthesize { reply, text, .. } => {
                synthesized.entry(*reply).or_default().push(text.clone())
            }
            Action::Tell(Event::ReplyEnded { reply, .. }) => {
                assert!(over.insert(*reply), "ended twice\n{}", lines())
            }
            Action::Tell(Event::Held { reply, .. }) => {
                assert!(held.insert(*reply), "held twice\n{}", lines())
            }
            Action::Tell(Event::HoldEnded { reply, .. }) => {
                assert!(held.remove(reply), "not held\n{}", lines())
            }
            Action::Tell(Event::Said(entry)) if entry.start > entry.end || entry.sequence == 0 => {
                panic!("{entry:?}\n{}", lines());
            }
            Action::Tell(Event::Said(entry)) if entry.speaker == Speaker::Agent => {
                let all = synthesized[&entry.reply.expect("a reply's entry")].join(" ");
                let heard =
                    if revoiced { is_within(&entry.text, &all) } else { all.starts_with(&entry.text) };
                assert!(heard, "{:?} was not said so: {all:?}\n{}", entry.text, lines());
            }
            _ => {}
        }
    }
    if call.conversation.is_over() {
        assert!(held.is_empty(), "held to the end\n{}", lines());
    }
}

/// A fallback voice says words again that the first one never voiced.
fn is_within(heard: &str, said: &str) -> bool {
    let mut said = said.split_whitespace();
    heard.split_whitespace().all(|word| said.any(|other| other == word))
}

fn play(plan: &Plan, seen: &mut Seen) -> Session {
    let mut call = start(plan);
    call.run(0);
    for step in &plan.steps {
        if call.conversation.is_over() {
            break;
        }
        take(&mut call, step);
        check(&call);
    }
    leave_alone(&mut call);
    seen.fired.extend(&call.fired);
    seen.states.extend(call.states.iter().map(|state| (state.caller, state.agent)));
    call
}

/// A caller who falls silent for good is asked and let go: no call hangs.
fn leave_alone(call: &mut Session) {
    call.audio_stopped_at = None;
    let now = call.clock;
    call.post(now, Input::CallerVoiceEnded { last: ms(now) }).run(now + 180_000);
    assert!(call.conversation.is_over(), "it hangs in {:?}\n{}", call.conversation.state(), call.text());
}

/// The decisions that the same facts bring again.
fn replay(call: &Session, policy: Policy) -> Vec<Action> {
    let mut again = Conversation::new(policy);
    let mut actions = Vec::new();
    call.facts.iter().for_each(|(now, input)| again.handle(*now, input.clone(), &mut actions));
    actions
}

#[test]
fn whatever_comes_the_promises_hold_and_a_replay_decides_the_same() {
    let mut seen = Seen::default();
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let seen_here = std::cell::RefCell::new(&mut seen);
    let result = runner.run(&plan(), |plan| {
        let mut seen = seen_here.borrow_mut();
        let call = play(&plan, &mut seen);
        check_all(&call);
        let decided: Vec<Action> = call.actions.iter().map(|(_, action)| action.clone()).collect();
        prop_assert_eq!(decided, replay(&call, agents()[plan.agent].clone()));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let missing: Vec<Deadline> = DEADLINES.iter().copied().filter(|d| !seen.fired.contains(d)).collect();
    assert!(missing.is_empty(), "{missing:?} were never met");
    assert_eq!(seen.states.len(), 12, "of 3 × 4 states only {:?} were reached", seen.states);
}
