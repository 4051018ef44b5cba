//! Who took over from whom is told in the call's own events, whenever it happened.

use std::time::Duration;

use parlance_fakes::{Fault, Plan, Service};
use parlance_tests::pipeline::{Pipeline, received, served_by, speech};
use parlance_tests::{Caller, caller};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voice_that_breaks_in_mid_sentence_is_named_with_the_one_that_goes_on() {
    let pipeline = Pipeline::open().await;
    pipeline.fakes.plan(Service::ElevenlabsMulti, Plan::failing(Fault::Drop { after: 2 }));
    let agent = served_by(&["deepgram"], &["openai"], &["elevenlabs", "cartesia"]);
    let agent = pipeline.house.hires(agent).await;
    let mut caller = Caller::dials(&pipeline.house, caller::start(&agent)).await;
    caller.begins_to_say_samples("words", &speech(0..8));
    caller.until_said().await;
    for _ in 0..40 {
        caller.waits(Duration::from_millis(500)).await;
        if (0..8).all(|word| received(&caller).contains(&word)) {
            break;
        }
    }
    let switches = caller.switches();
    assert_eq!(switches, ["elevenlabs -> cartesia"], "{}", caller.history());
    caller.hangs_up();
    drop(caller);
    pipeline.house.closes().await;
}
