//! What the stand-ins for language models say, and what they do not accept.

use hyper::Request;
use parlance_fakes::{Fakes, Plan, Service};
use serde_json::{Value, json};

use super::{VENDORS, Vendor, answer, of, send};

async fn planned(vendor: &Vendor, lines: &[&str]) -> Fakes {
    let fakes = Fakes::start().await.expect("a free port");
    fakes.plan(
        vendor.service,
        Plan { lines: lines.iter().map(|line| (*line).into()).collect(), ..Plan::default() },
    );
    fakes
}

async fn text(fakes: &Fakes, vendor: &Vendor, body: &Value) -> String {
    answer(fakes, vendor, body).await.words(vendor).concat()
}

#[tokio::test]
async fn one_word_comes_in_each_event() {
    for vendor in VENDORS {
        let fakes = planned(&vendor, &["नमस्ते, table  for four?"]).await;
        let answer = answer(&fakes, &vendor, &vendor.hello()).await;
        let words = answer.words(&vendor);
        let words: Vec<_> = words.iter().map(|word| word.trim_start()).collect();
        assert_eq!(words, ["नमस्ते,", "table", "for", "four?"], "{:?}", vendor.service);
        assert_eq!(answer.words(&vendor).concat(), "नमस्ते, table  for four?");
    }
}

#[tokio::test]
async fn without_lines_the_last_user_message_is_said_again() {
    for vendor in VENDORS {
        let fakes = planned(&vendor, &[]).await;
        let body = vendor.body(&[("user", "hello"), ("assistant", "hi"), ("user", "a table")], &[]);
        assert_eq!(text(&fakes, &vendor, &body).await, "You said: a table");
    }
}

#[tokio::test]
async fn lines_are_said_in_turn_and_from_the_first_again() {
    for vendor in VENDORS {
        let fakes = planned(&vendor, &["the first", "the second"]).await;
        let mut said = vec![("user", "hello")];
        for line in ["the first", "the second", "the first"] {
            assert_eq!(text(&fakes, &vendor, &vendor.body(&said, &[])).await, line);
            said.extend([("assistant", line), ("user", "and then?")]);
        }
    }
}

#[tokio::test]
async fn a_broken_off_answer_goes_on_with_the_word_after_those_said() {
    let line = "we have a table for four at eight";
    let asks = [
        ("You were cut off after «we have a table». Go on with the next word.", "for four at eight"),
        ("You were cut off after «we  have». Go on.", "a table for four at eight"),
        ("You were cut off after «». Go on.", line),
        ("You were cut off after «a table for». Go on.", "four at eight"),
        ("You were cut off after «we have a table for four at eight». Go on.", ""),
        ("You were cut off after «something else». Go on.", line),
        ("You were not cut off.", line),
    ];
    for vendor in VENDORS {
        let fakes = planned(&vendor, &["the first", line]).await;
        for (ask, rest) in asks {
            // As an instruction, and as a user's message after what was said.
            let before = [("user", "hello"), ("assistant", "the first"), ("user", "a table")];
            if vendor.service != Service::AnthropicMessages {
                let body = vendor.body(&[&[("system", ask)], &before[..]].concat(), &[]);
                assert_eq!(text(&fakes, &vendor, &body).await, rest, "{:?}: {ask}", vendor.service);
            }
            if ask.contains("were cut off") {
                let body =
                    vendor.body(&[&before[..], &[("assistant", "we have"), ("user", ask)]].concat(), &[]);
                assert_eq!(text(&fakes, &vendor, &body).await, rest, "{:?}: {ask}", vendor.service);
            }
        }
    }
}

#[tokio::test]
async fn a_system_prompt_of_its_own_may_ask_to_go_on() {
    let ask = "Be brief. You were cut off after «one two». Go on.";
    let [_, responses, _, anthropic] = VENDORS;
    for (vendor, field) in [(responses, "instructions"), (anthropic, "system")] {
        let fakes = planned(&vendor, &["one two three"]).await;
        let mut body = vendor.hello();
        body[field] = ask.into();
        assert_eq!(text(&fakes, &vendor, &body).await, "three", "{:?}", vendor.service);
    }
}

#[tokio::test]
async fn requests_are_noted_with_their_path_and_body() {
    for vendor in VENDORS {
        let fakes = planned(&vendor, &[]).await;
        answer(&fakes, &vendor, &vendor.hello()).await;
        let seen = fakes.seen(vendor.service);
        assert_eq!(of(&seen, "open"), [vendor.path]);
        assert_eq!(of(&seen, "text"), [vendor.hello().to_string()]);
        assert_eq!(seen.len(), 2, "{seen:?}");
    }
}

