//! What the ears promise about tones: digits and signals are found, speech is never taken for one.

mod clips;

use std::f32::consts::TAU;

use clips::{listen, manifest};
use parlance_media::EAR_RATE_HZ;
use parlance_media::ears::{Ears, Heard};
use parlance_media::g711::Law;
use parlance_media::resample::Resampler;
use parlance_media::tone::ToneEvent;
use parlance_media::vad::VoiceEvent;

/// Sines of `hz`, each of amplitude `level` (1 is full scale), at 16 kHz.
fn sines(hz: &[f32], level: f32, ms: usize) -> Vec<f32> {
    let wave = |n: usize| hz.iter().map(|hz| (TAU * hz * n as f32 / EAR_RATE_HZ as f32).sin()).sum::<f32>();
    (0..16 * ms).map(|n| level * wave(n)).collect()
}

fn silence(ms: usize) -> Vec<f32> {
    vec![0.0; 16 * ms]
}

/// White noise of root mean square `level`, the same each time.
fn noise(level: f32, ms: usize) -> Vec<f32> {
    let mut seed = 1_u64;
    let uniform = |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        level * 3.0_f32.sqrt() * ((seed >> 33) as f32 / (1_u64 << 30) as f32 - 1.0)
    };
    (0..16 * ms).map(uniform).collect()
}

fn samples(parts: &[Vec<f32>]) -> Vec<i16> {
    parts.concat().iter().map(|sample| (sample * 32_767.0) as i16).collect()
}

fn mixed(one: &[f32], two: &[f32]) -> Vec<f32> {
    one.iter().zip(two).map(|(a, b)| a + b).collect()
}

/// As it arrives over a telephone: to mu-law at 8 kHz and back.
fn by_telephone(wide: &[i16]) -> Vec<i16> {
    let (mut narrow, mut bytes, mut decoded, mut back) = (vec![], vec![], vec![], vec![]);
    Resampler::new(16_000, 8_000).unwrap().process(wide, &mut narrow);
    Law::Mu.encode(&narrow, &mut bytes);
    Law::Mu.decode(&bytes, &mut decoded);
    Resampler::new(8_000, 16_000).unwrap().process(&decoded, &mut back);
    back
}

/// The digits that ended: (digit, begin, end) in milliseconds.
fn digits(samples: &[i16]) -> Vec<(char, u64, u64)> {
    let ended = |(_, heard)| match heard {
        Heard::Tone(ToneEvent::DigitEnded { digit, started_us, ended_us }) => {
            Some((digit, started_us / 1_000, ended_us / 1_000))
        }
        _ => None,
    };
    listen(samples).into_iter().filter_map(ended).collect()
}

/// The steady tones that started and ended: begin, end in milliseconds, and their middle in hertz.
fn steady(samples: &[i16]) -> Vec<(u64, u64, f32)> {
    let (mut found, mut hz) = (Vec::new(), 0.0);
    for (_, heard) in listen(samples) {
        match heard {
            Heard::Tone(ToneEvent::SteadyStarted { middle_hz, .. }) => hz = middle_hz,
            Heard::Tone(ToneEvent::SteadyEnded { started_us, ended_us }) => {
                found.push((started_us / 1_000, ended_us / 1_000, hz));
            }
            _ => {}
        }
    }
    found
}

fn voice_starts(samples: &[i16]) -> usize {
    let started = |heard: &Heard| matches!(heard, Heard::Voice(VoiceEvent::Started { .. }));
    listen(samples).iter().filter(|(_, heard)| started(heard)).count()
}

const KEYS: [(char, f32, f32); 16] = [
    ('1', 697.0, 1_209.0),
    ('2', 697.0, 1_336.0),
    ('3', 697.0, 1_477.0),
    ('A', 697.0, 1_633.0),
    ('4', 770.0, 1_209.0),
    ('5', 770.0, 1_336.0),
    ('6', 770.0, 1_477.0),
    ('B', 770.0, 1_633.0),
    ('7', 852.0, 1_209.0),
    ('8', 852.0, 1_336.0),
    ('9', 852.0, 1_477.0),
    ('C', 852.0, 1_633.0),
    ('*', 941.0, 1_209.0),
    ('0', 941.0, 1_336.0),
    ('#', 941.0, 1_477.0),
    ('D', 941.0, 1_633.0),
];

