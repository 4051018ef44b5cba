//! Voices in a chain.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_providers::ErrorKind;
use parlance_providers::account::AccountId;
use parlance_providers::chain::{self, Budgets, Speaking};
use parlance_providers::notes::Note;
use parlance_providers::tts::{Event, Settings, Sound, Speaker};
use tokio::sync::mpsc::unbounded_channel;

use crate::puppets::{Puppet, Step, setup, short, switches};
use Step::{End, Fail, Limit, Overloaded, Say, SayAt, Wait};

type Notes = Arc<Mutex<Vec<Note>>>;

fn chain_of(budgets: Budgets, puppets: &[Arc<Puppet>]) -> (Box<dyn Speaker>, Notes) {
    let (setup, notes) = setup(budgets);
    let speaking = |puppet: &Arc<Puppet>| Speaking {
        provider: puppet.clone(),
        voice: String::new(),
        model: None,
        account: AccountId::ENGINE,
    };
    (chain::tts(puppets.iter().map(speaking).collect(), Settings::default(), setup).unwrap(), notes)
}

/// Which letters' audio came, once for each stretch, and how it ended.
async fn spoken(chain: &mut dyn Speaker, text: &str) -> (String, Result<(), ErrorKind>) {
    let (told, mut events) = unbounded_channel();
    let _speech = chain.speak(text, Arc::new(move |event| drop(told.send(event)))).unwrap();
    let mut letters = String::new();
    loop {
        match tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap() {
            Event::Audio(Sound::Pcm16 { samples, .. }) => letters.push(samples[0] as u8 as char),
            Event::Audio(_) | Event::Words(_) => {}
            Event::Finished => return (letters, Ok(())),
            Event::Failed(error) => return (letters, Err(error.kind)),
        }
    }
}

fn well() -> Arc<Puppet> {
    Puppet::new("second", &[&[Say("bbbb"), Say("bbbb"), End]])
}

#[tokio::test]
async fn before_any_audio_the_next_voice_takes_the_sentence_over_unnoticed() {
    for first in [
        &[Fail(ErrorKind::Unauthorized)] as &[Step],
        &[Fail(ErrorKind::Blocked)],
        &[Wait(10_000)],
        &[End],
        &[Fail(ErrorKind::Unavailable)],
    ] {
        let (mut chain, notes) = chain_of(short(), &[Puppet::new("first", &[first]), well()]);
        assert_eq!(spoken(chain.as_mut(), "hello").await, ("bb".into(), Ok(())), "{first:?}");
        assert_eq!(switches(&notes), [("first", "second")], "{first:?}");
    }
}

#[tokio::test]
async fn a_voice_that_breaks_in_mid_sentence_is_told_and_the_next_sentence_is_another_ones() {
    for first in [&[Say("a"), Fail(ErrorKind::Unavailable)] as &[Step], &[Say("a"), Wait(10_000)]] {
        let (mut chain, _) = chain_of(short(), &[Puppet::new("first", &[first]), well()]);
        let (letters, end) = spoken(chain.as_mut(), "hello").await;
        assert_eq!((letters.as_str(), end.is_err()), ("a", true), "{first:?}");
        assert!(chain.has_another());
        assert_eq!(spoken(chain.as_mut(), "the rest").await, ("bb".into(), Ok(())), "{first:?}");
    }
}

#[tokio::test]
async fn audio_that_can_not_be_played_is_its_voices_failure_and_the_next_voice_speaks() {
    for rate_hz in [11_025, 32_000, 44_100, 192_000] {
        let first = Puppet::new("first", &[&[SayAt(rate_hz, "aaaaaaaa"), End]]);
        let (mut chain, notes) = chain_of(short(), &[first, well()]);
        assert_eq!(spoken(chain.as_mut(), "hello").await, ("bb".into(), Ok(())), "{rate_hz}");
        let paid = [("first", "thrown", 5), ("second", "used", 5)];
        assert_eq!(bills(&notes), paid, "it was given the text, and audio came");
        let failed = notes.lock().unwrap().iter().find_map(|note| match note {
            Note::Failed { provider, error, .. } => Some((*provider, error.kind)),
            _ => None,
        });
        assert_eq!(failed, Some(("first", ErrorKind::Protocol)), "{rate_hz}");
        // Nobody else is there: the sentence has no voice, and says why.
        let only = Puppet::new("only", &[&[SayAt(rate_hz, "aaaaaaaa"), End]]);
        let (mut chain, _) = chain_of(short(), &[only]);
        assert_eq!(spoken(chain.as_mut(), "hello").await, ("".into(), Err(ErrorKind::Protocol)), "{rate_hz}");
    }
    // One that changes its mind in mid-sentence: what came stands, the rest is another's.
    let first = Puppet::new("first", &[&[Say("aaaa"), SayAt(24_000, "aaaa"), End]]);
    let (mut chain, _) = chain_of(short(), &[first, well()]);
    assert_eq!(spoken(chain.as_mut(), "hello").await, ("a".into(), Err(ErrorKind::Protocol)));
    assert_eq!(spoken(chain.as_mut(), "the rest").await, ("bb".into(), Ok(())));
}

