//! A client in a chain, as calls have it: when its stream breaks in mid-sentence, a fresh one is fed what is not settled,
//! and no word is lost and none comes twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parlance_fakes::code::tune;
use parlance_fakes::{Fakes, Fault, Plan};
use parlance_providers::account::AccountId;
use parlance_providers::audio::{Audio, AudioFormat, Convert, Converters, OwnedAudio};
use parlance_providers::chain::{self, Budgets, Health, Listening, Setup};
use parlance_providers::notes;
use parlance_providers::stt::Control;
use tokio::time::{Instant, sleep};

use super::call::{Call, SOON, Told, names, service, words};
use super::{ROWS, Row};

const SAID: [u16; 8] = [0, 1, 2, 3, 4, 5, 6, 7];
const FRAME: usize = 320;
/// Audio goes on four times as fast as it is spoken.
const PACE: Duration = Duration::from_millis(5);

/// Three samples for two.
struct Faster(i16);

impl Convert for Faster {
    fn convert(&mut self, audio: Audio<'_>) -> OwnedAudio {
        let Audio::Pcm16(samples) = audio else { panic!("callers speak PCM here") };
        let mut faster = Vec::with_capacity(samples.len() * 3 / 2);
        for pair in samples.chunks(2) {
            let (before, first) = (i32::from(self.0), i32::from(pair[0]));
            let second = i32::from(*pair.get(1).unwrap_or(&pair[0]));
            let between = [(before + 2 * first) / 3, (2 * first + second) / 3, second];
            faster.extend(between.map(|sample| sample as i16));
            self.0 = second as i16;
        }
        OwnedAudio::Pcm16(faster)
    }
}

fn converters() -> Converters {
    Arc::new(|_, to| {
        assert_eq!(to, AudioFormat::Pcm16 { sample_rate_hz: 24_000 });
        Box::new(Faster(0))
    })
}

async fn call(row: &Row, fakes: &Fakes) -> Call {
    let candidate = Listening {
        provider: service(row, super::call::KEY, fakes.base(row.vendor)),
        model: row.model.map(str::to_owned),
        account: AccountId::ENGINE,
    };
    let setup = Setup {
        health: Arc::new(Health::default()),
        notes: notes::nobody(),
        budgets: Budgets { mute: Duration::from_millis(1_200), ..Budgets::default() },
    };
    Call::of(chain::stt(vec![candidate], converters(), setup).unwrap().as_ref(), AudioFormat::PCM_16K)
}

/// Says the words as a caller does, with what the session tells beside them, and listens until all are settled.
async fn hears_all_the_same(row: &Row, fault: Fault) {
    let fakes = Fakes::start().await.unwrap();
    fakes.plan(row.stand_in, Plan { fault: Some(fault.clone()), times: Some(1), ..words() });
    let mut call = call(row, &fakes).await;
    let mut samples = vec![0; 16_000];
    samples.extend(SAID.iter().flat_map(|word| tune(*word, 16_000)));
    let (began_us, last_us) = (1_000_000, samples.len() as u64 * 1_000_000 / 16_000);
    let mut told = Told::default();
    let deadline = Instant::now() + SOON;
    let mut frames = samples.chunks(FRAME).map(<[i16]>::to_vec);
    let (mut began, mut ended) = (false, false);
    while told.text().len() < SAID.len() || !ended {
        assert!(Instant::now() < deadline, "{}, {fault:?}: {told:?}", row.name);
        call.hear(&frames.next().unwrap_or_else(|| vec![0; FRAME]));
        if !began && call.fed_us >= began_us + 100_000 {
            call.tell(Control::VoiceStarted(began_us));
            began = true;
        }
        if !ended && call.fed_us >= last_us + 100_000 {
            call.tell(Control::VoiceEnded(last_us));
            call.tell(Control::Finalize);
            ended = true;
        }
        sleep(PACE).await;
        call.told_so_far(&mut told);
    }
    // What is said twice would come now.
    for _ in 0..100 {
        call.silence(20_000);
        sleep(PACE).await;
    }
    call.told_so_far(&mut told);
    assert_eq!(told.failures, [], "{}, {fault:?}", row.name);
    assert!(told.replaced > 0, "{}, {fault:?}: it was told that another stream listens", row.name);
    assert_eq!(told.text(), names(&SAID), "{}, {fault:?}: {told:?}", row.name);
    let opened = fakes.seen(row.stand_in).iter().filter(|seen| seen.what == "open").count();
    assert!(opened >= 2, "{}, {fault:?}: the fault never struck", row.name);
}

async fn for_all(fault: Fault) {
    join_all(ROWS.map(|row| hears_all_the_same(row, fault.clone()))).await;
}

#[tokio::test]
async fn a_cut_in_mid_sentence_loses_and_doubles_no_word() {
    join_all([1, 2, 4, 6].map(|after| for_all(Fault::Drop { after }))).await;
}

#[tokio::test]
async fn silence_in_mid_sentence_loses_and_doubles_no_word() {
    for_all(Fault::Silence { after: 2 }).await;
}

#[tokio::test]
async fn a_server_error_before_the_first_word_loses_no_word() {
    for_all(Fault::ServerError).await;
}

#[tokio::test]
async fn an_error_inside_the_stream_loses_and_doubles_no_word() {
    for_all(Fault::ErrorInside { after: 1 }).await;
}

#[tokio::test]
async fn a_broken_frame_loses_and_doubles_no_word() {
    for_all(Fault::Malformed { after: 3 }).await;
}
