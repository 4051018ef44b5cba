//! Settings of agents that can be heard, seen or found missing: voice, times, keys, variables, privacy.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parlance_proto::v1::{
    self, Agent, CallHandling, Dtmf, Privacy, Speaker, StorageLevel, TurnEventType, TurnTaking, Voice,
};
use parlance_store::journal;
use parlance_tests::caller::{start, typing_start};
use parlance_tests::details::assert_bad_fields;
use parlance_tests::{Caller, House, agents};

const SOON: Duration = Duration::from_secs(20);
const GREETING: &str = "Hello, this is Luna, how can I help you today?";

fn spoken(voice: Voice) -> Agent {
    Agent { voice: Some(voice), ..agents::counter_of_guests(GREETING) }
}

/// Milliseconds of the greeting, the loudest sample of it, and its words in the transcript.
async fn greeted(house: &House, voice: Voice) -> (u64, u16, String) {
    let agent = house.hires(Agent { name: fresh(), ..spoken(voice) }).await;
    let mut caller = Caller::dials(house, start(&agent)).await;
    caller.agent_finishes().await;
    let loudest = caller.loudspeaker.track.iter().map(|sample| sample.unsigned_abs()).max();
    let entry = caller.entries().into_iter().next().expect("it greeted");
    let at = |offset: Option<prost_types::Duration>| -> Duration {
        offset.expect("it has a time").try_into().expect("it is not negative")
    };
    let length = at(entry.end_offset) - at(entry.start_offset);
    (length.as_millis() as u64, loudest.unwrap_or_default(), entry.text)
}