#[tokio::test]
async fn silence_is_no_stall_while_there_is_audio_left_to_be_played() {
    let long = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    // Eight tenths of a second at once, then nothing for more than the budget, then the rest.
    let script = [
        Say(long),
        Say(long),
        Say(long),
        Say(long),
        Say(long),
        Say(long),
        Say(long),
        Say(long),
        Wait(300),
        Say("a"),
        End,
    ];
    let (mut chain, _) = chain_of(short(), &[Puppet::new("first", &[&script]), well()]);
    assert_eq!(spoken(chain.as_mut(), "hello").await, ("aaaaaaaaa".into(), Ok(())));
}

#[tokio::test]
async fn the_only_voice_is_asked_once_more_and_a_call_without_any_says_so() {
    let once = Puppet::new("only", &[&[Fail(ErrorKind::Unavailable)], &[Say("a"), End]]);
    let (mut chain, _) = chain_of(short(), &[once]);
    assert_eq!(spoken(chain.as_mut(), "hello").await, ("a".into(), Ok(())));
    let (mut chain, _) = chain_of(short(), &[Puppet::new("only", &[&[Fail(ErrorKind::Blocked)]])]);
    assert_eq!(spoken(chain.as_mut(), "hello").await, (String::new(), Err(ErrorKind::Blocked)));
    assert!(!chain.has_another());
    // A later sentence too is told why.
    assert_eq!(spoken(chain.as_mut(), "again").await, (String::new(), Err(ErrorKind::Blocked)));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_wins_is_no_second_switch_from_a_failure_before_it() {
    let budgets = Budgets { hedging: true, first_audio: Duration::from_secs(1), ..short() };
    let first = Puppet::new("first", &[&[Fail(ErrorKind::Unavailable)]]);
    let second = Puppet::new("second", &[&[Wait(10_000)]]);
    let third = Puppet::new("third", &[&[Say("c"), End]]);
    let (mut chain, notes) = chain_of(budgets, &[first, second, third]);
    assert_eq!(spoken(chain.as_mut(), "hello").await, ("c".into(), Ok(())));
    assert_eq!(switches(&notes), [("first", "second")]);
}

#[tokio::test]
async fn a_sentence_that_is_said_again_is_kept_as_audio_and_not_asked_for_a_third_time() {
    let script = [Say("a"), End];
    let (mut chain, notes) = chain_of(short(), &[Puppet::new("first", &[&script])]);
    for _ in 0..4 {
        assert_eq!(spoken(chain.as_mut(), "One moment.").await, ("a".into(), Ok(())));
    }
    let used = notes.lock().unwrap().iter().filter(|note| matches!(note, Note::Used { .. })).count();
    assert_eq!(used, 2);
}

#[tokio::test]
async fn with_hedging_the_quicker_of_two_voices_speaks() {
    let budgets = Budgets { hedging: true, first_audio: Duration::from_secs(1), ..short() };
    let slow = Puppet::new("first", &[&[Wait(10_000), Say("a"), End]]);
    let (mut chain, notes) = chain_of(budgets, &[slow, well()]);
    assert_eq!(spoken(chain.as_mut(), "hello").await, ("bb".into(), Ok(())));
    assert!(notes.lock().unwrap().iter().any(|note| matches!(note, Note::Hedged { winner: "second", .. })));
    assert!(switches(&notes).is_empty());
}

fn bills(notes: &Mutex<Vec<Note>>) -> Vec<(&'static str, &'static str, u64)> {
    let bill = |note: &Note| match note {
        Note::Used { provider, characters, .. } => Some((*provider, "used", *characters)),
        Note::ThrownAway { provider, characters, .. } => Some((*provider, "thrown", *characters)),
        _ => None,
    };
    notes.lock().unwrap().iter().filter_map(bill).collect()
}

#[tokio::test]
async fn text_that_was_paid_for_is_told_once_though_nobody_hears_it() {
    for (first, bill) in [
        (&[Wait(10_000)] as &[Step], vec![("first", "thrown", 5), ("second", "used", 5)]),
        (&[Fail(ErrorKind::RateLimited)], vec![("second", "used", 5)]),
    ] {
        let (mut chain, notes) = chain_of(short(), &[Puppet::new("first", &[first]), well()]);
        spoken(chain.as_mut(), "hello").await.1.unwrap();
        assert_eq!(bills(&notes), bill, "{first:?}");
    }
    let (mut chain, notes) = chain_of(short(), &[Puppet::new("first", &[&[Wait(10_000)]])]);
    drop(chain.speak("hello", Arc::new(drop)).unwrap());
    let began = std::time::Instant::now();
    while bills(&notes) != [("first", "thrown", 5)] {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", notes.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_voice_speaks_again_as_soon_as_its_breaker_lets_it() {
    let first = Puppet::new("first", &[&[Fail(ErrorKind::RateLimited)], &[Say("a"), End]]);
    let (mut chain, _) = chain_of(short(), &[first, well()]);
    assert_eq!(spoken(chain.as_mut(), "one").await.0, "bb");
    assert_eq!(spoken(chain.as_mut(), "two").await.0, "bb");
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    assert_eq!(spoken(chain.as_mut(), "three").await.0, "a");
}

#[tokio::test(start_paused = true)]
async fn the_only_voice_is_left_alone_as_long_as_it_asks_and_a_caller_can_wait() {
    for (limited, least) in [(Limit(1_200), 1_200), (Limit(60_000), 1_500), (Overloaded(1_200), 1_200)] {
        let only = Puppet::new("only", &[std::slice::from_ref(&limited), &[Say("a"), End]]);
        let (mut chain, _) = chain_of(short(), &[only]);
        let began = tokio::time::Instant::now();
        assert_eq!(spoken(chain.as_mut(), "hello").await, ("a".into(), Ok(())), "{limited:?}");
        let waited = began.elapsed().as_millis();
        assert!((least..least + 100).contains(&waited), "{waited} ms of {limited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sentences_of_voices_that_all_ask_to_be_left_alone_wait_for_them_and_do_not_end_the_call_at_once() {
    for limited in [Limit(4_000), Overloaded(4_000)] {
        let limits = [limited.clone()];
        // Twice in each of two sentences that break; the third is said.
        let scripts: [&[Step]; 5] = [&limits, &limits, &limits, &limits, &[Say("a"), End]];
        for all in [vec![Puppet::new("only", &scripts)], vec![Puppet::new("only", &scripts), worse()]] {
            let (mut chain, _) = chain_of(short(), &all);
            let began = tokio::time::Instant::now();
            let mut heard = String::new();
            while heard.is_empty() && chain.has_another() {
                heard = spoken(chain.as_mut(), "the same words").await.0;
            }
            assert_eq!(heard, "a", "{limited:?} of {}", all.len());
            assert!(began.elapsed() >= Duration::from_millis(4_000), "{:?} of {limited:?}", began.elapsed());
        }
    }
}

fn worse() -> Arc<Puppet> {
    Puppet::new("worse", &[&[Limit(600_000)]])
}

#[tokio::test(start_paused = true)]
async fn of_two_voices_that_ask_to_be_left_alone_the_one_that_asks_for_less_is_waited_for_and_asked() {
    let first = Puppet::new("first", &[&[Limit(60_000)], &[Say("a"), End]]);
    let second = Puppet::new("second", &[&[Limit(1_000)], &[Say("b"), End]]);
    let (mut chain, _) = chain_of(short(), &[first, second]);
    let began = tokio::time::Instant::now();
    assert_eq!(spoken(chain.as_mut(), "hello").await, ("b".into(), Ok(())));
    assert!(began.elapsed() >= Duration::from_millis(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_whose_first_fails_after_all_is_a_switch() {
    let budgets = Budgets { hedging: true, first_audio: Duration::from_secs(1), ..short() };
    let first = Puppet::new("first", &[&[Wait(700), Fail(ErrorKind::Unavailable)]]);
    let second = Puppet::new("second", &[&[Wait(400), Say("b"), End]]);
    let (mut chain, notes) = chain_of(budgets, &[first, second]);
    assert_eq!(spoken(chain.as_mut(), "hello").await, ("b".into(), Ok(())));
    assert_eq!(switches(&notes), [("first", "second")]);
}

#[tokio::test(start_paused = true)]
async fn opening_a_voice_is_no_trial_of_it() {
    let (setup, _) = setup(short());
    let limited = Puppet::new("first", &[&[Fail(ErrorKind::RateLimited)]]);
    let speaking = |puppet: &Arc<Puppet>| Speaking {
        provider: puppet.clone(),
        voice: String::new(),
        model: None,
        account: AccountId::ENGINE,
    };
    let open = |first: &Arc<Puppet>| {
        chain::tts(vec![speaking(first), speaking(&well())], Settings::default(), setup.clone()).unwrap()
    };
    spoken(open(&limited).as_mut(), "one").await.1.unwrap();
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    let mut chain = open(&Puppet::new("first", &[&[Say("a"), End]]));
    assert_eq!(spoken(chain.as_mut(), "two").await.0, "a");
}

#[tokio::test]
async fn one_text_that_can_not_be_spoken_does_not_change_the_voice_but_two_do() {
    let unspeakable = [Fail(ErrorKind::Invalid)];
    let first =
        Puppet::new("first", &[&unspeakable, &[Say("a"), End], &unspeakable, &unspeakable, &[Say("a"), End]]);
    let (mut chain, _) = chain_of(short(), &[first, well()]);
    let mut heard = String::new();
    for text in ["one", "two", "three", "four", "five"] {
        heard.push_str(&spoken(chain.as_mut(), text).await.0);
    }
    assert_eq!(heard, "bbabbbbbb", "once unnoticed, then two in a row and left alone");
}
