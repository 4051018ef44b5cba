//! The measurement against stand-ins: for each transcriber and responsiveness one run without speculation and one with it.
//!
//! Each run has an engine and stand-ins of its own, all with the same seed, so that nothing but speculation differs
//! and every counter begins at nought. Every call has an agent of its own, which its requests are known by. Enter at
//! [`run`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parlance_proto::v1::{Agent, CallHandling, LanguageModel, Listening, ProviderChoice, TurnTaking, Voice};

use crate::Arguments;
use crate::call::{Outcome, Plan};
use crate::clip::Sounds;
use crate::engine::Engine;
use crate::figures::{Spread, errors};
use crate::latency::{Comparison, Latency, Pair, Speculations};
use crate::measure::{agent, authorization, connect, create_agent, hold_all};
use crate::path::{self, PROVIDERS, Path, Tag, Transcriber};
use crate::sentences::sounds;
use crate::stand_ins::{DELAYS, StandIns, http_get};

/// The stand-ins take 150 ms to open a socket.
const GREETING_DELAY: Duration = Duration::from_millis(500);
const HANDSHAKES: &str = "parlance_provider_handshakes_in_turn_total";
/// Calls at once where nobody says how many.
const CALLS: u32 = 20;

/// Measures, and stops everything it started.
///
/// # Errors
/// A sentence: something did not start or end well, or a run got stuck.
pub async fn run(arguments: &Arguments) -> Result<Comparison, String> {
    let (sounds, words) = sounds()?;
    let mut pairs = Vec::new();
    for &transcriber in &arguments.transcribers {
        // Where the transcriber decides, it is how certain that must be: one is enough.
        let settings = match transcriber {
            Transcriber::Deepgram => &arguments.responsiveness[..],
            Transcriber::DeepgramFlux => &arguments.responsiveness[..1],
        };
        for &responsiveness in settings {
            let turn_taking = |speculation| TurnTaking {
                responsiveness: Some(responsiveness),
                speculation: Some(speculation),
                ..TurnTaking::default()
            };
            let off = measure(arguments, transcriber, turn_taking(false), &sounds, &words).await?;
            let on = measure(arguments, transcriber, turn_taking(true), &sounds, &words).await?;
            pairs.push(Pair { transcriber, responsiveness, off, on });
        }
    }
    let calls = arguments.calls.unwrap_or(CALLS);
    Ok(Comparison { calls, seconds: arguments.seconds, delays_ms: DELAYS.to_vec(), pairs })
}

async fn measure(
    arguments: &Arguments,
    transcriber: Transcriber,
    turn_taking: TurnTaking,
    sounds: &Sounds,
    words: &[String],
) -> Result<Latency, String> {
    let calls = arguments.calls.unwrap_or(CALLS) as usize;
    let stand_ins = StandIns::start(words.to_vec())?;
    let recording = !arguments.no_recording;
    let engine = Engine::start(arguments.engine.as_deref(), recording, Some(&stand_ins.variables))?;
    let channels = connect(&engine.endpoint, arguments.connections).await?;
    let authorization = authorization(&engine)?;
    let mut plans = Vec::new();
    for number in 0..calls {
        let caller = caller(number, transcriber, turn_taking.clone());
        let name =
            create_agent(channels[0].clone(), &authorization, &format!("load-{number}"), caller).await?;
        let (now, reports) = (Instant::now(), !arguments.no_reports);
        let (authorization, sounds) = (authorization.clone(), sounds.clone());
        plans.push(Plan {
            number,
            agent: name,
            authorization,
            sounds,
            reports,
            counts_from: now,
            until: now,
        });
    }
    let (outcomes, _) = hold_all(arguments.seconds, &engine, plans, &channels).await?;
    let counters = Counters::read(&engine)?;
    let (paths, unnoted) = paths(&stand_ins, transcriber, &outcomes)?;
    let complaints = engine.complaints();
    drop(channels);
    engine.stop()?;
    Ok(latency(&outcomes, &paths, unnoted, &counters, complaints))
}

/// The agent of a call: every service is shown whose call it is. It greets when its sockets are open: a greeting said at
/// once waits for its voice's, and is no turn.
fn caller(call: usize, transcriber: Transcriber, turn_taking: TurnTaking) -> Agent {
    let Tag { key_term, prompt, voice } = Tag::of(call);
    let agent = agent();
    let choice =
        |provider: &str| vec![ProviderChoice { provider: provider.to_owned(), model: String::new() }];
    Agent {
        listening: Some(Listening {
            transcribers: choice(transcriber.name()),
            key_terms: vec![key_term],
            ..Listening::default()
        }),
        language_model: Some(LanguageModel {
            models: choice("openai"),
            system_prompt: prompt,
            ..LanguageModel::default()
        }),
        voice: Some(Voice { voice_id: format!("elevenlabs/{voice}"), ..Voice::default() }),
        turn_taking: Some(turn_taking),
        call_handling: agent
            .call_handling
            .map(|handling| CallHandling { begin_delay: GREETING_DELAY.try_into().ok(), ..handling }),
        ..agent
    }
}

