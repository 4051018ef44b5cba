//! Language models under every fault.

use std::sync::Arc;
use std::time::Instant;

use parlance_fakes::{Fault, Plan, Service};
use parlance_providers::account::AccountId;
use parlance_providers::chain::{self, Budgets, Thinking};
use parlance_providers::llm::{Event, Message, Request, Role};
use parlance_providers::registry::Open;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::{Case, Lateness, PATIENCE, Row, cases, each, open, row, setup, words};

const ROWS: [Row; 4] = [
    row("openai", "openai/v1", Service::OpenaiChat),
    row("anthropic", "anthropic", Service::AnthropicMessages),
    row("gemini", "gemini", Service::GeminiStream),
    row("openai-responses", "openai/v1", Service::OpenaiResponses),
];

#[tokio::test(flavor = "multi_thread")]
async fn with_every_fault_an_answer_comes_whole_and_within_the_budgets() {
    each(cases(&ROWS), 12, answer).await;
}

async fn answer(case: Case) -> Result<(), String> {
    let (line, lateness) = (words(1..=20), Lateness::watch());
    let fakes = case.fakes(&Plan { lines: vec![line.clone()], interval_ms: 5, ..Plan::default() }).await;
    let thinking = case.rows().map(|row| {
        let (Open::Llm(open), account) = open(row, &fakes) else { panic!("{} is no model", row.name) };
        Thinking { provider: open(&account).unwrap(), model: None, account: AccountId::ENGINE }
    });
    let model = chain::llm(thinking.collect(), setup()).unwrap();
    let asked =
        Message { role: Role::Caller, text: "count".into(), tool_calls: Vec::new(), tool_call_id: None };
    let request = Request { messages: vec![asked], ..Request::default() };
    let (told, mut events) = unbounded_channel();
    let mut last = Instant::now();
    let _response = model.respond(request, Arc::new(move |event| drop(told.send(event)))).unwrap();
    let (mut said, mut waited) = (String::new(), std::time::Duration::ZERO);
    let end = loop {
        let Ok(Some(event)) = timeout(PATIENCE, events.recv()).await else {
            return Err(format!("no end after «{said}»"));
        };
        waited = waited.max(last.elapsed());
        last = Instant::now();
        match event {
            Event::Text(text) => said.push_str(&text),
            Event::ToolCalls(_) => return Err("it called a tool".into()),
            Event::Finished { .. } => break Ok(()),
            Event::Failed(error) => break Err(error),
        }
    };
    // One that asks to be left alone for longer than a caller waits has nobody to answer for it.
    let hopeless =
        case.is_hopeless() || case.fallback.is_none() && matches!(case.fault, Fault::RateLimited { .. });
    match end {
        Err(_) if hopeless && said.is_empty() => {}
        Err(error) => return Err(format!("«{said}», then {error}")),
        Ok(()) if said.split_whitespace().collect::<Vec<_>>().join(" ") != line => {
            return Err(format!("said «{said}»"));
        }
        Ok(()) => {}
    }
    let budget = lateness.allows(Budgets::default().first_token);
    if waited > budget { Err(format!("{waited:?} of silence")) } else { Ok(()) }
}
