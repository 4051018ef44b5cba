//! The example with vendors is an agent one can talk with.

use std::path::Path;
use std::time::Duration;

use parlance::cli::agents::parse;
use parlance_fakes::{Plan, Service};
use parlance_proto::v1::Speaker;
use parlance_tests::pipeline::Pipeline;
use parlance_tests::{Caller, caller};

const FILE: &str = include_str!("../../../examples/agents/concierge.yaml");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_with_vendors_greets_hears_and_answers() {
    let pipeline = Pipeline::open().await;
    let plan = |line: &str| Plan { lines: vec![line.to_owned()], ..Plan::default() };
    pipeline.fakes.plan(Service::DeepgramFlux, plan("are dogs welcome on the terrace"));
    pipeline.fakes.plan(Service::OpenaiChat, plan("Dogs are welcome, inside and on the terrace."));
    let agent = parse(Path::new("concierge.yaml"), FILE).expect("the file is an agent");
    let agent = pipeline.house.hires(agent).await;
    let mut caller = Caller::dials(&pipeline.house, caller::start(&agent)).await;
    caller.agent_finishes().await;
    caller.says("u02_slt.wav").await;
    let answered = |caller: &Caller| caller.texts(Speaker::Agent).len() > 1;
    caller.until("the answer", Duration::from_secs(30), answered).await;
    assert_eq!(caller.texts(Speaker::Caller), ["are dogs welcome on the terrace"], "{}", caller.history());
    let said = caller.texts(Speaker::Agent).join(" ");
    assert!(said.contains("good day") && said.contains("Dogs are welcome"), "{said}");
    caller.hangs_up();
    drop(caller);
    pipeline.house.closes().await;
}
