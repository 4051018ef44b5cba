//! Language models in a chain.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_providers::ErrorKind;
use parlance_providers::account::AccountId;
use parlance_providers::chain::{self, Budgets, State, Thinking};
use parlance_providers::llm::{Event, LanguageModel, Message, Request, Role};
use parlance_providers::notes::Note;
use tokio::sync::mpsc::unbounded_channel;

use crate::puppets::{Puppet, Step, setup, short, switches};
use Step::{Call, End, Fail, Say, Wait};

struct Answered {
    text: String,
    events: Vec<Event>,
    notes: Arc<Mutex<Vec<Note>>>,
}

async fn answer_with(budgets: Budgets, puppets: &[Arc<Puppet>]) -> Answered {
    let (setup, notes) = setup(budgets);
    let thinking =
        |puppet: &Arc<Puppet>| Thinking { provider: puppet.clone(), model: None, account: AccountId::ENGINE };
    let chain = chain::llm(puppets.iter().map(thinking).collect(), setup).unwrap();
    answer_of(chain.as_ref(), notes).await
}

async fn answer_of(chain: &dyn LanguageModel, notes: Arc<Mutex<Vec<Note>>>) -> Answered {
    let (told, mut events) = unbounded_channel();
    let asked = Message { role: Role::Caller, text: "hi".into(), tool_calls: Vec::new(), tool_call_id: None };
    let request = Request { messages: vec![asked], ..Request::default() };
    let _response = chain.respond(request, Arc::new(move |event| drop(told.send(event)))).unwrap();
    let mut all = Answered { text: String::new(), events: Vec::new(), notes };
    loop {
        let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap();
        if let Event::Text(text) = &event {
            all.text.push_str(text);
        }
        let is_last = matches!(event, Event::Finished { .. } | Event::Failed(_));
        all.events.push(event);
        if is_last {
            return all;
        }
    }
}

async fn answer(puppets: &[Arc<Puppet>]) -> Answered {
    answer_with(short(), puppets).await
}

fn well() -> Arc<Puppet> {
    Puppet::new("second", &[&[Say("Fine, "), Say("thanks."), End]])
}

