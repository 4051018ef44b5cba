//! Which providers serve an agent: those it names, those there are, and what is said when it names what is not there.

use std::time::Duration;

use parlance_proto::v1::{
    self, Agent, LanguageModel, Listening, ProviderBudgets, ProviderChoice, ProviderKind, TurnTaking, Voice,
};
use parlance_tests::agents::{self, duration};
use parlance_tests::caller::typing_start;
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::{Caller, House};
use tonic::Code;

fn choice(provider: &str, model: &str) -> ProviderChoice {
    ProviderChoice { provider: provider.into(), model: model.into() }
}

async fn refused(house: &House, agent: Agent) -> tonic::Status {
    let request = v1::CreateAgentRequest { agent: Some(agent), ..Default::default() };
    house.client.agents().create_agent(request).await.expect_err("it must be refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_says_who_serves_it_typed_and_in_order() {
    let house = House::offline().await;
    let voice = Some(Voice { voice_id: "espeak-ng/en-gb".into(), ..Default::default() });
    let agent = house.hires(Agent { voice, ..agents::restaurant() }).await;
    let caller = Caller::dials(&house, typing_start(&agent)).await;
    let in_use: Vec<(ProviderKind, &str, &str)> = caller
        .ready
        .providers_in_use
        .iter()
        .map(|one| (one.kind(), one.provider.as_str(), one.voice_id.as_str()))
        .collect();
    assert_eq!(
        in_use,
        [
            (ProviderKind::SpeechToText, "pocketsphinx", ""),
            (ProviderKind::TextToSpeech, "espeak-ng", "en-gb"),
            (ProviderKind::TextToSpeech, "flite", "slt"),
        ]
    );
    assert_eq!(caller.ready.providers, "pocketsphinx, flow, espeak-ng:en-gb then flite:slt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_gets_wrong_about_providers_is_named_field_by_field() {
    let house = House::scripted().await;
    let too_many = (0..6).map(|_| choice("script", "")).collect();
    let agent = Agent {
        listening: Some(Listening {
            transcribers: vec![choice("script", ""), choice("whisperer", &"x".repeat(201))],
            language: "english!".into(),
            key_terms: vec!["Jalapeño".into(), " ".into(), "x".repeat(101)],
            trust_provider_turns: None,
        }),
        language_model: Some(LanguageModel {
            models: too_many,
            temperature: Some(2.1),
            max_tokens: Some(0),
            context_tokens: Some(499),
            ..Default::default()
        }),
        voice: Some(Voice {
            voice_id: "script/baritone".into(),
            model: "x".repeat(201),
            language: "multi".into(),
            style: "x".repeat(501),
            ..Default::default()
        }),
        budgets: Some(ProviderBudgets {
            first_token: Some(duration(Duration::from_millis(499))),
            first_audio: Some(duration(Duration::from_secs(31))),
            stalled_audio: Some(duration(Duration::from_millis(199))),
            mute: Some(duration(Duration::from_millis(999))),
        }),
        ..agents::echo("Hello")
    };
    let status = refused(&house, agent).await;
    assert_bad_fields(
        &status,
        &[
            "voice.voice_id",
            "listening.transcribers[1].provider",
            "listening.transcribers[1].model",
            "listening.language",
            "listening.key_terms[1]",
            "listening.key_terms[2]",
            "language_model.models",
            "language_model.temperature",
            "language_model.max_tokens",
            "language_model.context_tokens",
            "voice.model",
            "voice.style",
            "voice.language",
            "budgets.first_token",
            "budgets.first_audio",
            "budgets.stalled_audio",
            "budgets.mute",
        ],
    );
    assert!(format!("{status:?}").contains("known are: "), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misspelt_provider_is_answered_with_the_nearest_that_this_engine_can_have() {
    let house = House::offline().await;
    let listening = |provider: &str| Agent {
        listening: Some(Listening { transcribers: vec![choice(provider, "")], ..Default::default() }),
        ..agents::restaurant()
    };
    let status = refused(&house, listening("deepgarm")).await;
    assert_bad_fields(&status, &["listening.transcribers[0].provider"]);
    let told = status.message();
    assert!(told.contains("`deepgarm` is not known (did you mean `deepgram`?); known are: "), "{told}");
    assert!(!told.contains("script"), "it is for tests, and was not asked for: {told}");
    let status = refused(&house, listening("script")).await;
    assert_bad_fields(&status, &["listening.transcribers[0].provider"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_an_agent_says_about_providers_is_kept_and_given_back() {
    let house = House::scripted().await;
    let agent = Agent {
        listening: Some(Listening {
            transcribers: vec![choice("script", "one")],
            language: "hi".into(),
            key_terms: vec!["Paneer".into()],
            trust_provider_turns: Some(false),
        }),
        language_model: Some(LanguageModel {
            system_prompt: "Answer.".into(),
            models: vec![choice("script", "two")],
            temperature: Some(0.0),
            max_tokens: Some(100),
            context_tokens: Some(2_000),
            hedging: true,
        }),
        voice: Some(Voice {
            model: "three".into(),
            style: "calm".into(),
            hedging: true,
            ..Default::default()
        }),
        turn_taking: Some(TurnTaking { speculation: Some(false), ..Default::default() }),
        budgets: Some(ProviderBudgets {
            first_token: Some(duration(Duration::from_secs(1))),
            ..Default::default()
        }),
        ..agents::echo("Hello")
    };
    let name = house.hires(Agent { name: String::new(), ..agent.clone() }).await;
    let got = house.client.agents().get_agent(v1::GetAgentRequest { name: name.clone() }).await;
    let got = got.expect("it is there").into_inner().agent.expect("the answer holds it");
    assert_eq!(
        (got.listening, got.language_model, got.voice, got.turn_taking, got.budgets),
        (agent.listening, agent.language_model, agent.voice, agent.turn_taking, agent.budgets)
    );
    let caller = Caller::dials(&house, typing_start(&name)).await;
    let models: Vec<&str> = caller.ready.providers_in_use.iter().map(|one| one.model.as_str()).collect();
    assert_eq!(models, ["one", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_may_name_a_provider_before_there_is_a_key_but_not_call_with_nobody() {
    let house = House::offline().await;
    let listening = Listening { transcribers: vec![choice("deepgram", "")], ..Default::default() };
    let nobody = Agent { listening: Some(listening), ..agents::restaurant() };
    let name = house.hires(Agent { name: "agents/nobody".into(), ..nobody }).await;
    let refused =
        Caller::tries(house.client.voice(), typing_start(&name)).await.err().expect("nobody listens");
    assert_refused(&refused, Code::FailedPrecondition, "PROVIDER_MISSING");
    assert!(refused.message().contains("listening.transcribers: deepgram"), "{refused:?}");
    house.is_empty().await;

    let transcribers = vec![choice("deepgram", ""), choice("pocketsphinx", "")];
    let listening = Some(Listening { transcribers, ..Default::default() });
    let name = house.hires(Agent { name: "agents/somebody".into(), listening, ..agents::restaurant() }).await;
    let caller = Caller::dials(&house, typing_start(&name)).await;
    assert!(caller.ready.providers.starts_with("pocketsphinx, flow"), "{}", caller.ready.providers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_key_auto_is_offline_and_says_so() {
    let house = House::with_vendors(parlance::config::vendors::Vendors::default()).await;
    let agent = house.hires(agents::restaurant()).await;
    let caller = Caller::dials(&house, typing_start(&agent)).await;
    assert!(
        caller.ready.providers.starts_with("pocketsphinx, flow, flite:slt"),
        "{}",
        caller.ready.providers
    );
    let why = house.running.engine.providers.why().join("\n");
    assert!(why.contains("no vendor is configured"), "{why}");
}
