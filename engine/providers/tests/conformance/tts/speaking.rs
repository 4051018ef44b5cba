//! What works: words, formats, times, order, cancelling.

use super::*;

fn complete(row: Row, heard: &Heard, text: &str) {
    assert_eq!(heard.error, None, "{}", row.name);
    assert_eq!(heard.words(), numbers(text), "{}", row.name);
}

/// Times lie where the words sound, and are the text's words, each once and in order.
fn times_fit(row: Row, heard: &Heard, text: &str) {
    if !row.has_word_times {
        assert!(heard.times.is_empty(), "{}", row.name);
        return;
    }
    let told: Vec<_> = heard.times.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(told, text.split_whitespace().collect::<Vec<_>>(), "{}", row.name);
    for (time, found) in heard.times.iter().zip(heard.found()) {
        assert!(time.start_us.abs_diff(found.start_us) <= 20_000, "{}: {time:?}, {found:?}", row.name);
        assert!(time.end_us.abs_diff(found.end_us) <= 95_000, "{}: {time:?}, {found:?}", row.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_word_of_the_text_sounds_once_at_the_told_times() {
    every(async |bench: Bench| {
        let text = "word7, word8 word9. Good word10!";
        let heard = bench.say(text).await;
        complete(bench.row, &heard, text);
        times_fit(bench.row, &heard, text);
        let rate = if bench.row.name == "openai" { 24_000 } else { 16_000 };
        assert_eq!(heard.format, Some(AudioFormat::Pcm16 { sample_rate_hz: rate }), "{}", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mu_law_comes_untouched_where_the_vendor_has_it() {
    every(async |bench: Bench| {
        let settings = Settings { format: AudioFormat::MuLaw, ..Settings::default() };
        let mut speaker = bench.provider().open(settings).unwrap();
        let heard = say(&mut *speaker, "word1 word2").await;
        complete(bench.row, &heard, "word1 word2");
        times_fit(bench.row, &heard, "word1 word2");
        let expected = match bench.row.has_mu_law {
            true => AudioFormat::MuLaw,
            false => AudioFormat::Pcm16 { sample_rate_hz: 24_000 },
        };
        assert_eq!(heard.format, Some(expected), "{}", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_seconds_of_speech_come_whole() {
    every(async |bench: Bench| {
        let text = text_of(100..141);
        let heard = bench.say(&text).await;
        complete(bench.row, &heard, &text);
        times_fit(bench.row, &heard, &text);
        let seconds = heard.samples.len() as f64 / f64::from(heard.rate_hz());
        assert!(seconds > 12.0, "{}: {seconds} s", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devanagari_stays_whole_in_what_is_spoken_and_in_the_times() {
    every(async |bench: Bench| {
        let text = "नमस्ते, मेरा order कहाँ है?";
        let settings = Settings { language: "hi-IN".to_owned(), ..Settings::default() };
        let mut speaker = bench.provider().open(settings).unwrap();
        let heard = say(&mut *speaker, text).await;
        complete(bench.row, &heard, text);
        times_fit(bench.row, &heard, text);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_pieces_a_transport_has_give_the_same() {
    every(async |bench: Bench| {
        bench.plan(Plan::failing(Fault::Fragment));
        let heard = bench.say("word1 नमस्ते word3").await;
        complete(bench.row, &heard, "word1 नमस्ते word3");
        times_fit(bench.row, &heard, "word1 नमस्ते word3");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentences_asked_for_together_are_each_whole() {
    every(async |bench: Bench| {
        let mut speaker = bench.open();
        let texts: Vec<_> = (0..9).map(|index| text_of(index * 3..index * 3 + 3)).collect();
        let speaking: Vec<_> = texts.iter().map(|text| start(&mut *speaker, text)).collect();
        let heard = join_all(speaking.into_iter().map(Speaking::end)).await;
        for (heard, text) in heard.iter().zip(&texts) {
            complete(bench.row, heard, text);
            times_fit(bench.row, heard, text);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_of_a_cancelled_sentence_and_the_next_has_none_of_its_samples() {
    every(async |bench: Bench| {
        bench.plan(Plan { interval_ms: 10, ..Plan::default() });
        let mut speaker = bench.open();
        for round in 0..3 {
            let mut cut = start(&mut *speaker, &text_of(500..540));
            while !matches!(cut.next().await, Event::Audio(_)) {}
            drop(cut.speech);
            while cut.events.try_recv().is_ok() {}
            let text = text_of(round * 4..round * 4 + 4);
            let heard = say(&mut *speaker, &text).await;
            complete(bench.row, &heard, &text);
            times_fit(bench.row, &heard, &text);
            // One event may have been on its way while the sentence was dropped.
            let late = std::iter::from_fn(|| cut.events.try_recv().ok()).count();
            assert!(late <= 1, "{}: {late} events came after the drop", bench.row.name);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentence_cancelled_before_its_first_audio_leaves_nothing_behind() {
    every(async |bench: Bench| {
        bench.plan(Plan { first_ms: 50, ..Plan::default() });
        let mut speaker = bench.open();
        let mut cancelled: Vec<_> = (0..7).map(|_| start(&mut *speaker, "word900 word901")).collect();
        cancelled.iter_mut().for_each(|cut| cut.speech = Box::new(()));
        let heard = say(&mut *speaker, "word1 word2").await;
        complete(bench.row, &heard, "word1 word2");
        for cut in &mut cancelled {
            assert!(cut.events.try_recv().is_err(), "{}", bench.row.name);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_open_before_the_first_sentence_and_serves_them_all() {
    every(async |bench: Bench| {
        if !bench.row.has_socket {
            return;
        }
        let mut speaker = bench.open();
        bench.until_seen("open", |_| true).await;
        for text in ["word1", "word2 word3", "word4"] {
            complete(bench.row, &say(&mut *speaker, text).await, text);
        }
        assert_eq!(bench.connections(), 1, "{}", bench.row.name);
        drop(speaker);
        bench.until_seen("closed", |_| true).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_can_not_be_spoken_is_refused_at_once() {
    every(async |bench: Bench| {
        let mut speaker = bench.open();
        for text in ["", "  \n", &"x".repeat(100_000)] {
            let refused = speaker.speak(text, Arc::new(|_| panic!("something was told"))).err().unwrap();
            assert_eq!(refused.kind, ErrorKind::Invalid, "{}", bench.row.name);
        }
    })
    .await;
}
