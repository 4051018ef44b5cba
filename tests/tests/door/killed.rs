//! Engines that are killed in mid-call: what they had stored, what they had done, and who closes their calls.
//!
//! The engines are processes of their own on a database of the test's own, with leases short enough to wait for.
//! The moments are random but always the same: seeded.

use std::sync::Arc;
use std::time::Duration;

use parlance::convert::policy as convert_policy;
use parlance::session::past;
use parlance_conversation::{Action, CallTime, Conversation, Input, Now, Scene};
use parlance_proto::v1;
use parlance_proto::v1::voice_session_response::Response;
use parlance_store::appointments::{self, AppointmentFilter};
use parlance_store::calls::{self, Call, CallState};
use parlance_store::invocations::{self, Invocation, InvocationState};
use parlance_store::{CallId, PageRequest, Scope};
use parlance_tests::caller::typing_start;
use parlance_tests::{Caller, House, Program, agents, database, house};
use tokio::sync::Semaphore;
use tokio::time::Instant;

const LEASE: &str = "3s";
/// Lease, grace, a sweep, a busy machine.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);
/// How many engines are under way at once.
const AT_ONCE: usize = 5;
/// What is older than this must be stored.
const STORED_AFTER_MS: u64 = 1_000;
const SOON: Duration = Duration::from_secs(20);
/// What the caller types, an answer each.
const LINES: [&str; 4] =
    ["A table for two tomorrow at 8:15 pm, please", "Maria Garcia", "(212) 555-0198", "Yes please"];

/// When an engine is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after the call began, in whatever it does then.
    After(Duration),
    /// In the booking, which waits for a lock.
    InTool,
    /// In the booking, so long after it got the lock.
    Booking(Duration),
}

/// Numbers that look random, the same each time (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn moments() -> Vec<Moment> {
    let mut random = Seeded(20_261_121);
    let anywhere = (0..12).map(|_| Moment::After(Duration::from_millis(300 + random.below(5_500))));
    let mut moments: Vec<Moment> = anywhere.collect();
    moments.extend([Moment::InTool; 3]);
    moments.extend((0..5).map(|_| Moment::Booking(Duration::from_micros(random.below(8_000)))));
    moments
}

/// A call on an engine that is to be killed.
struct Victim {
    moment: Moment,
    program: Program,
    caller: Caller,
    scope: Scope,
    client: parlance::cli::connect::Engine,
    call: CallId,
}

impl Victim {
    /// Dials an engine of its own, in an organisation of its own.
    async fn dials(survivor: &House, moment: Moment) -> Self {
        let (scope, key) = survivor.tenant().await;
        let client = house::client(&survivor.url(), &key).await;
        let agent = v1::Agent { voice: None, ..agents::restaurant() };
        let request = v1::CreateAgentRequest {
            agent_id: "restaurant".into(),
            agent: Some(agent),
            ..Default::default()
        };
        client.agents().create_agent(request).await.expect("the agent is valid");
        let program = Program::serves(&survivor.database_url, LEASE).await;
        let voice = house::client(&program.endpoint, &key).await.voice();
        let caller =
            Caller::tries(voice, typing_start("agents/restaurant")).await.expect("the call is taken");
        let call = caller.ready.call.trim_start_matches("calls/").parse().expect("a name holds an id");
        Self { moment, program, caller, scope, client, call }
    }

    /// Talks until the moment comes, and kills the engine then.
    async fn is_killed(&mut self, database_url: &str) -> u64 {
        let _lock = match self.moment {
            Moment::After(time) => {
                tokio::time::timeout(time, types(&mut self.caller, &LINES)).await.ok();
                None
            }
            Moment::InTool => Some(self.books_under_lock(database_url).await),
            Moment::Booking(time) => {
                let lock = self.books_under_lock(database_url).await;
                lock.batch_execute("COMMIT").await.expect("the lock is ours");
                tokio::time::sleep(time).await;
                None
            }
        };
        self.program.is_killed();
        self.caller.now_ms()
    }

    /// Lets the booking begin, and hold before the lock that bookings take; gives who has it.
    async fn books_under_lock(&mut self, database_url: &str) -> tokio_postgres::Client {
        let (last, first) = LINES.split_last().expect("there are lines");
        types(&mut self.caller, first).await;
        let (lock, _driver) = database::connect(database_url).await;
        let id = self.scope.organisation();
        let row = format!("BEGIN; SELECT FROM parlance.organisations WHERE id = '{id}' FOR NO KEY UPDATE");
        lock.batch_execute(&row).await.expect("the row is there");
        types(&mut self.caller, &[last]).await;
        let give_up = Instant::now() + SOON;
        while !self.runs().await.iter().any(|run| run.state == InvocationState::Running) {
            assert!(Instant::now() < give_up, "no tool runs\n{}", self.caller.history());
            self.caller.waits(Duration::from_millis(5)).await;
        }
        lock
    }

