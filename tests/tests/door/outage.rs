//! Postgres away in mid-call, for several leases: the call goes on, nothing of it is lost, and another engine on the same
//! database takes nothing for lost.
//!
//! Each test has a server of its own, which it stops or freezes, and the owner stands still while it comes back, so that
//! the other engine has every chance to be wrong. A lease here is as much shorter than the default as
//! the outage is shorter than a minute.

use std::path::Path;
use std::time::Duration;

use parlance_proto::v1;
use parlance_store::calls::{self, CallState};
use parlance_store::private_cluster::{ClusterConfig, PrivateCluster};
use parlance_store::{CallId, journal};
use parlance_tests::caller::typing_start;
use parlance_tests::{Caller, House, Program, agents, database, house, program};
use tokio::time::Instant;

/// How long Postgres is away. With the default lease of 15 s it would be a minute.
const AWAY: Duration = Duration::from_secs(12);
const LEASE: &str = "3s";
/// Then nobody can say any more that the owner had no time to come back: two leases of patience, one of grace, a sweep.
const JUDGED_AFTER: Duration = Duration::from_secs(10);
/// How long the owner stands still after that: its leases have lapsed beyond their grace.
const SLOW_FOR: Duration = Duration::from_millis(3_500);
const SOON: Duration = Duration::from_secs(20);

/// A caller who keeps the agent talking.
struct Talk {
    caller: Caller,
    said: Vec<String>,
}

impl Talk {
    /// Says something every other second for so long, and is answered each time.
    async fn goes_on(&mut self, length: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end {
            let line = format!("line {}", self.said.len());
            self.caller.types(&line);
            let answer = format!("You said: {line}");
            let answered =
                |caller: &Caller| caller.texts(v1::Speaker::Agent).iter().any(|text| text.ends_with(&answer));
            self.caller.until(&answer, SOON, answered).await;
            self.said.push(line);
            self.caller.waits(Duration::from_secs(1)).await;
        }
    }
}

/// Two engines on one server, a call on the first; what `leaves` and `returns` do to the server passes by unnoticed.
async fn outlives_an_outage<T>(
    leaves: impl FnOnce(PrivateCluster) -> T,
    returns: impl FnOnce(T) -> PrivateCluster,
) {
    let (cluster, _watch) = new_cluster();
    let url = cluster.url().to_owned();
    let other = House::leasing(&url, LEASE).await;
    let owner = Program::serves(&url, LEASE).await;
    let agent = other.hires(agents::echo("Hello")).await;
    let voice = house::client(&owner.endpoint, &other.key).await.voice();
    let caller = Caller::tries(voice, typing_start(&agent)).await.expect("the call is taken");
    let id: CallId = caller.ready.call.trim_start_matches("calls/").parse().expect("a name holds an id");
    let mut talk = Talk { caller, said: Vec::new() };
    // So that the other engine has watched long enough to judge.
    talk.goes_on(JUDGED_AFTER).await;
    let away = tokio::task::block_in_place(|| leaves(cluster));
    talk.goes_on(AWAY).await;
    // The owner is slow to notice that the server is back.
    program::signal("STOP", &[owner.pid()]);
    let cluster = tokio::task::block_in_place(|| returns(away));
    assert_eq!(cluster.url(), url);
    talk.caller.waits(SLOW_FOR).await;
    program::signal("CONT", &[owner.pid()]);
    talk.goes_on(JUDGED_AFTER).await;

    let row = calls::get(&other.scope, id).await.expect("the database is back");
    assert_eq!((row.state, row.owner_epoch), (CallState::Ongoing, 1), "{row:?}");
    assert_eq!(other.running.engine.backlog().lost_calls_closed, 0);
    talk.caller.controls(v1::session_control::Control::End(v1::End {}));
    let (ended, _) = talk.caller.ends(SOON).await;
    assert_eq!(ended.reason(), v1::EndReason::ClientEnded);
    assert_eq!(other.ended_call(&talk.caller.ready.call).await.end_reason(), v1::EndReason::ClientEnded);
    everything_is_there(&other, id, &talk).await;
    drop((owner, other));
    tokio::task::block_in_place(|| cluster.stop()).expect("the server stops");
}

/// Each line and its answer in the transcript, and the journal without a gap.
async fn everything_is_there(house: &House, id: CallId, talk: &Talk) {
    let kept = house.transcript(&talk.caller.ready.call).await;
    let texts = |speaker| kept.entries.iter().filter(move |entry| entry.speaker() == speaker);
    let typed: Vec<&str> = texts(v1::Speaker::Caller).map(|entry| entry.text.as_str()).collect();
    assert_eq!(typed, talk.said);
    let answers: Vec<&str> = texts(v1::Speaker::Agent).map(|entry| entry.text.as_str()).collect();
    assert!(talk.said.iter().all(|line| answers.iter().any(|text| text.ends_with(line))), "{answers:?}");
    let entries = journal::read(&house.scope, id, 0, 100_000).await.expect("the journal can be read");
    let offsets: Vec<i64> = entries.iter().map(|entry| entry.offset).collect();
    assert_eq!(offsets, (1..=offsets.len() as i64).collect::<Vec<_>>());
}

fn config() -> ClusterConfig {
    ClusterConfig::new(database::new_folder())
}

fn new_cluster() -> (PrivateCluster, parlance_store::private_cluster::ProcessWatch) {
    let cluster = PrivateCluster::start(&config()).expect("the tests need a Postgres");
    let watch = cluster.stop_when_process_ends(true).expect("it goes when the test does");
    (cluster, watch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_on_while_postgres_is_stopped_and_nobody_takes_it() {
    let stop = |cluster: PrivateCluster| {
        let dir = cluster.dir().to_owned();
        cluster.stop().expect("the server stops");
        dir
    };
    let start = |dir| PrivateCluster::start(&ClusterConfig::new(dir)).expect("the server starts again");
    outlives_an_outage(stop, start).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_on_while_postgres_stands_still_and_nobody_takes_it() {
    let freeze = |cluster: PrivateCluster| {
        let frozen = processes(cluster.dir());
        program::signal("STOP", &frozen);
        (cluster, frozen)
    };
    let thaw = |(cluster, frozen): (PrivateCluster, Vec<u32>)| {
        program::signal("CONT", &frozen);
        cluster
    };
    outlives_an_outage(freeze, thaw).await;
}

/// The server's processes, the one that starts the others first.
fn processes(dir: &Path) -> Vec<u32> {
    let file = std::fs::read_to_string(dir.join("data/postmaster.pid")).expect("the server runs");
    let first = file.lines().next().and_then(|line| line.trim().parse().ok());
    let first: u32 = first.expect("its first line is a process id");
    let all = std::fs::read_dir("/proc").expect("this is Linux").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // `pid (name) state parent …`
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1).is_some_and(|parent| parent == first.to_string())
    });
    std::iter::once(first).chain(children).collect()
}
