//! Any mix of formats: what is said in one and answered in another keeps its length and its level.

use std::time::Duration;

use parlance_media::level::rms_dbfs;
use parlance_media::wav;
use parlance_proto::v1::{AudioEncoding, AudioFormat, SessionStart, Speaker};
use parlance_tests::alignment::sounds;
use parlance_tests::caller::start;
use parlance_tests::{Caller, House, agents, clips};

const FORMATS: [(AudioEncoding, u32); 6] = [
    (AudioEncoding::Pcm16, 8_000),
    (AudioEncoding::Pcm16, 16_000),
    (AudioEncoding::Pcm16, 24_000),
    (AudioEncoding::Pcm16, 48_000),
    (AudioEncoding::Mulaw, 8_000),
    (AudioEncoding::Alaw, 8_000),
];
/// Eight words, each hummed for 300 ms.
const GREETING: &str = "one two three four five six seven eight";
const GREETING_MS: u64 = 8 * 300;
const CLIP: &str = "u17_slt.wav";

struct Result {
    mix: String,
    greeting_ms: u64,
    greeting_dbfs: f32,
    answers: Vec<String>,
    caller_sound_ms: u64,
}

async fn call(house: &House, agent: &str, input: usize, output: usize) -> Result {
    let wire = |(encoding, sample_rate_hz): (AudioEncoding, u32)| {
        Some(AudioFormat { encoding: encoding.into(), sample_rate_hz })
    };
    let formats = SessionStart {
        input_format: wire(FORMATS[input]),
        output_format: wire(FORMATS[output]),
        ..start(agent)
    };
    let mut caller = Caller::dials(house, formats).await;
    let agreed = (caller.ready.input_format, caller.ready.output_format);
    assert_eq!(agreed, (wire(FORMATS[input]), wire(FORMATS[output])));
    caller.agent_finishes().await;
    let rate_hz = FORMATS[output].1;
    let played = caller.loudspeaker.played.iter().filter(|played| played.reply == 1);
    let beats: Vec<usize> = played.map(|played| played.beat).collect();
    let frame = (rate_hz / 50) as usize;
    let heard = &caller.loudspeaker.track[beats[0] * frame..(beats[beats.len() - 1] + 1) * frame];
    let (greeting_ms, greeting_dbfs) = (heard.len() as u64 * 1_000 / u64::from(rate_hz), rms_dbfs(heard));
    caller.says(CLIP).await;
    caller.agent_finishes().await;
    caller.hangs_up();
    caller.ends(Duration::from_secs(20)).await.1.expect("hanging up is no error");
    let stored = house.ended_call(&caller.ready.call).await;
    let recording = stored.recording_uri.strip_prefix("file://").expect("it was recorded in a file");
    let recording = wav::read(recording.as_ref()).expect("the recording is a WAV file");
    let sound = sounds(&recording.channels[0], 300);
    Result {
        mix: format!("{:?} in, {:?} out", FORMATS[input], FORMATS[output]),
        greeting_ms,
        greeting_dbfs,
        answers: caller.texts(Speaker::Agent),
        caller_sound_ms: sound.iter().map(|sound| sound.end_ms - sound.start_ms).sum(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_format_in_and_any_out_carry_the_same_words_as_long_and_as_loud() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo(GREETING)).await;
    let house = std::sync::Arc::new(house);
    // Each format comes in twice and goes out twice, once with itself.
    let mixes = (0..6).flat_map(|one| [(one, one), (one, (one + 1) % 6)]);
    let calls: Vec<_> = mixes
        .map(|(input, output)| {
            let (house, agent) = (house.clone(), agent.clone());
            tokio::spawn(async move { call(&house, &agent, input, output).await })
        })
        .collect();
    let spoken: u64 =
        sounds(&clips::samples(CLIP), 300).iter().map(|sound| sound.end_ms - sound.start_ms).sum();
    let mut loudness = None;
    for call in calls {
        let Result { mix, greeting_ms, greeting_dbfs, answers, caller_sound_ms } =
            call.await.unwrap_or_else(|error| panic!("a call failed: {error}"));
        assert!(greeting_ms.abs_diff(GREETING_MS) <= 40, "{mix}: the greeting lasts {greeting_ms} ms");
        let loud = *loudness.get_or_insert(greeting_dbfs);
        assert!((greeting_dbfs - loud).abs() < 1.0, "{mix}: {greeting_dbfs} dBFS and not {loud}");
        assert_eq!(answers, [GREETING, "You said: hello"], "{mix}");
        assert!(
            caller_sound_ms.abs_diff(spoken) <= 150,
            "{mix}: {spoken} ms were said, {caller_sound_ms} heard"
        );
    }
    house.is_empty().await;
}
