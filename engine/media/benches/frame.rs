//! What one 20 ms frame costs on the hot path. `cargo bench -p parlance-media`.
//!
//! Each figure is a frame in steady state, its buffers warm; speech is a clip of a caller, repeated.

use divan::{Bencher, black_box};
use parlance_media::ears::Ears;
use parlance_media::format::{AudioFormat, Encoding};
use parlance_media::g711::Law;
use parlance_media::pacer::{DEFAULT_LEAD_US, Pacer};
use parlance_media::recording::{Recorder, Side};
use parlance_media::resample::Resampler;
use parlance_media::tone::ToneDetector;
use parlance_media::vad::VoiceDetector;
use parlance_media::{EAR_FRAME_SAMPLES, FRAME_US, wav};

fn main() {
    divan::main();
}

/// Caller audio at `rate_hz`.
fn speech(rate_hz: u32) -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/audio/u01_slt.wav");
    let clip = wav::read(path.as_ref()).expect("the clip is part of the repository");
    let mut out = Vec::new();
    let mut resampler = Resampler::new(clip.sample_rate_hz, rate_hz).expect("a rate of the engine");
    resampler.process(&clip.into_mono(), &mut out);
    out
}

/// Runs `hear` over frames of speech at 16 kHz, one a call, with their time.
fn each_frame(bencher: Bencher, mut hear: impl FnMut(u64, &[i16; EAR_FRAME_SAMPLES])) {
    let speech = speech(16_000);
    let (frames, _) = speech.as_chunks::<EAR_FRAME_SAMPLES>();
    let mut number = 0;
    bencher.bench_local(|| {
        hear(number as u64 * FRAME_US, &frames[number % frames.len()]);
        number += 1;
    });
}

/// All that happens to a caller's frame from the wire to voice and tone events.
#[divan::bench(args = [("mu-law 8k", Encoding::MuLaw, 8_000), ("pcm 16k", Encoding::Pcm16Le, 16_000), ("pcm 48k", Encoding::Pcm16Le, 48_000)])]
fn wire_to_ears(bencher: Bencher, &(_, encoding, rate_hz): &(&str, Encoding, u32)) {
    let format = AudioFormat::new(encoding, rate_hz).expect("a format of the engine");
    let mut wire = Vec::new();
    format.encode(&speech(rate_hz), &mut wire);
    let frames: Vec<&[u8]> = wire.chunks_exact(format.bytes_per_frame()).collect();
    let mut resampler = Resampler::new(rate_hz, 16_000).expect("a rate of the engine");
    let (mut ears, mut heard) = (Ears::new(), Vec::new());
    let (mut samples, mut wide) = (Vec::new(), Vec::new());
    let mut number = 0;
    bencher.bench_local(|| {
        samples.clear();
        wide.clear();
        heard.clear();
        format.decode(frames[number % frames.len()], &mut samples).expect("whole samples");
        resampler.process(&samples, &mut wide);
        let frame = wide.as_slice().try_into().expect("20 ms in are 20 ms out");
        ears.push(number as u64 * FRAME_US, frame, &mut heard);
        number += 1;
        heard.len()
    });
}

#[divan::bench]
fn voice(bencher: Bencher) {
    let mut detector = VoiceDetector::new();
    each_frame(bencher, |at_us, frame| _ = black_box(detector.push(at_us, frame, true)));
}

#[divan::bench]
fn tone(bencher: Bencher) {
    let (mut detector, mut told) = (ToneDetector::new(), Vec::new());
    each_frame(bencher, |at_us, frame| detector.push(at_us, frame, black_box(&mut told)));
}

#[divan::bench(args = [(8_000, 16_000), (16_000, 8_000), (22_050, 16_000), (24_000, 8_000), (48_000, 16_000)])]
fn resample(bencher: Bencher, &(from_hz, to_hz): &(u32, u32)) {
    let speech = speech(from_hz);
    let frame = &speech[speech.len() / 2..][..from_hz as usize / 50];
    let mut resampler = Resampler::new(from_hz, to_hz).expect("a rate of the engine");
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        resampler.process(black_box(frame), &mut out);
        out.len()
    });
}

#[divan::bench]
fn mu_law_encode(bencher: Bencher) {
    let speech = speech(8_000);
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        Law::Mu.encode(black_box(&speech[8_000..8_160]), &mut out);
        out.len()
    });
}

#[divan::bench]
fn mu_law_decode(bencher: Bencher) {
    let mut wire = Vec::new();
    Law::Mu.encode(&speech(8_000), &mut wire);
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        Law::Mu.decode(black_box(&wire[8_000..8_160]), &mut out);
        out.len()
    });
}

#[divan::bench]
fn pacer(bencher: Bencher) {
    let mut pacer = Pacer::new(DEFAULT_LEAD_US, 0);
    let mut now = 0;
    bencher.bench_local(|| {
        let due = pacer.due(now);
        pacer.sent(now, due);
        now = pacer.next_due_us().unwrap_or(now);
        pacer.played_us(now)
    });
}

/// Both sides of a frame into memory; what a disk adds is not the frame's.
#[divan::bench(sample_count = 20, sample_size = 500)]
fn record(bencher: Bencher) {
    let mut recorder = Recorder::new(std::io::Cursor::new(Vec::new())).expect("memory takes it");
    each_frame(bencher, |at_us, frame| {
        recorder.push(Side::Caller, at_us, frame).expect("memory takes it");
        recorder.push(Side::Agent, at_us, frame).expect("memory takes it");
    });
}