#[tokio::test]
async fn before_a_word_is_said_the_next_model_answers_instead() {
    for first in [
        &[Fail(ErrorKind::Unauthorized)] as &[Step],
        &[Fail(ErrorKind::RateLimited)],
        &[Wait(10_000)],
        &[Say(" "), Fail(ErrorKind::Unavailable)],
    ] {
        let answered = answer(&[Puppet::new("first", &[first]), well()]).await;
        assert_eq!(answered.text, "Fine, thanks.", "{first:?}");
        assert_eq!(switches(&answered.notes), [("first", "second")], "{first:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_goes_on_without_a_word_lost_or_doubled() {
    let broken: &[&[Step]] = &[
        &[Say("one two "), Say("thr"), Fail(ErrorKind::Unavailable)],
        &[Say("one two "), Say("thr"), Wait(10_000)],
    ];
    for first in broken {
        for rest in ["three four", "one two three four", "two three four"] {
            let second = Puppet::new("second", &[&[Say(rest), End]]);
            let answered = answer(&[Puppet::new("first", &[first]), second.clone()]).await;
            let words: Vec<&str> = answered.text.split_whitespace().collect();
            assert_eq!(words, ["one", "two", "three", "four"], "{first:?} then {rest}");
            let asked = second.asked.lock().unwrap()[0].clone();
            assert!(asked.starts_with("You were cut off") && asked.contains("«one two»"), "{asked}");
        }
    }
}

#[tokio::test]
async fn the_only_model_is_asked_once_more_but_not_when_only_a_person_can_help() {
    let once = Puppet::new("only", &[&[Fail(ErrorKind::Unavailable)], &[Say("Here."), End]]);
    assert_eq!(answer(std::slice::from_ref(&once)).await.text, "Here.");
    let always = Puppet::new("only", &[&[Fail(ErrorKind::Unavailable)]]);
    let answered = answer(std::slice::from_ref(&always)).await;
    assert!(matches!(answered.events.last(), Some(Event::Failed(_))));
    assert_eq!(always.times_asked(), 2);
    let broke = Puppet::new("only", &[&[Fail(ErrorKind::OutOfCredit)]]);
    let answered = answer(std::slice::from_ref(&broke)).await;
    assert!(matches!(&answered.events[..], [Event::Failed(error)] if error.kind == ErrorKind::OutOfCredit));
    assert_eq!(broke.times_asked(), 1);
}

#[tokio::test]
async fn the_only_model_that_is_not_given_up_is_asked_once_more() {
    let refused = Puppet::new("first", &[&[Fail(ErrorKind::Unauthorized)]]);
    let second = Puppet::new("second", &[&[Fail(ErrorKind::Unavailable)], &[Say("Yes."), End]]);
    assert_eq!(answer(&[refused, second]).await.text, "Yes.");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_wins_is_no_second_switch_from_a_failure_before_it() {
    let budgets = Budgets { hedging: true, first_token: Duration::from_secs(1), ..short() };
    let first = Puppet::new("first", &[&[Fail(ErrorKind::Unavailable)]]);
    let second = Puppet::new("second", &[&[Wait(10_000)]]);
    let third = Puppet::new("third", &[&[Say("Fine."), End]]);
    let answered = answer_with(budgets, &[first, second, third]).await;
    assert_eq!(answered.text, "Fine.");
    assert_eq!(switches(&answered.notes), [("first", "second")]);
}

#[tokio::test]
async fn a_key_that_is_refused_is_not_tried_again_in_this_call_but_in_another() {
    for kind in [ErrorKind::Unauthorized, ErrorKind::OutOfCredit, ErrorKind::Blocked] {
        let (setup, notes) = setup(short());
        let only = Puppet::new("only", &[&[Fail(kind)]]);
        let call = || {
            let provider: Arc<Puppet> = only.clone();
            let thinking = vec![Thinking { provider, model: None, account: AccountId::ENGINE }];
            chain::llm(thinking, setup.clone()).unwrap()
        };
        let first = call();
        for _ in 0..2 {
            let answered = answer_of(first.as_ref(), notes.clone()).await;
            assert!(matches!(&answered.events[..], [Event::Failed(error)] if error.kind == kind), "{kind:?}");
        }
        assert_eq!(only.times_asked(), 1, "{kind:?}");
        answer_of(call().as_ref(), notes.clone()).await;
        assert_eq!(only.times_asked(), 2, "{kind:?}: somebody may have mended it");
        // Nor is it when the other one fails, in whichever turn.
        let first = Puppet::new("first", &[&[Fail(kind)]]);
        let second = Puppet::new("second", &[&[Say("Yes."), End], &[Fail(ErrorKind::Unavailable)]]);
        let providers: [Arc<Puppet>; 2] = [first.clone(), second];
        let thinking =
            providers.map(|provider| Thinking { provider, model: None, account: AccountId::ENGINE });
        let chain = chain::llm(thinking.to_vec(), setup).unwrap();
        assert_eq!(answer_of(chain.as_ref(), notes.clone()).await.text, "Yes.");
        answer_of(chain.as_ref(), notes.clone()).await;
        assert_eq!(first.times_asked(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_refused_says_nothing_of_the_next() {
    let (setup, notes) = setup(short());
    let only = Puppet::new("only", &[&[Fail(ErrorKind::Invalid)], &[Say("Yes."), End]]);
    let thinking = vec![Thinking { provider: only, model: None, account: AccountId::ENGINE }];
    let chain = chain::llm(thinking, setup).unwrap();
    assert_eq!(answer_of(chain.as_ref(), notes.clone()).await.text, "");
    assert_eq!(answer_of(chain.as_ref(), notes).await.text, "Yes.");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_whose_first_fails_after_all_is_a_switch() {
    let budgets = Budgets { hedging: true, first_token: Duration::from_secs(1), ..short() };
    let first = Puppet::new("first", &[&[Wait(700), Fail(ErrorKind::Unavailable)]]);
    let second = Puppet::new("second", &[&[Wait(400), Say("Fine."), End]]);
    let answered = answer_with(budgets, &[first, second]).await;
    assert_eq!(answered.text, "Fine.");
    assert_eq!(switches(&answered.notes), [("first", "second")]);
}

#[tokio::test(start_paused = true)]
async fn a_mute_model_that_hedges_outrun_every_time_is_left_alone() {
    let budgets = Budgets { hedging: true, first_token: Duration::from_secs(1), ..short() };
    let (setup, notes) = setup(budgets);
    let mute = Puppet::new("first", &[&[Wait(100_000)]]);
    let providers: [Arc<Puppet>; 2] = [mute.clone(), well()];
    let thinking = providers.map(|provider| Thinking { provider, model: None, account: AccountId::ENGINE });
    let chain = chain::llm(thinking.to_vec(), setup).unwrap();
    for _ in 0..7 {
        assert_eq!(answer_of(chain.as_ref(), notes.clone()).await.text, "Fine, thanks.");
    }
    assert_eq!(mute.times_asked(), 5);
}

#[tokio::test]
async fn a_tool_call_counts_as_output_and_is_not_asked_for_twice() {
    let first = Puppet::new("first", &[&[Call("book"), Fail(ErrorKind::Unavailable)]]);
    let second = well();
    let answered = answer(&[first, second.clone()]).await;
    let calls = answered.events.iter().filter(|event| matches!(event, Event::ToolCalls(_))).count();
    assert_eq!((calls, second.times_asked()), (1, 0));
}

#[tokio::test]
async fn an_answer_that_breaks_after_its_tool_calls_is_complete() {
    let first = Puppet::new("first", &[&[Say("One moment."), Call("book"), Fail(ErrorKind::Unavailable)]]);
    let answered = answer(&[first]).await;
    assert_eq!(answered.text, "One moment.");
    assert!(matches!(answered.events.last(), Some(Event::Finished { .. })), "{:?}", answered.events);
}

#[tokio::test]
async fn a_tool_call_that_is_long_in_writing_is_no_silence() {
    let written = [Say(""), Wait(100), Say(""), Wait(100), Say(""), Wait(100), Call("book"), End];
    let first = Puppet::new("first", &[&written]);
    let second = well();
    let answered = answer(&[first, second.clone()]).await;
    assert!(
        matches!(&answered.events[..], [Event::ToolCalls(_), Event::Finished { .. }]),
        "{:?}",
        answered.events
    );
    assert_eq!(second.times_asked(), 0);
}

#[tokio::test]
async fn the_last_model_that_breaks_in_mid_answer_is_no_end_of_it() {
    let first = Puppet::new("first", &[&[Fail(ErrorKind::Unavailable)], &[Say("three four"), End]]);
    let second = Puppet::new("second", &[&[Say("one two "), Fail(ErrorKind::Unavailable)]]);
    assert_eq!(answer(&[first, second]).await.text, "one two three four");
}

/// Notes of work that was paid for, as `used` and `thrown`.
fn bills(notes: &Mutex<Vec<Note>>) -> Vec<(&'static str, &'static str)> {
    let bill = |note: &Note| match note {
        Note::Used { provider, .. } => Some((*provider, "used")),
        Note::ThrownAway { provider, .. } => Some((*provider, "thrown")),
        _ => None,
    };
    notes.lock().unwrap().iter().filter_map(bill).collect()
}

#[tokio::test]
async fn what_was_paid_for_is_told_once_and_a_refusal_costs_nothing() {
    for (first, bill) in [
        (&[Fail(ErrorKind::RateLimited)] as &[Step], vec![("second", "used")]),
        (&[Wait(10_000)], vec![("first", "thrown"), ("second", "used")]),
        (&[Say("one "), Fail(ErrorKind::Unavailable)], vec![("first", "used"), ("second", "used")]),
    ] {
        let answered = answer(&[Puppet::new("first", &[first]), well()]).await;
        assert_eq!(bills(&answered.notes), bill, "{first:?}");
    }
}

#[tokio::test]
async fn a_cancelled_answer_is_paid_for_blames_nobody_and_leaves_the_trial_to_the_next() {
    let (setup, notes) = setup(short());
    let health = Arc::clone(&setup.health);
    let (fails, slow) = ([Fail(ErrorKind::RateLimited)], [Wait(10_000)]);
    let first = Puppet::new("first", &[&fails, &slow, &[Say("Back."), End]]);
    let providers: [Arc<Puppet>; 2] = [first.clone(), well()];
    let thinking = providers.map(|provider| Thinking { provider, model: None, account: AccountId::ENGINE });
    let chain = chain::llm(thinking.to_vec(), setup).unwrap();
    assert_eq!(answer_of(chain.as_ref(), notes.clone()).await.text, "Fine, thanks.");
    let began = std::time::Instant::now();
    // Until the breaker lets somebody try, which nothing tells.
    while health
        .look(&AccountId::ENGINE)
        .iter()
        .any(|look| look.closed_for.is_some_and(|left| !left.is_zero()))
    {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    notes.lock().unwrap().clear();
    // The trial, and the caller goes on speaking.
    let response = chain.respond(Request::default(), Arc::new(drop)).unwrap();
    while first.times_asked() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(response);
    let began = std::time::Instant::now();
    while bills(&notes) != [("first", "thrown")] {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", notes.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(answer_of(chain.as_ref(), notes.clone()).await.text, "Back.");
    assert_eq!(health.look(&AccountId::ENGINE)[0].state, State::Well);
}

#[tokio::test]
async fn with_hedging_the_quicker_of_two_answers_and_the_other_is_cancelled_and_counted() {
    let budgets = Budgets { hedging: true, first_token: Duration::from_secs(1), ..short() };
    let slow = Puppet::new("first", &[&[Wait(10_000), Say("late"), End]]);
    let answered = answer_with(budgets, &[slow, well()]).await;
    assert_eq!(answered.text, "Fine, thanks.");
    let notes = answered.notes.lock().unwrap();
    let hedged = |note: &&Note| matches!(note, Note::Hedged { winner: "second", loser: "first", .. });
    let thrown = |note: &&Note| matches!(note, Note::ThrownAway { provider: "first", .. });
    assert_eq!(
        (notes.iter().filter(hedged).count(), notes.iter().filter(thrown).count()),
        (1, 1),
        "{notes:?}"
    );
    assert!(!notes.iter().any(|note| matches!(note, Note::Failed { .. })), "slow is not broken: {notes:?}");
}

#[tokio::test]
async fn a_model_that_fails_three_times_is_left_alone_and_not_waited_for() {
    let (setup, notes) = setup(short());
    let first = Puppet::new("first", &[&[Fail(ErrorKind::Unavailable)]]);
    let providers: [Arc<Puppet>; 2] = [first.clone(), well()];
    let thinking = providers.map(|provider| Thinking { provider, model: None, account: AccountId::ENGINE });
    let chain = chain::llm(thinking.to_vec(), setup).unwrap();
    for _ in 0..5 {
        assert_eq!(answer_of(chain.as_ref(), notes.clone()).await.text, "Fine, thanks.");
    }
    assert_eq!(first.times_asked(), 3);
}