    async fn runs(&self) -> Vec<Invocation> {
        invocations::list(&self.scope, self.call).await.expect("the store lists runs")
    }

    /// The call once it is closed, by whoever does it.
    async fn closed(&self) -> Call {
        let give_up = Instant::now() + CLOSED_WITHIN;
        loop {
            let row = calls::get(&self.scope, self.call).await.expect("the call is there");
            if row.state == CallState::Ended {
                return row;
            }
            assert!(Instant::now() < give_up, "{:?}: the call is not closed: {row:?}", self.moment);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Everything the caller was told a second before the end or earlier is stored, and read through another engine.
    async fn kept_what_was_said(&self, killed_ms: u64) {
        let request = v1::GetTranscriptRequest { call: self.caller.ready.call.clone(), include_events: true };
        let kept = self.client.calls().get_transcript(request).await.expect("it is there").into_inner();
        let about = || format!("{:?}, killed at {killed_ms} ms\n{}", self.moment, self.caller.history());
        for seen in self.caller.seen.iter().filter(|seen| seen.at_ms + STORED_AFTER_MS <= killed_ms) {
            let stored = match &seen.response {
                Response::Transcript(update) if update.r#final => {
                    let sequence = update.entry.as_ref().map(|entry| entry.sequence);
                    kept.entries.iter().any(|entry| Some(entry.sequence) == sequence)
                }
                Response::Turn(turn) => kept.events.iter().any(
                    |event| matches!(&event.event, Some(v1::call_event::Event::Turn(other)) if other == turn),
                ),
                Response::Tool(tool) => kept.events.iter().any(
                    |event| matches!(&event.event, Some(v1::call_event::Event::Tool(other)) if other == tool),
                ),
                _ => true,
            };
            assert!(stored, "not stored: {seen:?}\n{}", about());
        }
    }

    /// No appointment twice, none without its run, and none missing that was confirmed.
    async fn booked_at_most_once(&self) {
        let filter = AppointmentFilter { call_id: Some(self.call), ..Default::default() };
        let page = appointments::list(&self.scope, &filter, &PageRequest::default()).await;
        let booked = page.expect("the store lists appointments").items.len();
        let runs = self.runs().await;
        let states: Vec<InvocationState> = runs.iter().map(|run| run.state).collect();
        let confirmed = self.caller.seen.iter().any(
            |seen| matches!(&seen.response, Response::Tool(tool) if tool.state() == v1::ToolState::Succeeded),
        );
        let about = format!("{:?}: {booked} booked, runs {states:?}\n{}", self.moment, self.caller.history());
        assert!(booked <= 1 && states.len() <= 1 && booked <= states.len(), "{about}");
        if confirmed || states == [InvocationState::Succeeded] {
            assert_eq!(booked, 1, "{about}");
        }
        match self.moment {
            Moment::InTool => assert_eq!((booked, states), (0, vec![InvocationState::Unknown]), "{about}"),
            Moment::After(_) | Moment::Booking(_) => {
                let open = [InvocationState::Pending, InvocationState::Running];
                assert!(!states.iter().any(|state| open.contains(state)), "{about}");
            }
        }
    }
}

/// Types lines, each when the agent has begun to speak and half a second has passed; stops where the call ends.
async fn types(caller: &mut Caller, lines: &[&str]) {
    for line in lines {
        let replies = |caller: &Caller| caller.turns(v1::TurnEventType::ReplyStarted).len();
        let turns = caller.texts(v1::Speaker::Caller).len();
        while caller.end.is_none() && replies(caller) <= turns {
            caller.waits(Duration::from_millis(20)).await;
        }
        caller.waits(Duration::from_millis(500)).await;
        if caller.end.is_some() {
            return;
        }
        caller.types(line);
        while caller.end.is_none() && caller.texts(v1::Speaker::Caller).len() <= turns {
            caller.waits(Duration::from_millis(20)).await;
        }
    }
}

async fn fares(survivor: &House, moment: Moment) {
    let mut victim = Victim::dials(survivor, moment).await;
    let killed_ms = victim.is_killed(&survivor.database_url).await;
    let call = victim.closed().await;
    assert_eq!(
        (call.end_reason.as_deref(), call.owner_epoch),
        (Some("engine_lost"), 2),
        "{moment:?}: {call:?}"
    );
    let lapsed = format!(
        "DO $$ BEGIN ASSERT (SELECT lease_expire_time + lease_ms * interval '1 ms' < now() \
         FROM parlance.calls WHERE id = '{}'), 'closed before its lease and its grace were over'; END $$",
        victim.call
    );
    database::execute(&survivor.database_url, &lapsed).await;
    victim.kept_what_was_said(killed_ms).await;
    victim.booked_at_most_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_engines_killed_at_twenty_moments_a_second_is_lost_nothing_booked_twice_and_no_other_call_touched()
{
    let url = database::another("killed_engines").await;
    let survivor = Arc::new(House::leasing(&url, LEASE).await);
    let agent = survivor.hires(agents::echo("Hello")).await;
    let mut bystander = Caller::dials(&survivor, typing_start(&agent)).await;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut killed = tokio::task::JoinSet::new();
    for moment in moments() {
        let (survivor, places) = (survivor.clone(), places.clone());
        killed.spawn(async move {
            let _place = places.acquire().await.expect("nobody closes it");
            fares(&survivor, moment).await;
        });
    }
    while !killed.is_empty() {
        tokio::select! {
            fared = killed.join_next() => {
                if let Some(Err(error)) = fared {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
            () = bystander.waits(Duration::from_secs(1)) => {}
        }
    }
    bystander.types("still here");
    let answered =
        |caller: &Caller| caller.texts(v1::Speaker::Agent).iter().any(|text| text.contains("still"));
    bystander.until("an answer", SOON, answered).await;
    bystander.controls(v1::session_control::Control::End(v1::End {}));
    assert_eq!(bystander.ends(SOON).await.0.reason(), v1::EndReason::ClientEnded);
    assert_eq!(survivor.running.engine.backlog().calls_lost, 0);
    survivor.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_start_closes_what_a_killed_engine_left() {
    let url = database::another("left_behind").await;
    let hall = House::leasing(&url, LEASE).await;
    let mut victim = Victim::dials(&hall, Moment::After(Duration::from_millis(900))).await;
    hall.running.stop(Duration::ZERO, std::future::ready(())).await.expect("nothing is left to be written");
    victim.is_killed(&url).await;
    let next = House::leasing(&url, LEASE).await;
    let scope = next.running.engine.store.scope(victim.scope.organisation());
    let give_up = Instant::now() + CLOSED_WITHIN;
    loop {
        let call = calls::get(&scope, victim.call).await.expect("the call is there");
        if call.state == CallState::Ended {
            assert_eq!(call.end_reason.as_deref(), Some("engine_lost"));
            assert_eq!(call.owner_node, Some(next.running.engine.node));
            break;
        }
        assert!(Instant::now() < give_up, "the call is not closed: {call:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_engine_had_stored_is_enough_to_go_on_with_the_next_open_question() {
    let hall = House::leasing(&database::another("gone_on_with").await, LEASE).await;
    let mut victim = Victim::dials(&hall, Moment::After(Duration::ZERO)).await;
    types(&mut victim.caller, &LINES[..1]).await;
    victim.caller.waits(Duration::from_millis(STORED_AFTER_MS + 500)).await;
    victim.program.is_killed();

    let read = past::read(&victim.scope, victim.call).await.expect("the journal is there");
    let agent = v1::Agent { voice: None, ..agents::restaurant() };
    let scene =
        Scene { started: jiff::civil::date(2026, 5, 20).at(12, 0, 0, 0), variables: Default::default() };
    let policy = convert_policy::policy(&agent, &hall.running.engine.providers.engine_wide().offer(), scene)
        .expect("the agent is valid");
    let mut rest = Conversation::resumed(policy, &read.past);
    let now = CallTime::from_micros(read.at_us.unsigned_abs());
    let mut actions = Vec::new();
    for fact in [Input::CallStarted, Input::FarEndReady] {
        rest.handle(Now { clock: now, audio: now }, fact, &mut actions);
    }
    let said = actions.iter().filter_map(|action| match action {
        Action::Synthesize { text, .. } => Some(text.as_str()),
        _ => None,
    });
    let said: Vec<&str> = said.collect();
    assert_eq!(said, ["What name shall I put it under?"], "{:?}\n{}", read.past, victim.caller.history());
}
