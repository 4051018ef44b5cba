//! Words as tones: found again whatever a call does to the audio, and never where there are none.

use std::path::{Path, PathBuf};

use parlance_fakes::code::{Decoder, NUMBERS, TUNE_US, number_of, speech_with, tune};
use parlance_media::ears::{Ears, Heard};
use parlance_media::g711::Law;
use parlance_media::resample::{RATES_HZ, Resampler};
use parlance_media::vad::VoiceEvent;
use parlance_media::{EAR_FRAME_SAMPLES, FRAME_US, wav};

/// Numbers with all kinds of bits, in an order that repeats and returns.
const WORDS: [u16; 12] = [0, 0, 1, 17, 4_095, 4_095, 2_048, 1_365, 2_730, 17, 255, 3_840];

#[test]
fn every_number_has_a_tune_of_its_own_that_is_found() {
    for number in 0..NUMBERS {
        assert_eq!(decoded(&tune(number, 8_000), 8_000, 160), [number]);
    }
}

#[test]
fn words_are_found_at_every_rate_at_every_gain_and_in_frames_of_any_length() {
    for rate_hz in [8_000, 16_000, 22_050, 24_000, 44_100, 48_000] {
        for gain in [0.3, 1.0, 1.5] {
            for (frame, late) in [(rate_hz as usize / 50, 0), (1, 3), (977, 61), (usize::MAX, 200)] {
                let mut audio = vec![0; late];
                audio.extend(said(&WORDS, rate_hz).iter().map(|sample| (f32::from(*sample) * gain) as i16));
                assert_eq!(
                    decoded(&audio, rate_hz, frame),
                    WORDS,
                    "{rate_hz} Hz, gain {gain}, frames of {frame}"
                );
            }
        }
    }
}

#[test]
fn words_outlive_resampling_between_any_two_rates_and_mu_law() {
    for from_hz in RATES_HZ {
        for to_hz in RATES_HZ {
            let audio = resampled(&said(&WORDS, from_hz), from_hz, to_hz);
            assert_eq!(decoded(&audio, to_hz, 160), WORDS, "{from_hz} to {to_hz} Hz");
            let telephone = mu_law(&resampled(&audio, to_hz, 8_000));
            let back = resampled(&telephone, 8_000, from_hz);
            assert_eq!(decoded(&back, from_hz, 160), WORDS, "{from_hz} to {to_hz} Hz and over the telephone");
        }
    }
}

#[test]
fn words_are_found_over_speech_quiet_or_on_the_telephone() {
    for (name, bed) in clips() {
        let audio = speech_with(&WORDS, &bed);
        assert_eq!(decoded(&audio, 16_000, 320), WORDS, "over {name}");
        let quiet: Vec<i16> = audio.iter().map(|sample| (f32::from(*sample) * 0.3) as i16).collect();
        let telephone = mu_law(&resampled(&quiet, 16_000, 8_000));
        assert_eq!(decoded(&telephone, 8_000, 160), WORDS, "over {name}, quiet, on the telephone");
    }
}

#[test]
fn nothing_is_found_in_speech_noise_or_digits() {
    for (name, clip) in clips() {
        for gain in [0.5, 1.0, 3.0] {
            let audio: Vec<i16> = clip.iter().map(|sample| (f32::from(*sample) * gain) as i16).collect();
            assert_eq!(decoded(&audio, 16_000, 320), [0u16; 0], "in {name}");
            assert_eq!(
                decoded(&resampled(&audio, 16_000, 8_000), 8_000, 160),
                [0u16; 0],
                "in {name} at 8 kHz"
            );
        }
    }
}

#[test]
fn a_tune_that_was_cut_is_no_word_and_the_next_one_is() {
    let whole = tune(17, 16_000);
    for cut in (whole.len() / 5..whole.len() * 3 / 4).step_by(97) {
        let mut audio = whole[..cut].to_vec();
        audio.extend(tune(18, 16_000));
        audio.extend(&whole[cut..]);
        audio.extend(tune(19, 16_000));
        assert_eq!(decoded(&audio, 16_000, 320), [18, 19], "cut after {cut} samples");
    }
}

#[test]
fn times_are_right_to_a_few_milliseconds() {
    for rate_hz in [8_000, 22_050, 48_000] {
        let silence = rate_hz as usize * 1_003 / 1_000;
        let mut audio = vec![0; silence];
        audio.extend(tune(1_000, rate_hz));
        let mut decoder = Decoder::new(rate_hz);
        decoder.push(&audio, &mut |found| {
            assert!(found.start_us.abs_diff(1_003_000) <= 6_000, "{found:?} at {rate_hz} Hz");
            assert!(found.end_us > found.start_us && found.end_us < found.start_us + TUNE_US);
        });
    }
}

