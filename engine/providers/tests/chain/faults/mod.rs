//! Every fault of the stand-ins, with the vendors' own clients in a chain: words are neither lost nor doubled, and the
//! caller waits no longer than the budgets say.
//!
//! Words are numbered. With a fallback the first vendor fails for good; alone it fails once.

mod handshakes;
mod llm;
mod stt;
mod tts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use parlance_fakes::{Fakes, Fault, Plan, Service};
use parlance_providers::account::{Account, Secret};
use parlance_providers::chain::{Budgets, Health, Setup};
use parlance_providers::notes;
use parlance_providers::registry::{self, Open};
use tokio::task::JoinHandle;

/// What a slow machine may take on top of the budgets.
const SLACK: Duration = Duration::from_secs(6);
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(40);

/// A vendor's service and its stand-in.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    name: &'static str,
    base: &'static str,
    service: Service,
}

const fn row(name: &'static str, base: &'static str, service: Service) -> Row {
    Row { name, base, service }
}

/// One fault at one vendor, with or without another one behind it.
#[derive(Debug, Clone)]
struct Case {
    row: Row,
    fallback: Option<Row>,
    fault: Fault,
}

impl Case {
    /// Whether a single provider can't be helped: only a person can, or it asks to be left alone for longer than a caller
    /// waits.
    fn is_hopeless(&self) -> bool {
        let permanent = matches!(self.fault, Fault::Unauthorized | Fault::Quota | Fault::UnusualActivity);
        self.fallback.is_none() && permanent
    }

    /// The stand-ins: the first row's with the fault, the other's well.
    async fn fakes(&self, plan: &Plan) -> Fakes {
        let fakes = Fakes::start().await.unwrap();
        let times = if self.fallback.is_none() { Some(1) } else { None };
        fakes.plan(self.row.service, Plan { fault: Some(self.fault.clone()), times, ..plan.clone() });
        if let Some(fallback) = self.fallback {
            fakes.plan(fallback.service, plan.clone());
        }
        fakes
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        std::iter::once(self.row).chain(self.fallback)
    }
}

fn faults() -> Vec<Fault> {
    vec![
        Fault::SlowFirstByte { ms: 600 },
        Fault::Silence { after: 0 },
        Fault::Silence { after: 2 },
        Fault::Drop { after: 0 },
        Fault::Drop { after: 2 },
        Fault::HalfOpen { after: 0 },
        Fault::HalfOpen { after: 2 },
        Fault::BlockedSend,
        Fault::Unauthorized,
        Fault::Quota,
        Fault::RateLimited { retry_after_s: 1 },
        Fault::ServerError,
        Fault::Malformed { after: 2 },
        Fault::UnknownType { after: 1 },
        Fault::ErrorInside { after: 2 },
        Fault::Empty,
        Fault::Flap,
        Fault::Fragment,
    ]
}

/// How late a task is woken while this lives, in all: what a busy machine adds to every wait.
struct Lateness(Arc<AtomicU64>, JoinHandle<()>);

impl Lateness {
    fn watch() -> Self {
        let late = Arc::new(AtomicU64::new(0));
        let of_all = Arc::clone(&late);
        let watching = tokio::spawn(async move {
            let nap = Duration::from_millis(20);
            loop {
                let began = Instant::now();
                tokio::time::sleep(nap).await;
                let more = began.elapsed().saturating_sub(nap).as_millis() as u64;
                of_all.fetch_add(more, Ordering::Relaxed);
            }
        });
        Self(late, watching)
    }

    /// What a wait of so long may really take.
    fn allows(&self, budget: Duration) -> Duration {
        budget + SLACK + 2 * Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl Drop for Lateness {
    fn drop(&mut self) {
        self.1.abort();
    }
}

/// Every fault at every row, alone and with the next row behind it.
fn cases(rows: &[Row]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        for fault in faults() {
            let next = rows[(index + 1) % rows.len()];
            for fallback in [Some(next), None] {
                cases.push(Case { row: *row, fallback, fault: fault.clone() });
            }
        }
    }
    cases
}

/// Runs the cases, some at a time, and names all that went wrong.
async fn each<F: Future<Output = Result<(), String>>>(
    cases: Vec<Case>,
    at_a_time: usize,
    run: impl Fn(Case) -> F,
) {
    let wrong: Vec<String> = futures_util::stream::iter(cases)
        .map(|case| {
            let name = format!("{case:?}");
            let run = run(case);
            async move { run.await.err().map(|wrong| format!("{name}\n    {wrong}")) }
        })
        .buffer_unordered(at_a_time)
        .filter_map(|wrong| async { wrong })
        .collect()
        .await;
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn setup() -> Setup {
    Setup { health: Arc::<Health>::default(), notes: notes::nobody(), budgets: Budgets::default() }
}

fn open(row: Row, fakes: &Fakes) -> (Open, Account) {
    let account = Account { key: Secret::new("a-key"), base_url: Some(fakes.base(row.base)) };
    let service = registry::services().find(|service| service.name == row.name && is_of(service, row));
    (service.unwrap_or_else(|| panic!("{} is registered", row.name)).open, account)
}

/// A vendor's services of several kinds may have one name.
fn is_of(service: &registry::Service, row: Row) -> bool {
    use Service::{
        CartesiaStt, DeepgramFlux, DeepgramListen, ElevenlabsScribe, OpenaiRealtime, OpenaiTranscribe,
    };
    use Service::{CartesiaTts, DeepgramSpeak, ElevenlabsHttp, ElevenlabsMulti, OpenaiSpeech};
    match row.service {
        CartesiaStt | DeepgramFlux | DeepgramListen | ElevenlabsScribe | OpenaiRealtime
        | OpenaiTranscribe => matches!(service.open, Open::Stt(_)),
        CartesiaTts | DeepgramSpeak | ElevenlabsHttp | ElevenlabsMulti | OpenaiSpeech => {
            matches!(service.open, Open::Tts(_))
        }
        _ => matches!(service.open, Open::Llm(_)),
    }
}

/// `word1 word2 …`
fn words(numbers: std::ops::RangeInclusive<u16>) -> String {
    numbers.map(|number| format!("word{number}")).collect::<Vec<_>>().join(" ")
}
