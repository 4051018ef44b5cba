//! Tool calls: how they come, what must come back.

use parlance_fakes::plan::ToolPlan;
use parlance_fakes::{Fakes, Fault, Plan, Service};
use serde_json::{Value, json};

use super::{End, Reading, VENDORS, Vendor, answer};

/// A call as it came, in no vendor's words.
#[derive(Debug, PartialEq)]
struct Call {
    name: String,
    arguments: Value,
}

async fn planned(vendor: &Vendor, fault: Option<Fault>) -> Fakes {
    let fakes = Fakes::start().await.expect("a free port");
    let tool = |when: &str, name: &str, arguments: Value, say: &str| ToolPlan {
        when: when.into(),
        name: name.into(),
        arguments,
        say: say.into(),
    };
    let tools = vec![
        tool("table", "find_table", json!({"guests": 4, "for": "मेज़", "at": "20:00"}), "One moment."),
        tool("table", "get_time", json!({}), ""),
        tool("bye", "end_call", json!({"why": "said goodbye"}), ""),
    ];
    fakes.plan(vendor.service, Plan { tools, fault, lines: vec!["There is one.".into()], ..Plan::default() });
    fakes
}

fn all() -> [&'static str; 3] {
    ["find_table", "get_time", "end_call"]
}

/// The calls of a stream, put together as a client does.
fn calls(vendor: &Vendor, events: &[Value]) -> Vec<Call> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for event in events {
        match vendor.service {
            Service::OpenaiChat => {
                for part in event["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
                    let index = part["index"].as_u64().expect("an index") as usize;
                    if let Some(name) = part["function"]["name"].as_str() {
                        assert_eq!((index, part["type"].as_str()), (calls.len(), Some("function")));
                        calls.push((name.into(), String::new()));
                    }
                    calls[index].1.push_str(part["function"]["arguments"].as_str().expect("arguments"));
                }
            }
            Service::OpenaiResponses => match event["type"].as_str() {
                Some("response.output_item.added") if event["item"]["type"] == "function_call" => {
                    calls.push((event["item"]["name"].as_str().expect("a name").into(), String::new()));
                }
                Some("response.function_call_arguments.delta") => {
                    let call = calls.last_mut().expect("an item before");
                    call.1.push_str(event["delta"].as_str().expect("a delta"));
                }
                Some("response.function_call_arguments.done") => {
                    assert_eq!(event["arguments"], calls.last().expect("an item before").1);
                }
                _ => {}
            },
            Service::AnthropicMessages => {
                if event["content_block"]["type"] == "tool_use" {
                    calls.push((
                        event["content_block"]["name"].as_str().expect("a name").into(),
                        String::new(),
                    ));
                } else if event["delta"]["type"] == "input_json_delta" {
                    let call = calls.last_mut().expect("a block before");
                    call.1.push_str(event["delta"]["partial_json"].as_str().expect("JSON"));
                }
            }
            _ => {
                for part in event["candidates"][0]["content"]["parts"].as_array().into_iter().flatten() {
                    if let Some(name) = part["functionCall"]["name"].as_str() {
                        calls.push((name.into(), part["functionCall"]["args"].to_string()));
                    }
                }
            }
        }
    }
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"));
    calls.into_iter().map(|(name, text)| Call { name, arguments: parsed(&text) }).collect()
}

#[tokio::test]
async fn every_tool_that_fits_is_called_side_by_side_after_the_words() {
    for vendor in VENDORS {
        let fakes = planned(&vendor, None).await;
        let answer = answer(&fakes, &vendor, &vendor.body(&[("user", "a table, please")], &all())).await;
        assert_eq!(answer.words(&vendor).concat(), "One moment.");
        let wanted = [
            Call {
                name: "find_table".into(), arguments: json!({"guests": 4, "for": "मेज़", "at": "20:00"})
            },
            Call { name: "get_time".into(), arguments: json!({}) },
        ];
        assert_eq!(calls(&vendor, &answer.events()), wanted, "{:?}", vendor.service);
    }
}

#[tokio::test]
async fn tools_that_are_not_offered_or_that_nothing_asks_for_are_not_called() {
    for vendor in VENDORS {
        let fakes = planned(&vendor, None).await;
        for (text, offered) in [("a table", &[][..]), ("a table", &["end_call"][..]), ("a chair", &all()[..])]
        {
            let answer = answer(&fakes, &vendor, &vendor.body(&[("user", text)], offered)).await;
            assert!(calls(&vendor, &answer.events()).is_empty(), "{:?} {text}", vendor.service);
            assert_eq!(answer.words(&vendor).concat(), "There is one.");
        }
    }
}

#[tokio::test]
async fn arguments_come_in_many_pieces_and_a_cut_in_their_middle_leaves_no_json() {
    for vendor in VENDORS.into_iter().filter(|vendor| vendor.service != Service::GeminiStream) {
        // Two words, and some pieces of the first call.
        let fakes = planned(&vendor, Some(Fault::Drop { after: 5 })).await;
        let body = vendor.body(&[("user", "a table")], &all());
        let mut reading = Reading::of(vendor.ask(&fakes, &body).await);
        assert_eq!(reading.read_to_end().await, End::Cut);
        let events = reading.events();
        assert!(std::panic::catch_unwind(|| calls(&vendor, &events)).is_err(), "{:?}", vendor.service);
    }
}

