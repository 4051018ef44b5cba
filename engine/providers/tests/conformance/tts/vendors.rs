//! What only one vendor has.

use super::*;

async fn bench(name: &str) -> Bench {
    Bench::new(ROWS.into_iter().find(|row| row.name == name).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_free_tier_says_what_to_do() {
    for name in ["elevenlabs", "elevenlabs-http"] {
        let bench = bench(name).await;
        bench.plan(Plan::failing(Fault::UnusualActivity));
        let error = bench.say("word1").await.error.unwrap();
        assert_eq!(error.kind, ErrorKind::Blocked, "{name}");
        assert!(error.message.contains("use a paid plan or another voice provider"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_that_does_not_exist_is_named() {
    for name in ["elevenlabs", "elevenlabs-http"] {
        let bench = bench(name).await;
        let settings = Settings { voice: "unknown-voice".to_owned(), ..Settings::default() };
        let mut speaker = bench.provider().open(settings).unwrap();
        let error = say(&mut *speaker, "word1").await.error.unwrap();
        assert_eq!(error.kind, ErrorKind::Invalid, "{name}");
        assert!(error.message.contains("`unknown-voice`"), "{error}");
    }
    let error = bench("deepgram").await.provider();
    let settings = Settings { voice: "Nobody".to_owned(), ..Settings::default() };
    assert_eq!(error.open(settings).err().unwrap().kind, ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_lists_give_the_accounts_own_voices() {
    for name in ["elevenlabs", "elevenlabs-http", "cartesia"] {
        let bench = bench(name).await;
        let voices = bench.provider().list().await.unwrap();
        assert!(!voices.is_empty(), "{name}");
        assert!(voices.iter().all(|voice| !voice.id.is_empty() && !voice.name.is_empty()), "{voices:?}");
        assert!(voices.iter().any(|voice| !voice.languages.is_empty()), "{voices:?}");
    }
    let known = bench("openai").await.provider();
    assert_eq!(known.list().await.unwrap(), known.voices());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_asked_for_with_a_wrong_key_is_refused() {
    for name in ["elevenlabs", "elevenlabs-http", "cartesia"] {
        let refused = bench(name).await.provider_with("wrong").list().await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unauthorized, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_socket_lost_under_several_sentences_costs_only_those_that_had_begun() {
    for name in ["elevenlabs", "cartesia"] {
        let bench = bench(name).await;
        bench.plan(Plan { interval_ms: 40, ..Plan::failing(Fault::Drop { after: 1 }).times(1) });
        let mut speaker = bench.open();
        let texts: Vec<_> = (0..4).map(|index| text_of(index * 3..index * 3 + 3)).collect();
        let speaking: Vec<_> = texts.iter().map(|text| start(&mut *speaker, text)).collect();
        let heard = join_all(speaking.into_iter().map(Speaking::end)).await;
        let failed: Vec<_> = heard.iter().filter(|heard| heard.error.is_some()).collect();
        assert!(failed.len() == 1 && !failed[0].samples.is_empty(), "{name}: {}", failed.len());
        for (heard, text) in heard.iter().zip(&texts).filter(|(heard, _)| heard.error.is_none()) {
            assert_eq!(heard.words(), numbers(text), "{name}");
        }
        assert_eq!(bench.connections(), 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_never_ends_what_was_cancelled_is_left_for_a_fresh_socket() {
    for (name, sentences, stop) in [("elevenlabs", 5, None), ("deepgram", 1, Some("Clear"))] {
        let bench = bench(name).await;
        bench.plan(Plan::failing(Fault::Silence { after: 1 }).times(1));
        let mut speaker = bench.open();
        let texts: Vec<_> = (900..900 + sentences).map(|word| text_of(word..word + 1)).collect();
        let mut cut: Vec<_> = texts.iter().map(|text| start(&mut *speaker, text)).collect();
        while !matches!(cut[0].next().await, Event::Audio(_)) {}
        // One that is cancelled before it has begun takes no room, and the vendor must have no room left.
        for text in &texts {
            bench.until_seen("text", |message| message.contains(text)).await;
        }
        drop(cut);
        if let Some(stop) = stop {
            bench.until_seen("text", |message| message.contains(stop)).await;
        }
        let heard = say(&mut *speaker, "word1 word2").await;
        assert_eq!((heard.error.clone(), heard.words()), (None, vec![1, 2]), "{name}");
        assert_eq!(bench.connections(), 2, "{name}");
    }
}

/// The test's own thread is the only one, so that no sentence begins between being asked for and being cancelled.
#[tokio::test]
async fn sentences_cancelled_before_they_began_take_no_room() {
    for name in ["elevenlabs", "cartesia"] {
        let bench = bench(name).await;
        let mut speaker = bench.open();
        bench.until_seen("open", |_| true).await;
        drop((0..20).map(|_| start(&mut *speaker, "word900")).collect::<Vec<_>>());
        let heard = say(&mut *speaker, "word1 word2").await;
        assert_eq!((heard.error.clone(), heard.words()), (None, vec![1, 2]), "{name}");
        let seen = bench.fakes.seen(bench.row.stand_in);
        assert!(!seen.iter().any(|seen| seen.detail.contains("word900")), "{name}");
        assert_eq!(bench.connections(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deepgram_speaks_more_sentences_than_one_socket_may_flush() {
    let bench = bench("deepgram").await;
    let mut speaker = bench.open();
    for word in 0..25 {
        let text = text_of(word..word + 1);
        let heard = say(&mut *speaker, &text).await;
        assert_eq!((heard.error.clone(), heard.words()), (None, numbers(&text)));
    }
    assert_eq!(bench.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn elevenlabs_opens_a_context_before_it_names_it_in_anything_else() {
    let bench = bench("elevenlabs").await;
    let mut speaker = bench.open();
    for text in ["word1", "word2"] {
        drop(say(&mut *speaker, text).await);
    }
    let mut opened = Vec::new();
    for seen in bench.fakes.seen(bench.row.stand_in).iter().filter(|seen| seen.what == "text") {
        let message: serde_json::Value = serde_json::from_str(&seen.detail).unwrap();
        let Some(context) = message["context_id"].as_str() else { continue };
        if message["text"] == " " {
            opened.push(context.to_owned());
        }
        assert!(opened.iter().any(|known| known == context), "{message}");
        if let Some(text) = message["text"].as_str() {
            assert!(text.ends_with(' '), "{message}");
        }
    }
    assert_eq!(opened.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn style_and_speed_reach_the_vendor() {
    let bench = bench("openai").await;
    let settings = Settings { style: "calm and slow".to_owned(), speed_percent: 80, ..Settings::default() };
    let mut speaker = bench.provider().open(settings).unwrap();
    drop(say(&mut *speaker, "word1").await);
    bench.until_seen("text", |body| body.contains("calm and slow") && body.contains("0.8")).await;
}