/// Where the time of all turns went, and of how many the stand-ins' notes lack a step.
fn paths(
    stand_ins: &StandIns,
    transcriber: Transcriber,
    outcomes: &[Outcome],
) -> Result<(Vec<Path>, u32), String> {
    let noted = path::noted(stand_ins, transcriber, outcomes.len())?;
    let (mut paths, mut unnoted) = (Vec::new(), 0);
    for (outcome, noted) in outcomes.iter().zip(&noted) {
        for turn in &outcome.turns {
            match noted.path(turn, stand_ins) {
                Some(path) => paths.push(path),
                None => unnoted += 1,
            }
        }
    }
    Ok((paths, unnoted))
}

fn latency(
    outcomes: &[Outcome],
    paths: &[Path],
    unnoted: u32,
    counters: &Counters,
    complaints: Vec<String>,
) -> Latency {
    let spread = |of: &dyn Fn(&Path) -> f64| Spread::of(paths.iter().map(of));
    let sooner_than = |sum: &dyn Fn(&Path) -> f64| paths.iter().filter(|path| path.total < sum(path)).count();
    let providers = (0..PROVIDERS.len()).map(|n| (PROVIDERS[n], spread(&|path| path.providers[n]))).collect();
    let mut errors = errors(outcomes, 0);
    if unnoted > 0 {
        errors.insert("turns of which the stand-ins noted no whole answer".to_owned(), unnoted);
    }
    let outcome = |name: &str| counters.of("parlance_speculations_total", &format!("outcome=\"{name}\""));
    let dropped = counters.by_label("parlance_speculations_total", "outcome=\"dropped_");
    let tokens =
        |name: &str| counters.of(name, "unit=\"input_tokens\"") + counters.of(name, "unit=\"output_tokens\"");
    Latency {
        total_ms: spread(&|path| path.total),
        one_after_another_ms: spread(&Path::one_after_another),
        sooner: sooner_than(&Path::one_after_another),
        after_decision_ms: spread(&Path::after_decision),
        sooner_than_after_decision: sooner_than(&Path::after_decision),
        endpointing_wait_ms: Spread::of(paths.iter().filter_map(|path| path.wait)),
        providers_ms: providers,
        providers_sum_ms: spread(&Path::sum),
        sooner_than_providers: sooner_than(&Path::sum),
        own_share_ms: spread(&|path| path.own),
        turns_begun_early: paths.iter().filter(|path| path.kept).count(),
        underruns_ms: Spread::of(outcomes.iter().flat_map(|call| call.ear.underruns_ms.iter().copied())),
        driver_late_ms: Spread::of(outcomes.iter().flat_map(|call| call.late_ms.iter().copied())),
        speculations: Speculations { started: outcome("started"), kept: outcome("kept"), dropped },
        tokens_thrown_away: counters.of("parlance_tokens_thrown_away_total", ""),
        tokens: tokens("parlance_provider_work_total") + tokens("parlance_provider_work_thrown_away_total"),
        handshakes_in_turn: counters.of(HANDSHAKES, ""),
        handshakes_of: counters.by_label(HANDSHAKES, "provider=\""),
        provider_failures: counters.of("parlance_provider_failures_total", ""),
        errors,
        complaints,
    }
}

/// The engine's page of metrics.
struct Counters(String);

impl Counters {
    fn read(engine: &Engine) -> Result<Self, String> {
        let host = engine.endpoint.trim_start_matches("http://");
        let address: SocketAddr = host.parse().map_err(|_| format!("`{host}` is no address"))?;
        http_get(address, "/metrics").map(Self)
    }

    /// Each line of a metric whose labels hold some text.
    fn lines<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        self.0.lines().filter_map(move |line| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            let is_it = labels.is_empty() || labels.starts_with('{');
            Some((labels, value.parse().ok()?)).filter(|(labels, _)| is_it && labels.contains(label))
        })
    }

    fn of(&self, name: &str, label: &str) -> u64 {
        self.lines(name, label).map(|(_, value)| value).sum()
    }

    /// By what follows `start` in its label, without those that never were.
    fn by_label(&self, name: &str, start: &str) -> BTreeMap<String, u64> {
        let counted = self.lines(name, start).filter(|(_, value)| *value > 0);
        counted
            .filter_map(|(labels, value)| {
                let (_, after) = labels.split_once(start)?;
                Some((after.split('"').next()?.to_owned(), value))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_by_their_labels_and_not_mixed_up_with_longer_names() {
        let page = "a_total 3\na_total_more 9\nb{outcome=\"kept\"} 2\nb{outcome=\"dropped_words\"} 4\n\
                    b{outcome=\"dropped_failed\"} 0\nc{kind=\"x\",unit=\"t\"} 5\nc{kind=\"y\",unit=\"t\"} 6\n";
        let counters = Counters(page.to_owned());
        assert_eq!((counters.of("a_total", ""), counters.of("b", "outcome=\"kept\"")), (3, 2));
        assert_eq!((counters.of("c", "unit=\"t\""), counters.of("d", "")), (11, 0));
        let dropped = counters.by_label("b", "outcome=\"dropped_");
        assert_eq!(dropped.into_iter().collect::<Vec<_>>(), [("words".to_owned(), 4)]);
    }
}