#[test]
fn a_voice_detector_hears_voice_from_before_the_first_word_to_after_the_last_and_no_tone() {
    for bed in ["u01_slt.wav", "u01_rms.wav", "u08_rms.wav", "u01_us.wav", "u09_gbf.wav", "long_rms.wav"] {
        let words: Vec<u16> = (0..20).map(|index| index * 203).collect();
        let audio = speech_with(&words, &clip(&audio_dir().join(bed)));
        let telephone = resampled(&mu_law(&resampled(&audio, 16_000, 8_000)), 8_000, 16_000);
        for mut audio in [audio, telephone] {
            let said_until_us = audio.len() as u64 * 1_000 / 16;
            audio.resize(audio.len().next_multiple_of(EAR_FRAME_SAMPLES) + 16_000, 0);
            let (mut ears, mut heard) = (Ears::new(), Vec::new());
            for (index, frame) in audio.as_chunks::<EAR_FRAME_SAMPLES>().0.iter().enumerate() {
                ears.push(index as u64 * FRAME_US, frame, &mut heard);
            }
            let [
                Heard::Voice(VoiceEvent::Started { at_us }),
                Heard::Voice(VoiceEvent::Ended { last_voiced_us }),
            ] = heard[..]
            else {
                panic!("over {bed}: {heard:?}");
            };
            assert!(at_us < 200_000, "over {bed}: voice began at {at_us} us");
            assert!(
                said_until_us.abs_diff(last_voiced_us) < 200_000,
                "over {bed}: it ended at {last_voiced_us} us"
            );
        }
    }
}

#[test]
fn a_tune_alone_is_neither_a_digit_nor_a_steady_tone() {
    let audio = said(&(0..NUMBERS).step_by(7).collect::<Vec<_>>(), 16_000);
    let (mut ears, mut heard) = (Ears::new(), Vec::new());
    for (index, frame) in audio.as_chunks::<EAR_FRAME_SAMPLES>().0.iter().enumerate() {
        ears.push(index as u64 * FRAME_US, frame, &mut heard);
    }
    assert!(heard.iter().all(|heard| matches!(heard, Heard::Voice(_))), "{heard:?}");
}

#[test]
fn a_word_has_the_same_number_however_it_is_written() {
    assert_eq!(number_of("word17"), 17);
    assert_eq!(number_of("Word17,"), 17);
    assert_eq!(number_of("Table!"), number_of("table"));
    assert_ne!(number_of("table"), number_of("tables"));
    assert_eq!(number_of("नमस्ते।".trim_end_matches('।')), number_of("नमस्ते"));
    assert_ne!(number_of("कि"), number_of("की"), "vowel signs are part of the word");
    assert!(number_of("नमस्ते") < NUMBERS);
}

fn said(words: &[u16], rate_hz: u32) -> Vec<i16> {
    words.iter().flat_map(|word| tune(*word, rate_hz)).collect()
}

fn decoded(audio: &[i16], rate_hz: u32, frame: usize) -> Vec<u16> {
    let (mut decoder, mut numbers) = (Decoder::new(rate_hz), Vec::new());
    for frame in audio.chunks(frame) {
        decoder.push(frame, &mut |found| numbers.push(found.number));
    }
    numbers
}

fn resampled(audio: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    let mut out = Vec::new();
    Resampler::new(from_hz, to_hz).unwrap().process(audio, &mut out);
    out
}

fn mu_law(audio: &[i16]) -> Vec<i16> {
    let (mut coded, mut out) = (Vec::new(), Vec::new());
    Law::Mu.encode(audio, &mut coded);
    Law::Mu.decode(&coded, &mut out);
    out
}

fn clips() -> Vec<(String, Vec<i16>)> {
    let entries = std::fs::read_dir(audio_dir()).unwrap().map(|entry| entry.unwrap().path());
    let wavs = entries.filter(|path| path.extension().is_some_and(|extension| extension == "wav"));
    let clips: Vec<_> =
        wavs.map(|path| (path.file_name().unwrap().display().to_string(), clip(&path))).collect();
    assert!(clips.len() > 30, "the clips are there");
    clips
}

fn clip(path: &Path) -> Vec<i16> {
    let clip = wav::read(path).unwrap();
    assert_eq!(clip.sample_rate_hz, 16_000);
    clip.into_mono()
}

fn audio_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../audio")
}