#[test]
fn the_clips_of_digits_read_1_4_2_hash_and_hold_no_voice() {
    for clip in manifest().iter().filter(|clip| clip.is("dtmf")) {
        let samples = clip.samples();
        let expected = [('1', 100, 200), ('4', 300, 400), ('2', 500, 600), ('#', 700, 800)];
        assert_eq!(digits(&samples), expected, "{}", clip.file);
        assert_eq!(voice_starts(&samples), 0, "{}", clip.file);
    }
}

#[test]
fn no_other_clip_holds_a_digit_or_a_steady_tone() {
    for clip in manifest().iter().filter(|clip| !clip.is("dtmf")) {
        let told = listen(&clip.samples());
        let tones: Vec<_> = told.iter().filter(|(_, heard)| matches!(heard, Heard::Tone(_))).collect();
        assert!(tones.is_empty(), "{}: {tones:?}", clip.file);
    }
}

#[test]
fn a_40_ms_digit_is_found_however_it_lies_across_frames() {
    for offset in 0..20 {
        for (digit, low, high) in KEYS {
            let audio = samples(&[silence(200 + offset), sines(&[low, high], 0.1, 40), silence(200)]);
            for audio in [by_telephone(&audio), audio] {
                let found = digits(&audio);
                assert!(
                    matches!(found[..], [(found, ..)] if found == digit),
                    "{digit} at {offset}: {found:?}"
                );
                let (_, begin, end) = found[0];
                // The telephone adds 6 ms by its two changes of rate.
                assert!(begin.abs_diff(203 + offset as u64) <= 13, "{digit} at {offset}: {begin}");
                assert!(end.abs_diff(243 + offset as u64) <= 13, "{digit} at {offset}: {end}");
            }
        }
    }
}

#[test]
fn a_tone_of_20_ms_is_no_digit_and_a_drop_out_of_8_ms_does_not_double_one() {
    let key = |ms| sines(&[770.0, 1_336.0], 0.1, ms);
    assert_eq!(digits(&samples(&[silence(200), key(20), silence(200)])), []);
    let broken = samples(&[silence(200), key(60), silence(8), key(60), silence(200)]);
    assert_eq!(digits(&broken).len(), 1, "{:?}", digits(&broken));
    let twice = samples(&[silence(200), key(60), silence(40), key(60), silence(200)]);
    assert_eq!(digits(&twice).iter().map(|found| found.0).collect::<String>(), "55");
}

#[test]
fn digits_survive_twist_and_noise_and_are_refused_without_a_pair() {
    let lean = |low: f32, high: f32| mixed(&sines(&[852.0], low, 80), &sines(&[1_477.0], high, 80));
    let digit_in = |tone: Vec<f32>| digits(&samples(&[silence(100), tone, silence(100)]));
    assert_eq!(digit_in(lean(0.1, 0.2)).len(), 1, "6 dB to the high tone");
    assert_eq!(digit_in(lean(0.2, 0.1)).len(), 1, "6 dB to the low tone");
    assert_eq!(digit_in(mixed(&lean(0.1, 0.1), &noise(0.018, 80))).len(), 1, "15 dB over noise");
    assert_eq!(digit_in(lean(0.02, 0.2)), [], "20 dB of twist");
    assert_eq!(digit_in(sines(&[852.0], 0.2, 80)), [], "one tone alone");
    let harmonics = mixed(&lean(0.1, 0.1), &sines(&[1_704.0], 0.06, 80));
    assert_eq!(digit_in(harmonics), [], "a harmonic as of a voice");
}