/// An id that no other agent of these tests has.
fn fresh() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("agents/luna-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pace_loudness_and_pronunciation_are_heard_and_the_transcript_keeps_the_word() {
    let house = House::offline().await;
    let (ordinary_ms, loudest, text) = greeted(&house, Voice::default()).await;
    assert!(loudest > 1_000 && text.starts_with(GREETING), "{loudest} {text}");
    let quick = Voice { speed: Some(2.0), volume: Some(0.0), ..Default::default() };
    let (quick_ms, silence, _) = greeted(&house, quick).await;
    assert!(quick_ms * 3 < ordinary_ms * 2, "{quick_ms} ms, ordinarily {ordinary_ms} ms");
    assert_eq!(silence, 0);
    let at_length = "the lady of the many, many moons of Jupiter and of Saturn".to_owned();
    let said = Voice { pronunciations: [("luna".to_owned(), at_length)].into(), ..Default::default() };
    let (said_ms, _, text) = greeted(&house, said).await;
    assert!(said_ms > ordinary_ms + 1_000, "{said_ms} ms, ordinarily {ordinary_ms} ms");
    assert!(text.starts_with(GREETING), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fallback_voices_come_after_the_own_one_in_their_order() {
    let house = House::offline().await;
    let fallback = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
    for (voice_id, ids, order) in [
        ("rms", vec!["en-gb", "slt"], "flite:rms then espeak-ng:en-gb then flite:slt"),
        ("", vec!["rms"], "flite:slt then flite:rms then espeak-ng:en-us"),
    ] {
        let voice =
            Voice { voice_id: voice_id.into(), fallback_voice_ids: fallback(&ids), ..Default::default() };
        let agent = house.hires(Agent { name: fresh(), ..spoken(voice) }).await;
        let caller = Caller::dials(&house, typing_start(&agent)).await;
        assert!(caller.ready.providers.ends_with(order), "{}", caller.ready.providers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_out_of_their_bounds_are_named_at_once() {
    let house = House::scripted().await;
    let pronunciations = [("two words", "x"), ("empty", " "), ("fine", "fein")]
        .map(|(word, spoken)| (word.to_owned(), spoken.to_owned()));
    let agent = Agent {
        voice: Some(Voice {
            fallback_voice_ids: vec!["hum".into(), "baritone".into()],
            speed: Some(2.1),
            volume: Some(-0.1),
            pronunciations: pronunciations.into(),
            ..Default::default()
        }),
        turn_taking: Some(TurnTaking {
            fillers: vec!["One moment.".into(), " ".into()],
            filler_after: Some(agents::duration(Duration::from_millis(199))),
            dtmf: Some(Dtmf {
                termination_key: "##".into(),
                digit_limit: Some(0),
                timeout: Some(agents::duration(Duration::from_secs(31))),
                ..Default::default()
            }),
            ..Default::default()
        }),
        call_handling: Some(CallHandling {
            goodbye_text: "x".repeat(2_001),
            apology_text: "x".repeat(2_001),
            ..Default::default()
        }),
        privacy: Some(Privacy { storage: 7, ..Default::default() }),
        default_dynamic_variables: [("No Key".to_owned(), String::new())].into(),
        time_zone: "Europe/Atlantis".into(),
        ..agents::echo("Hello")
    };
    let request = v1::CreateAgentRequest { agent: Some(agent), ..Default::default() };
    let refused = house.client.agents().create_agent(request).await.expect_err("nothing of it is valid");
    assert_bad_fields(
        &refused,
        &[
            "voice.fallback_voice_ids[1]",
            "voice.speed",
            "voice.volume",
            "voice.pronunciations[two words]",
            "voice.pronunciations[empty]",
            "turn_taking.fillers[1]",
            "turn_taking.filler_after",
            "turn_taking.dtmf.termination_key",
            "turn_taking.dtmf.digit_limit",
            "turn_taking.dtmf.timeout",
            "call_handling.goodbye_text",
            "call_handling.apology_text",
            "privacy.storage",
            "default_dynamic_variables[No Key]",
            "time_zone",
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_s_variables_go_before_the_agent_s_own() {
    let house = House::scripted().await;
    let own =
        [("place", "Luna"), ("caller", "stranger")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let agent = Agent {
        default_dynamic_variables: own.into(),
        ..agents::counter_of_guests("{{place}} greets you, {{caller}}.")
    };
    let agent = house.hires(agent).await;
    let given = [("caller".to_owned(), "Ada".to_owned())].into();
    let mut caller =
        Caller::dials(&house, v1::SessionStart { dynamic_variables: given, ..typing_start(&agent) }).await;
    caller.agent_finishes().await;
    assert!(caller.texts(Speaker::Agent)[0].starts_with("Luna greets you, Ada."), "{}", caller.history());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_books_is_booked_in_the_agent_s_time_zone() {
    let house = House::offline().await;
    let agent = house.hires(Agent { time_zone: "America/Chicago".into(), ..agents::restaurant() }).await;
    let messages =
        ["A table for two tomorrow at 1 pm, please", "Maria Garcia", "(212) 555-0198", "Yes please"];
    let request = v1::TestAgentRequest {
        target: Some(v1::test_agent_request::Target::Agent(agent)),
        messages: messages.map(str::to_owned).to_vec(),
        run_tools: true,
        ..Default::default()
    };
    let mut stream = house.client.agents().test_agent(request).await.expect("it can be tested").into_inner();
    while stream.message().await.expect("the test goes on").is_some() {}
    let filter = parlance_store::appointments::AppointmentFilter::default();
    let page = parlance_store::appointments::list(&house.scope, &filter, &Default::default()).await;
    let booked = page.expect("the store lists appointments").items;
    let [booked] = booked.as_slice() else { panic!("{booked:?}") };
    let local = booked.start_time.in_tz("America/Chicago").expect("the zone is known");
    assert_eq!(local.time(), jiff::civil::time(13, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_keeps_no_words_leaves_neither_recording_nor_transcript_nor_a_word_in_the_journal() {
    let house = House::scripted().await;
    let privacy = Privacy { record_audio: Some(false), storage: StorageLevel::NoTranscript.into() };
    let agent = house.hires(Agent { privacy: Some(privacy), ..agents::echo("Hello confidant") }).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    caller.agent_finishes().await;
    caller.types("my secret is a turnip");
    caller.agent_finishes().await;
    caller.controls(v1::session_control::Control::End(v1::End {}));
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    assert!(!caller.texts(Speaker::Agent).is_empty(), "the caller gets it all the same");
    let call = house.ended_call(&caller.ready.call).await;
    assert_eq!(call.recording_uri, "");
    let kept = house.transcript(&call.name).await;
    assert_eq!(kept.entries, []);
    assert!(kept.events.len() >= 4, "turns and replies are kept: {:?}", kept.events);
    let id = call.name.trim_start_matches("calls/").parse().expect("a call's name holds its id");
    let entries = journal::read(&house.scope, id, 0, 10_000).await.expect("the journal is read");
    let all = serde_json::to_string(&entries).expect("entries have a JSON form");
    for word in ["secret", "turnip", "confidant"] {
        assert!(!all.contains(word), "{word} in {all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_become_a_turn_at_the_limit_or_the_termination_key_of_the_agent() {
    let house = House::offline().await;
    for (dtmf, text) in [
        (Dtmf { digit_limit: Some(2), ..Default::default() }, "14"),
        (Dtmf { termination_key: "2".into(), ..Default::default() }, "14"),
        (Dtmf::default(), "142"),
    ] {
        let turn_taking = Some(TurnTaking { dtmf: Some(dtmf), ..Default::default() });
        let agent = Agent { name: fresh(), turn_taking, ..agents::counter_of_guests("Hello") };
        let agent = house.hires(agent).await;
        let mut caller = Caller::dials(&house, start(&agent)).await;
        caller.agent_finishes().await;
        caller.says("dtmf_142hash.wav").await;
        caller.until("the keys", SOON, |caller| !caller.texts(Speaker::Caller).is_empty()).await;
        assert_eq!(caller.texts(Speaker::Caller)[0], text, "{}", caller.history());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_is_bridged_by_the_agent_s_fillers_and_silence_ends_with_its_goodbye() {
    let house = House::scripted().await;
    let agent = Agent {
        turn_taking: Some(TurnTaking {
            fillers: vec!["One moment.".into()],
            filler_after: Some(agents::duration(Duration::from_millis(200))),
            ..Default::default()
        }),
        call_handling: Some(CallHandling {
            begin_message: "Hello".into(),
            reminder_max: Some(0),
            silence_limit: Some(agents::duration(Duration::from_secs(3))),
            goodbye_text: "So long.".into(),
            ..Default::default()
        }),
        ..agents::echo("")
    };
    let agent = house.hires(agent).await;
    let mut caller = Caller::dials(&house, start(&agent)).await;
    caller.agent_finishes().await;
    caller.types("what goes in comes out");
    let (ended, _) = caller.ends(SOON).await;
    assert_eq!(ended.reason(), v1::EndReason::Silence, "{}", caller.history());
    let begun = caller.turns(TurnEventType::ReplyStarted);
    assert!(begun.iter().any(|(_, turn)| turn.reason == "filler"), "{}", caller.history());
    assert!(caller.texts(Speaker::Agent).contains(&"So long.".to_owned()), "{}", caller.history());
}
