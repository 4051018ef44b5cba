//! The same calls from JSON with reflection alone: `buf curl` knows nothing of the contract but what the engine tells.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use parlance_proto::v1::session_control::Control;
use parlance_proto::v1::voice_session_request::Request;
use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{self, Speaker, VoiceSessionResponse};
use parlance_tests::caller::{audio, request, start, typing_start};
use parlance_tests::{House, agents, clips, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, interval, timeout};

/// How long one of these calls may take in all.
const WHOLE_CALL: Duration = Duration::from_secs(60);
const FRAME_BYTES: usize = 640;

/// The program itself, not its starter from npm: that would leave it running when it is killed.
fn buf() -> PathBuf {
    let tooling = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tooling");
    let packages = std::fs::read_dir(tooling.join("node_modules/@bufbuild")).into_iter().flatten().flatten();
    let mut programs = packages.map(|package| package.path().join("bin/buf")).filter(|path| is_program(path));
    programs
        .next()
        .unwrap_or_else(|| panic!("this test needs buf: run `npm install` in {}", tooling.display()))
}

fn is_program(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| !bytes.starts_with(b"#!"))
}

fn curl(house: &House, method: &str) -> Command {
    let mut command = Command::new(buf());
    let bearer = format!("Authorization: Bearer {}", house.key);
    command.args([
        "curl",
        "--protocol",
        "grpc",
        "--http2-prior-knowledge",
        "--header",
        &bearer,
        "--data",
        "@-",
    ]);
    command.arg(format!("{}/parlance.v1.{method}", house.url()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A session driven by lines of JSON.
struct Session {
    child: Child,
    lines: ChildStdin,
    answers: ChildStdout,
    unread: Vec<u8>,
    seen: Vec<Response>,
}

impl Session {
    fn begins(house: &House, start: v1::SessionStart) -> (Self, String) {
        let mut child = curl(house, "VoiceService/VoiceSession").spawn().expect("buf starts");
        let lines = child.stdin.take().expect("its input is ours");
        let answers = child.stdout.take().expect("its output is ours");
        let first = json::line("VoiceSessionRequest", &request(Request::Start(start)));
        (Self { child, lines, answers, unread: Vec::new(), seen: Vec::new() }, first)
    }

    async fn writes(&mut self, line: &str) {
        self.lines.write_all(format!("{line}\n").as_bytes()).await.expect("buf reads");
    }

    /// Reads for one frame's time, if anything comes.
    async fn reads(&mut self, within: Duration) -> bool {
        let mut bytes = [0; 65_536];
        let Ok(count) = timeout(within, self.answers.read(&mut bytes)).await else { return true };
        let count = count.expect("its output can be read");
        self.unread.extend_from_slice(&bytes[..count]);
        let mut values = serde_json::Deserializer::from_slice(&self.unread).into_iter::<serde_json::Value>();
        let mut taken = 0;
        while let Some(Ok(value)) = values.next() {
            taken = values.byte_offset();
            let message: VoiceSessionResponse = json::message("VoiceSessionResponse", value);
            self.seen.extend(message.response);
        }
        self.unread.drain(..taken);
        count > 0
    }

    async fn reads_until(&mut self, awaited: &str, mut done: impl FnMut(&[Response]) -> bool) {
        let give_up = Instant::now() + WHOLE_CALL;
        while !done(&self.seen) {
            let open = self.reads(Duration::from_millis(200)).await;
            assert!(open && Instant::now() < give_up, "{awaited} did not come: {}", self.complaint().await);
        }
    }

    async fn complaint(&mut self) -> String {
        let seen: Vec<_> = self.seen.iter().filter(|seen| !matches!(seen, Response::Audio(_))).collect();
        let mut said = String::new();
        if let Some(errors) = &mut self.child.stderr {
            // What it says may go on for as long as it runs.
            timeout(Duration::from_secs(1), errors.read_to_string(&mut said)).await.ok();
        }
        format!("{said} {seen:?}")
    }

    /// Closes its input; it must end well by itself.
    async fn ends(mut self) -> Vec<Response> {
        self.reads_until("`ended`", |seen| matches!(seen.last(), Some(Response::Ended(_)))).await;
        drop(self.lines);
        let status = timeout(WHOLE_CALL, self.child.wait()).await.expect("buf ends").expect("it ran");
        assert!(status.success(), "buf ended with {status}");
        self.seen
    }
}

fn finals(seen: &[Response], speaker: Speaker) -> Vec<String> {
    let entries = seen.iter().filter_map(|response| match response {
        Response::Transcript(update) if update.r#final => update.entry.as_ref(),
        _ => None,
    });
    entries.filter(|entry| entry.speaker() == speaker).map(|entry| entry.text.clone()).collect()
}

fn replies_ended(seen: &[Response]) -> usize {
    let is_end = |response: &&Response| matches!(response, Response::Turn(turn) if turn.r#type() == v1::TurnEventType::ReplyEnded);
    seen.iter().filter(is_end).count()
}

fn assert_a_whole_call(seen: &[Response], said: &str) {
    assert!(
        matches!(seen.first(), Some(Response::Ready(ready)) if ready.call.starts_with("calls/")),
        "{seen:?}"
    );
    let heard = finals(seen, Speaker::Caller).join(" ").to_lowercase();
    assert!(heard.contains(said), "the caller's words are `{heard}`");
    let bytes: usize = seen
        .iter()
        .map(|response| if let Response::Audio(audio) = response { audio.data.len() } else { 0 })
        .sum();
    assert!(bytes > 64_000, "the agent said {bytes} bytes of audio, less than two seconds");
    let Some(Response::Ended(ended)) = seen.last() else { panic!("`ended` is the last message") };
    assert_eq!(ended.reason(), v1::EndReason::ClientEnded);
}

fn end() -> String {
    let control = v1::SessionControl { control: Some(Control::End(v1::End {})) };
    json::line("VoiceSessionRequest", &request(Request::Control(control)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoken_call_is_held_from_json_lines_by_reflection_alone() {
    let house = House::offline().await;
    let agent = house.hires(agents::restaurant()).await;
    // It plays nothing, so it can report nothing: the engine's own pacing says what was heard.
    let start = v1::SessionStart { reports_playback: false, ..start(&agent) };
    let (mut session, first) = Session::begins(&house, start);
    session.writes(&first).await;
    let mut beat = interval(Duration::from_millis(20));
    let mut clip: Option<std::vec::IntoIter<i16>> = None;
    let give_up = Instant::now() + WHOLE_CALL;
    // Silence until the greeting was heard, then the clip, then silence until it is answered.
    while replies_ended(&session.seen) < 2 {
        beat.tick().await;
        if clip.is_none() && replies_ended(&session.seen) == 1 {
            clip = Some(clips::samples("u01_slt.wav").into_iter());
        }
        let frame: Vec<i16> = clip.iter_mut().flatten().take(FRAME_BYTES / 2).collect();
        let mut bytes: Vec<u8> = frame.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        bytes.resize(FRAME_BYTES, 0);
        session.writes(&json::line("VoiceSessionRequest", &audio(bytes))).await;
        let open = session.reads(Duration::from_millis(1)).await;
        assert!(open && Instant::now() < give_up, "no answer: {}", session.complaint().await);
    }
    session.writes(&end()).await;
    let seen = session.ends().await;
    assert_a_whole_call(&seen, "a table for four on friday");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typed_call_is_held_from_json_lines_by_reflection_alone() {
    let house = House::offline().await;
    let agent = house.hires(agents::restaurant()).await;
    let (mut session, first) = Session::begins(&house, typing_start(&agent));
    session.writes(&first).await;
    session.reads_until("the greeting's end", |seen| replies_ended(seen) == 1).await;
    let text = v1::TypedText { text: "a table for four on Friday at seven pm".into() };
    session.writes(&json::line("VoiceSessionRequest", &request(Request::Text(text)))).await;
    session.reads_until("the answer's end", |seen| replies_ended(seen) == 2).await;
    session.writes(&end()).await;
    let seen = session.ends().await;
    assert_a_whole_call(&seen, "a table for four on friday");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_json_clients_with_its_details() {
    let house = House::scripted().await;
    let mut child = curl(&house, "AgentService/GetAgent").spawn().expect("buf starts");
    let mut lines = child.stdin.take().expect("its input is ours");
    lines.write_all(br#"{"name": "agents/nobody"}"#).await.expect("buf reads");
    drop(lines);
    let output = timeout(WHOLE_CALL, child.wait_with_output()).await.expect("buf ends").expect("it ran");
    let said = String::from_utf8_lossy(&output.stderr);
    // Eight times the code, as buf does: NOT_FOUND is 5.
    assert_eq!(output.status.code(), Some(40), "{said}");
    let error: serde_json::Value = serde_json::from_str(&said).expect("the error is JSON");
    assert_eq!(error["code"], "not_found", "{said}");
    let detail = &error["details"][0];
    assert_eq!(detail["type"], "google.rpc.ErrorInfo", "{said}");
    // A length, then `NOT_FOUND`, in base64: buf does not know the details' own types.
    assert!(detail["value"].as_str().is_some_and(|value| value.starts_with("CglOT1RfRk9VTkQ")), "{said}");
}