#[test]
fn ring_back_and_beeps_are_steady_tones_and_no_voice() {
    let signals: [&[f32]; 6] =
        [&[440.0, 480.0], &[400.0, 450.0], &[425.0], &[350.0, 440.0], &[1_000.0], &[1_400.0]];
    for hz in signals {
        let clean = samples(&[silence(300), sines(hz, 0.1, 1_000), silence(500)]);
        let hum = samples(&[mixed(
            &[silence(300), sines(hz, 0.1, 1_000), silence(500)].concat(),
            &noise(0.002, 1_800),
        )]);
        for (kind, audio) in [("telephone", by_telephone(&clean)), ("noisy", hum), ("clean", clean)] {
            let found = steady(&audio);
            let [(begin, end, middle)] = found[..] else { panic!("{hz:?} {kind}: {found:?}") };
            assert!(begin.abs_diff(300) <= 40 && end.abs_diff(1_300) <= 40, "{hz:?} {kind}: {found:?}");
            let expected = hz.iter().sum::<f32>() / hz.len() as f32;
            let allowed = if hz.len() == 1 { 0.01 } else { 0.1 };
            assert!((middle / expected - 1.0).abs() < allowed, "{hz:?} {kind}: {middle}");
            assert_eq!(voice_starts(&audio), 0, "{hz:?} {kind}");
        }
    }
}

#[test]
fn a_short_or_gliding_tone_is_not_steady() {
    let short = samples(&[silence(200), sines(&[1_000.0], 0.1, 150), silence(200)]);
    assert_eq!(steady(&short), []);
    // 400 to 600 Hz in a second, as a voice that sings upwards.
    let glide = |n: usize| {
        let t = n as f32 / EAR_RATE_HZ as f32;
        0.1 * (TAU * (400.0 * t + 100.0 * t * t)).sin()
    };
    assert_eq!(steady(&samples(&[silence(200), (0..16_000).map(glide).collect(), silence(200)])), []);
}

#[test]
fn a_voice_that_was_on_ends_when_a_tone_is_recognised() {
    let clips = manifest();
    let speech = clips.iter().find(|clip| clip.file == "u02_slt.wav").unwrap().samples();
    // The tone sets in within the last vowel, so that voice is on.
    let tone = samples(&[sines(&[1_000.0], 0.3, 600)]);
    let audio = [&speech[..16 * 800], &tone].concat();
    let (mut ears, mut heard) = (Ears::new(), Vec::new());
    for (number, frame) in audio.as_chunks::<320>().0.iter().enumerate() {
        ears.push(number as u64 * 20_000, frame, &mut heard);
    }
    assert!(ears.is_tone() && !ears.is_voiced());
    let last_two = &heard[heard.len() - 2..];
    assert!(
        matches!(
            last_two,
            [Heard::Tone(ToneEvent::SteadyStarted { .. }), Heard::Voice(VoiceEvent::Ended { .. })]
                | [Heard::Voice(VoiceEvent::Ended { .. }), Heard::Tone(ToneEvent::SteadyStarted { .. })]
        ),
        "{heard:?}"
    );
}

#[test]
fn voice_after_a_tone_is_heard_as_soon_as_without_it() {
    let clips = manifest();
    let speech = clips.iter().find(|clip| clip.file == "u02_slt.wav").unwrap().samples();
    let audio = [samples(&[sines(&[425.0], 0.1, 1_000)]), speech].concat();
    let started = listen(&audio).into_iter().find_map(|(told, heard)| match heard {
        Heard::Voice(VoiceEvent::Started { at_us }) => Some((told / 1_000, at_us / 1_000)),
        _ => None,
    });
    let (told, at) = started.expect("the voice is heard");
    assert!((1_196..=1_208).contains(&at) && told <= 1_260, "at {at}, told {told}");
}

#[test]
fn a_gap_in_the_audio_ends_a_tone_where_the_audio_ended() {
    let tone = samples(&[sines(&[770.0, 1_209.0], 0.1, 100)]);
    let (mut ears, mut heard) = (Ears::new(), Vec::new());
    for (number, frame) in tone.as_chunks::<320>().0.iter().enumerate() {
        ears.push(number as u64 * 20_000, frame, &mut heard);
    }
    ears.push(7_000_000, &[0; 320], &mut heard);
    let ended = Heard::Tone(ToneEvent::DigitEnded { digit: '4', started_us: 0, ended_us: 100_000 });
    assert_eq!(heard.last(), Some(&ended));
}
