//! Interruption: who has the floor when both speak, and what was heard.

use std::time::Duration;

use parlance_proto::v1::session_control::Control;
use parlance_proto::v1::{Interrupt, Speaker, TranscriptEntry, TurnEventType};
use parlance_tests::caller::start;
use parlance_tests::{Caller, House, agents};

const SOON: Duration = Duration::from_secs(20);
const EXPLANATION: &str = "Good evening and thank you for calling. Before we begin let me tell you that we have moved \
    across the street and that we now have a garden with twenty tables under old trees.";

async fn call_the_explainer(house: &House) -> Caller {
    let agent = house.hires(agents::counter_of_guests(EXPLANATION)).await;
    Caller::dials(house, start(&agent)).await
}

/// The agent's entry of a reply, which must have been cut: some of it heard, the rest not.
#[track_caller]
fn cut_entry(caller: &Caller, reply: u32) -> TranscriptEntry {
    let entries = caller.entries();
    let entry = entries.iter().find(|entry| entry.reply_id == reply && entry.speaker() == Speaker::Agent);
    let entry = entry.unwrap_or_else(|| panic!("nothing of reply {reply} was heard:\n{}", caller.history()));
    assert!(!entry.text.is_empty() && !entry.unheard_text.is_empty(), "{entry:?}");
    assert!(entry.interrupted_offset.is_some(), "{entry:?}");
    entry.clone()
}

/// After `clear` the reply must not go on.
#[track_caller]
fn assert_silenced(caller: &Caller, reply: u32) {
    let cleared = caller.cleared_at_ms(reply).expect("the far end was told to clear");
    let late = caller.frames.iter().filter(|(at, audio)| audio.reply_id == reply && *at > cleared).count();
    assert_eq!(late, 0, "frames of reply {reply} after it was cleared:\n{}", caller.history());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_s_interrupt_stops_the_reply_and_keeps_what_was_heard() {
    let house = House::offline().await;
    let mut caller = call_the_explainer(&house).await;
    let reply = caller.hears(Duration::from_millis(1_500)).await;
    caller.controls(Control::Interrupt(Interrupt {}));
    caller
        .until("the end of the reply", SOON, |caller| !caller.turns(TurnEventType::ReplyEnded).is_empty())
        .await;
    caller.waits(Duration::from_millis(500)).await;
    assert_silenced(&caller, reply);
    assert_eq!(caller.turns(TurnEventType::ReplyEnded)[0].1.reason, "interrupted");
    let entry = cut_entry(&caller, reply);
    assert!(EXPLANATION.starts_with(&entry.text[..20.min(entry.text.len())]), "{entry:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_speaks_into_the_greeting_gets_the_floor_and_is_heard_from_the_first_word() {
    let house = House::offline().await;
    let agent = house.hires(agents::restaurant()).await;
    let mut caller = Caller::dials(&house, start(&agent)).await;
    let reply = caller.hears(Duration::from_millis(400)).await;
    caller.begins_to_say("u01_slt.wav");
    let said_at = caller.said[0].at_ms + parlance_tests::clips::speech_ms("u01_slt.wav")[0].0;
    let interrupted = |caller: &Caller| !caller.turns(TurnEventType::Interrupted).is_empty();
    caller.until("the interruption", SOON, interrupted).await;
    caller.agent_finishes().await;
    assert_silenced(&caller, reply);
    let held = caller.turns(TurnEventType::Held);
    let held_at = held.first().unwrap_or_else(|| panic!("not held:\n{}", caller.history())).0;
    assert!(held_at < said_at + 400, "held at {held_at} ms, the voice began at {said_at} ms");
    assert_eq!(caller.turns(TurnEventType::Interrupted)[0].1.reason, "words");
    cut_entry(&caller, reply);
    let heard = caller.texts(Speaker::Caller).concat().to_lowercase();
    assert!(heard.starts_with("i'd like to book"), "`{heard}`:\n{}", caller.history());
    let asked = caller.texts(Speaker::Agent);
    assert!(
        asked.last().is_some_and(|text| text.contains("name")),
        "the order was taken:\n{}",
        caller.history()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typed_text_interrupts_a_speaking_agent_and_is_answered() {
    let house = House::offline().await;
    let mut caller = call_the_explainer(&house).await;
    let reply = caller.hears(Duration::from_millis(1_000)).await;
    caller.types("we are six");
    caller.ends(SOON).await.1.expect("the agent ends the call");
    assert_silenced(&caller, reply);
    cut_entry(&caller, reply);
    let said = caller.texts(Speaker::Agent);
    assert!(said.last().is_some_and(|text| text.contains("Goodbye")), "{}", caller.history());
}

/// Something that is no interruption, 1.5 s into a long sentence: every hold is resumed for one of these reasons, and
/// all of it is heard. Gives how often the agent was held.
async fn goes_on_after(clip: &str, reasons: &[&str]) -> usize {
    let house = House::offline().await;
    let mut caller = call_the_explainer(&house).await;
    let reply = caller.hears(Duration::from_millis(1_500)).await;
    caller.begins_to_say(clip);
    caller
        .until("the end of the reply", SOON, |caller| !caller.turns(TurnEventType::ReplyEnded).is_empty())
        .await;
    let history = caller.history();
    let of = |kind| caller.turns(kind);
    assert_eq!(of(TurnEventType::Interrupted), [], "{history}");
    let (held, resumed) = (of(TurnEventType::Held), of(TurnEventType::Resumed));
    assert_eq!(held.len(), resumed.len(), "{history}");
    assert!(resumed.iter().all(|(_, turn)| reasons.contains(&turn.reason.as_str())), "{history}");
    assert_eq!(of(TurnEventType::ReplyEnded)[0].1.reason, "heard", "{history}");
    let entries = caller.entries();
    let entry = entries.iter().find(|entry| entry.reply_id == reply).expect("it was heard");
    let whole: Vec<&str> = EXPLANATION.split_whitespace().collect();
    let heard: Vec<&str> = entry.text.split_whitespace().collect();
    assert!(heard.starts_with(&whole), "every word once: {entry:?}");
    assert_eq!(entry.unheard_text, "");
    // Nothing was skipped, and what was played twice is no longer than a word.
    let played = caller.loudspeaker.played.iter().filter(|played| played.reply == reply);
    let positions: Vec<u64> = played.map(|played| played.position_us).collect();
    for pair in positions.windows(2) {
        assert!(pair[1] <= pair[0] + 20_000, "a gap after {} us", pair[0]);
        assert!(pair[1] + 900_000 >= pair[0], "back from {} us to {} us", pair[0], pair[1]);
    }
    held.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cough_does_not_cut_the_agent() {
    goes_on_after("cough.wav", &["no_words"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uh_huh_holds_the_agent_and_then_it_goes_on() {
    let held = goes_on_after("bc_uhhuh_slt.wav", &["backchannel", "no_words"]).await;
    assert!(held > 0, "the caller's voice was not noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_a_telephone_are_a_turn_of_their_own_and_no_voice() {
    let house = House::offline().await;
    let mut caller = call_the_explainer(&house).await;
    caller.hears(Duration::from_millis(1_000)).await;
    caller.says("dtmf_142hash.wav").await;
    let ended = |caller: &Caller| !caller.turns(TurnEventType::CallerEnded).is_empty();
    caller.until("the end of the caller's turn", SOON, ended).await;
    assert_eq!(caller.turns(TurnEventType::CallerEnded)[0].1.reason, "dtmf", "{}", caller.history());
    assert_eq!(caller.texts(Speaker::Caller), ["142"], "the key # ends them:\n{}", caller.history());
}