/// A request that goes on after the calls of `a table`, with these results of the two.
fn answered(vendor: &Vendor, results: &[&str]) -> Value {
    let mut body = vendor.body(&[("user", "a table")], &all());
    let arguments = json!({"guests": 4});
    let more: Vec<Value> = match vendor.service {
        Service::OpenaiChat => {
            let call = |id: &str, name: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments.to_string()}});
            let made = [call("a", "find_table"), call("b", "get_time")];
            let result = |id: &&str| json!({"role": "tool", "tool_call_id": id, "content": "found"});
            [json!({"role": "assistant", "content": null, "tool_calls": made})]
                .into_iter()
                .chain(results.iter().map(result))
                .collect()
        }
        Service::OpenaiResponses => {
            let call = |id: &str, name: &str| json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments.to_string()});
            let result =
                |id: &&str| json!({"type": "function_call_output", "call_id": id, "output": "found"});
            [call("a", "find_table"), call("b", "get_time")]
                .into_iter()
                .chain(results.iter().map(result))
                .collect()
        }
        Service::AnthropicMessages => {
            let call = |id: &str, name: &str| json!({"type": "tool_use", "id": id, "name": name, "input": arguments});
            let made = [call("a", "find_table"), call("b", "get_time")];
            let result = |id: &&str| json!({"type": "tool_result", "tool_use_id": id, "content": "found"});
            let results: Value = results.iter().map(result).collect();
            vec![json!({"role": "assistant", "content": made}), json!({"role": "user", "content": results})]
        }
        _ => {
            let call = |name: &str| json!({"functionCall": {"name": name, "args": arguments}});
            let mut made = json!([call("find_table"), call("get_time")]);
            made[0]["thoughtSignature"] = "skip_thought_signature_validator".into();
            let name = |id: &str| match id {
                "a" => "find_table",
                "b" => "get_time",
                _ => "another",
            };
            let result =
                |id: &&str| json!({"functionResponse": {"name": name(id), "response": {"output": "found"}}});
            let results: Value = results.iter().map(result).collect();
            vec![json!({"role": "model", "parts": made}), json!({"role": "user", "parts": results})]
        }
    };
    let field = match vendor.service {
        Service::OpenaiResponses => "input",
        Service::GeminiStream => "contents",
        _ => "messages",
    };
    body[field].as_array_mut().expect("a list").extend(more);
    body
}

#[tokio::test]
async fn after_the_results_comes_the_line() {
    for vendor in VENDORS {
        let fakes = planned(&vendor, None).await;
        for order in [["a", "b"], ["b", "a"]] {
            let answer = answer(&fakes, &vendor, &answered(&vendor, &order)).await;
            assert_eq!(answer.words(&vendor).concat(), "There is one.", "{:?}", vendor.service);
            assert!(calls(&vendor, &answer.events()).is_empty());
        }
    }
}

#[tokio::test]
async fn a_call_without_a_result_and_a_result_without_a_call_are_refused() {
    for vendor in VENDORS {
        let fakes = planned(&vendor, None).await;
        for results in [&["a"][..], &["a", "b", "c"][..], &["a", "c"][..], &["a", "a"][..]] {
            let (status, said) = vendor.refused(&fakes, &answered(&vendor, results)).await;
            assert_eq!(status, 400, "{:?} {results:?}", vendor.service);
            assert!(said["error"]["message"].is_string());
        }
    }
}

#[tokio::test]
async fn nothing_may_stand_between_a_call_and_its_results() {
    let [chat, _, gemini, anthropic] = VENDORS;
    for (vendor, field, at) in [(chat, "messages", 2), (gemini, "contents", 2), (anthropic, "messages", 2)] {
        let fakes = planned(&vendor, None).await;
        let mut body = answered(&vendor, &["a", "b"]);
        let between = vendor.body(&[("user", "hello?")], &[])[field][0].clone();
        body[field].as_array_mut().expect("a list").insert(at, between);
        assert_eq!(vendor.refused(&fakes, &body).await.0, 400, "{:?}", vendor.service);
    }
}

#[tokio::test]
async fn gemini_wants_the_signature_that_came_back_on_the_first_call() {
    let [_, _, gemini, _] = VENDORS;
    let fakes = planned(&gemini, None).await;
    let events = answer(&fakes, &gemini, &gemini.body(&[("user", "a table")], &all())).await.events();
    let parts =
        |event: &Value| event["candidates"][0]["content"]["parts"].as_array().cloned().unwrap_or_default();
    let parts: Vec<_> =
        events.iter().flat_map(parts).filter(|part| part.get("functionCall").is_some()).collect();
    assert!(parts[0]["thoughtSignature"].is_string());
    assert!(parts[1].get("thoughtSignature").is_none(), "of calls side by side, the first is signed");

    let mut body = answered(&gemini, &["a", "b"]);
    body["contents"][1]["parts"] = parts.into();
    assert_eq!(answer(&fakes, &gemini, &body).await.words(&gemini).concat(), "There is one.");
    for (signature, why) in [(Value::Null, "missing"), ("c29tZXRoaW5nIGVsc2U=".into(), "not valid")] {
        body["contents"][1]["parts"][0]["thoughtSignature"] = signature;
        let (status, said) = gemini.refused(&fakes, &body).await;
        assert_eq!((status.as_u16(), said["error"]["status"].as_str()), (400, Some("INVALID_ARGUMENT")));
        assert!(said["error"]["message"].as_str().is_some_and(|message| message.contains(why)), "{said}");
    }
}