#[tokio::test]
async fn answers_end_at_the_longest_length_and_say_so() {
    let lengths = ["max_completion_tokens", "max_output_tokens", "", "max_tokens"];
    let reasons = ["length", "max_output_tokens", "MAX_TOKENS", "max_tokens"];
    for (vendor, (length, reason)) in VENDORS.into_iter().zip(lengths.into_iter().zip(reasons)) {
        let fakes = planned(&vendor, &["one two three four"]).await;
        let mut body = vendor.hello();
        match length {
            "" => body["generationConfig"] = json!({"maxOutputTokens": 3}),
            length => body[length] = 3.into(),
        }
        let answer = answer(&fakes, &vendor, &body).await;
        assert_eq!(answer.words(&vendor).concat(), "one two three");
        assert!(String::from_utf8(answer.text).expect("UTF-8").contains(&format!(r#":"{reason}""#)));
    }
}

#[tokio::test]
async fn usage_counts_words_in_and_out() {
    let fields = [
        ("/usage/prompt_tokens", "/usage/completion_tokens"),
        ("/response/usage/input_tokens", "/response/usage/output_tokens"),
        ("/usageMetadata/promptTokenCount", "/usageMetadata/candidatesTokenCount"),
        ("/message/usage/input_tokens", "/usage/output_tokens"),
    ];
    for (vendor, (words_in, words_out)) in VENDORS.into_iter().zip(fields) {
        let fakes = planned(&vendor, &["one two three"]).await;
        let events =
            answer(&fakes, &vendor, &vendor.body(&[("user", "four words of mine")], &[])).await.events();
        let last = |at: &str| events.iter().rev().find_map(|event| event.pointer(at)?.as_u64());
        assert_eq!((last(words_in), last(words_out)), (Some(4), Some(3)), "{:?}", vendor.service);
    }
}

#[tokio::test]
async fn usage_of_a_chat_comes_only_if_asked_for() {
    let [chat, ..] = VENDORS;
    let fakes = planned(&chat, &[]).await;
    let mut body = chat.hello();
    body["stream_options"] = Value::Null;
    let events = answer(&fakes, &chat, &body).await.events();
    assert!(events.iter().all(|event| event.get("usage").is_none()));
    assert_eq!(events.last(), Some(&"[DONE]".into()));
}

#[tokio::test]
async fn whole_answers_say_the_same() {
    let texts = [
        "/choices/0/message/content",
        "/output/0/content/0/text",
        "/candidates/0/content/parts/0/text",
        "/content/0/text",
    ];
    for (vendor, at) in VENDORS.into_iter().zip(texts) {
        let fakes = planned(&vendor, &["one two three"]).await;
        let mut body = vendor.hello();
        let path = vendor.path.replace("streamGenerateContent?alt=sse", "generateContent");
        body["stream"] = false.into();
        let vendor = Vendor { path: path.leak(), ..vendor };
        let (status, whole) = vendor.refused(&fakes, &body).await;
        assert_eq!(status, 200);
        assert_eq!(whole.pointer(at).and_then(Value::as_str), Some("one two three"), "{whole}");
    }
}

#[tokio::test]
async fn no_model_and_one_that_is_missing_are_refused() {
    for vendor in VENDORS {
        let fakes = planned(&vendor, &[]).await;
        let mut body = vendor.hello();
        body["model"] = "a-missing-model".into();
        let missing = Vendor { path: vendor.path.replace("/m:", "/a-missing-model:").leak(), ..vendor };
        assert_eq!(missing.refused(&fakes, &body).await.0, 404);
        if vendor.service != Service::GeminiStream {
            body["model"] = Value::Null;
            assert_eq!(vendor.refused(&fakes, &body).await.0, 400);
        }
    }
}

#[tokio::test]
async fn what_says_nothing_or_is_not_json_is_refused() {
    for vendor in VENDORS {
        let fakes = planned(&vendor, &[]).await;
        assert_eq!(vendor.refused(&fakes, &vendor.body(&[], &[])).await.0, 400);
        let response = vendor.ask_with(&fakes, "a-key", vendor.path, "{".into()).await;
        assert_eq!(response.status(), 400);
        if vendor.service != Service::GeminiStream {
            assert_eq!(vendor.refused(&fakes, &vendor.body(&[("narrator", "hello")], &[])).await.0, 400);
        }
    }
}

#[tokio::test]
async fn anthropic_wants_its_version_a_length_and_no_sampling_and_the_user_first_and_last() {
    let [.., anthropic] = VENDORS;
    let fakes = planned(&anthropic, &[]).await;
    for (field, value) in [("temperature", json!(1.0)), ("top_p", json!(1.0)), ("max_tokens", Value::Null)] {
        let mut body = anthropic.hello();
        body[field] = value;
        assert_eq!(anthropic.refused(&fakes, &body).await.0, 400, "{field}");
    }
    for said in [[("assistant", "hi"), ("user", "hello")], [("user", "hello"), ("assistant", "hi")]] {
        assert_eq!(anthropic.refused(&fakes, &anthropic.body(&said, &[])).await.0, 400, "{said:?}");
    }
    let mut body = anthropic.hello();
    body["temperature"] = json!(1.0);
    for (version, status) in
        [(Some("2023-06-01"), 200), (Some("2026-10-21"), 400), (Some("1999-01-01"), 400), (None, 400)]
    {
        let request = Request::post(anthropic.path).header("host", "h").header("x-api-key", "a-key");
        let request = version
            .into_iter()
            .fold(request, |request, version| request.header("anthropic-version", version));
        let response = send(&fakes, request.body(body.to_string().into()).expect("a request")).await;
        assert_eq!(response.status(), status, "{version:?}");
    }
}

#[tokio::test]
async fn the_list_of_models_is_there_for_a_right_key() {
    let fakes = Fakes::start().await.expect("a free port");
    for (key, status) in [("Bearer a-key", 200), ("Bearer bad", 401)] {
        let request = Request::get("/openai/v1/models").header("host", "h").header("authorization", key);
        let response = send(&fakes, request.body(Default::default()).expect("a request")).await;
        assert_eq!(response.status(), status);
    }
    assert!(fakes.seen(Service::OpenaiChat).is_empty(), "a warm-up uses up no planned fault");
}
