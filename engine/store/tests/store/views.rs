//! The views for people: readable, and as closed as the tables below them.

use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::RunQueryDsl;
use parlance_store::transcripts::{self, Role, TranscriptEntry};
use parlance_store::{CallId, Scope, Store};
use serde_json::json;

use crate::setup::{self, as_login, in_both_setups, live_call, new_organisation};
use crate::{appointments, tenancy, tools};

#[derive(diesel::QueryableByName, Debug, PartialEq)]
struct Utterance {
    #[diesel(sql_type = Text)]
    agent: String,
    #[diesel(sql_type = Text)]
    speaker: String,
    #[diesel(sql_type = Text)]
    text: String,
    #[diesel(sql_type = Text)]
    call_offset: String,
    #[diesel(sql_type = Text)]
    duration: String,
    #[diesel(sql_type = Bool)]
    interrupted: bool,
    #[diesel(sql_type = Bool)]
    said_when_it_began: bool,
}

#[derive(diesel::QueryableByName, Debug, PartialEq)]
struct Conversation {
    #[diesel(sql_type = Text)]
    call_id: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    caller_utterances: i64,
    #[diesel(sql_type = BigInt)]
    interruptions: i64,
    #[diesel(sql_type = Nullable<Text>)]
    tools: Option<String>,
    #[diesel(sql_type = BigInt)]
    appointments: i64,
    #[diesel(sql_type = Nullable<Text>)]
    conversation: Option<String>,
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn entry(sequence: i32, role: Role, text: &str, [start_us, end_us]: [i64; 2]) -> TranscriptEntry {
    TranscriptEntry {
        sequence,
        role,
        text: text.into(),
        unheard_text: String::new(),
        start_us,
        end_us,
        words: json!([]),
        words_estimated: false,
        interrupted_us: None,
        typed: false,
        turn_id: None,
        reply_id: None,
    }
}

/// A call that was begun, in which the caller cut in.
async fn spoken_call(scope: &Scope) -> CallId {
    let (call, owner) = live_call(scope).await;
    let greeting = entry(1, Role::Agent, "Bella Roma, good", [250_000, 1_750_000]);
    let greeting = TranscriptEntry { interrupted_us: Some(1_750_000), ..greeting };
    let answer = entry(2, Role::Caller, "a table for two", [61_500_000, 62_000_000]);
    transcripts::upsert(scope, call, owner, &[greeting, answer]).await.unwrap();
    tools::begin(scope, (call, owner), "once").await;
    appointments::book_evening(scope, Some(call)).await;
    call
}

async fn rows<T>(scope: &Scope, query: &'static str) -> Vec<T>
where
    T: diesel::deserialize::QueryableByName<diesel::pg::Pg> + Send + 'static,
{
    scope.run(|conn| Box::pin(async move { Ok(diesel::sql_query(query).load(conn).await?) })).await.unwrap()
}

in_both_setups! {
    async fn an_utterance_is_a_row_with_readable_times(store: Store) {
        let scope = new_organisation(&store).await;
        spoken_call(&scope).await;
        let query = "SELECT agent, speaker, text, call_offset::text, duration::text, interrupted, \
                     said_at = (SELECT start_time FROM calls) + call_offset AS said_when_it_began \
                     FROM transcripts ORDER BY call_id, sequence";
        let line = |speaker: &str, text: &str, call_offset: &str, duration: &str, interrupted| Utterance {
            agent: "Bella Roma".into(),
            speaker: speaker.into(),
            text: text.into(),
            call_offset: call_offset.into(),
            duration: duration.into(),
            interrupted,
            said_when_it_began: true,
        };
        assert_eq!(
            rows::<Utterance>(&scope, query).await,
            [
                line("agent", "Bella Roma, good", "00:00:00.25", "00:00:01.5", true),
                line("caller", "a table for two", "00:01:01.5", "00:00:00.5", false),
            ]
        );
    }

    async fn a_call_is_a_row_with_what_became_of_it(store: Store) {
        let scope = new_organisation(&store).await;
        let call = spoken_call(&scope).await;
        let query = "SELECT call_id::text, state, caller_utterances, interruptions, tools, appointments, conversation \
                     FROM conversations";
        let row = Conversation {
            call_id: call.to_string(),
            state: "ongoing".into(),
            caller_utterances: 1,
            interruptions: 1,
            tools: Some("book_appointment pending".into()),
            appointments: 1,
            conversation: Some("agent: Bella Roma, good\ncaller: a table for two".into()),
        };
        assert_eq!(rows::<Conversation>(&scope, query).await, [row]);
    }

    async fn the_engine_sees_only_the_rows_of_the_organisation_that_is_set(store: Store) {
        let full = tenancy::full_organisation(&store).await;
        let stranger = new_organisation(&store).await;
        let count = |scope: Scope, query: &'static str| async move {
            rows::<Count>(&scope, query).await[0].count
        };
        for query in ["SELECT count(*) AS count FROM transcripts", "SELECT count(*) AS count FROM conversations"] {
            assert!(count(full.clone(), query).await > 0, "{query}");
            assert_eq!(count(stranger.clone(), query).await, 0, "{query}");
        }
        let audit = store.tenancy_audit().await.unwrap();
        let views: Vec<_> = audit.views.iter().map(|view| view.name.as_str()).collect();
        assert_eq!(views, ["conversations", "transcripts"]);
        assert!(audit.is_sound(), "{audit:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_reads_the_views_as_operating_md_says() {
    let guide = include_str!("../../../../docs/operating.md");
    let store = setup::Setup::OrdinaryOwner.store().await;
    let scope = tenancy::full_organisation(&store).await;
    let url = setup::Setup::OrdinaryOwner.url().await;
    let (_, recipe) = guide.split_once("```sql\n").expect("the guide has a recipe");
    let recipe = recipe.split_once("```").expect("it has an end").0;
    let recipe = recipe.replace("00000000-0000-0000-0000-000000000001", &scope.organisation().to_string());
    let statements: Vec<&str> = recipe.split(';').map(str::trim).filter(|text| !text.is_empty()).collect();
    let told = as_login(url, &statements).await.expect("the recipe works");
    assert!(told.len() > 2, "it gives rows: {told:?}");
    let without: Vec<&str> = statements.iter().copied().filter(|text| !text.contains("set_config")).collect();
    assert_eq!(
        as_login(url, &without).await.expect("it runs"),
        Vec::<String>::new(),
        "no organisation, no rows"
    );
}
