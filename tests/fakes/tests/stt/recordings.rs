//! Transcription of whole recordings over HTTP, on the bytes of the wire.

use std::time::Duration;

use parlance_fakes::{Fakes, Fault, Plan, Service};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{linear16, words};
use super::{WORDS, clip, said};

const SERVICE: Service = Service::OpenaiTranscribe;
const SOON: Duration = Duration::from_secs(30);

/// An answer: its head, what came of its body, and whether the body came to its end.
struct Answer {
    head: String,
    body: String,
    whole: bool,
}

/// Posts a recording with these fields.
async fn post(fakes: &Fakes, audio: &[i16], fields: &[(&str, &str)]) -> TcpStream {
    let mut body = Vec::new();
    for (name, value) in [("model", "gpt-4o-transcribe")].iter().chain(fields) {
        body.extend(
            format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
        );
    }
    let head = "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
    body.extend(head.bytes().chain(wav(audio)).chain(*b"\r\n--edge--\r\n"));
    let mut socket = TcpStream::connect(fakes.address()).await.unwrap();
    let head = format!(
        "POST /openai/v1/audio/transcriptions HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer good\r\n\
         content-type: multipart/form-data; boundary=edge\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&body).await.unwrap();
    socket
}

async fn answer(fakes: &Fakes, fields: &[(&str, &str)]) -> Answer {
    read(post(fakes, &said(&[0, 1, 2, 3, 4]), fields).await).await
}

async fn read(mut socket: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    drop(timeout(SOON, socket.read_to_end(&mut bytes)).await.expect("it ends"));
    let edge = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head comes");
    let head = String::from_utf8(bytes[..edge].to_vec()).unwrap();
    let (mut rest, mut body, mut whole) = (&bytes[edge + 4..], Vec::new(), false);
    if !head.contains("transfer-encoding: chunked") {
        return Answer { head, body: String::from_utf8(rest.to_vec()).unwrap(), whole: true };
    }
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        whole = length == 0;
        if whole {
            break;
        }
        body.extend(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 4 + length..];
    }
    Answer { head, body: String::from_utf8(body).unwrap(), whole }
}

fn wav(samples: &[i16]) -> Vec<u8> {
    let audio = linear16(samples);
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav[4..8].copy_from_slice(&(36 + audio.len() as u32).to_le_bytes());
    wav.extend([16_000u32.to_le_bytes(), 32_000u32.to_le_bytes()].concat());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((audio.len() as u32).to_le_bytes());
    wav.extend(audio);
    wav
}

async fn failing(fault: Fault) -> Fakes {
    let fakes = Fakes::start().await.unwrap();
    fakes.plan(SERVICE, Plan { fault: Some(fault), ..words() });
    fakes
}

#[tokio::test]
async fn one_recording_after_another_is_heard_as_the_next_of_the_lines() {
    let fakes = Fakes::start().await.unwrap();
    let lines = ["कल शाम आठ बजे", "for two"].map(str::to_owned).to_vec();
    fakes.plan(SERVICE, Plan { lines: lines.clone(), ..Plan::default() });
    for line in [&lines[0], &lines[1], &lines[0]] {
        let answer = read(post(&fakes, &clip("u02_slt"), &[("response_format", "verbose_json")]).await).await;
        let said: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(said["text"], **line);
        assert_eq!(said["words"].as_array().unwrap().len(), line.split(' ').count());
    }
}

#[tokio::test]
async fn a_body_breaks_as_planned() {
    for stream in [&[][..], &[("stream", "true")]] {
        let cut = answer(&failing(Fault::Drop { after: 1 }).await, stream).await;
        assert!(!cut.whole && cut.head.contains(" 200 "));
        let broken = answer(&failing(Fault::Malformed { after: 1 }).await, stream).await;
        assert!(!broken.whole);
        let last = broken.body.trim().rsplit("data: ").next().unwrap_or_default();
        assert!(serde_json::from_str::<Value>(last).is_err(), "{}", broken.body);
        let error = answer(&failing(Fault::ErrorInside { after: 1 }).await, stream).await;
        assert!(error.whole && error.head.contains(" 200 ") && error.body.contains("\"error\""));
        let empty = answer(&failing(Fault::Empty).await, stream).await;
        assert!(empty.whole && empty.body.contains(r#""text":"""#), "{}", empty.body);
        for harmless in [Fault::UnknownType { after: 1 }, Fault::Fragment] {
            let answer = answer(&failing(harmless).await, stream).await;
            assert!(answer.whole && answer.body.contains(&WORDS.join(" ")), "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn a_mute_body_has_a_head_and_a_blocked_one_has_none() {
    let fakes = failing(Fault::Silence { after: 0 }).await;
    let mut socket = post(&fakes, &said(&[0]), &[]).await;
    let mut head = [0; 12];
    timeout(SOON, socket.read_exact(&mut head)).await.expect("a head comes").unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");

    let fakes = failing(Fault::BlockedSend).await;
    let mut socket = post(&fakes, &said(&[0]), &[]).await;
    let none = timeout(Duration::from_millis(500), socket.read(&mut head)).await;
    assert!(none.is_err(), "nothing is read, so nothing is answered");
    assert!(!fakes.seen(SERVICE).iter().any(|seen| seen.what == "binary"));
}

#[tokio::test]
async fn a_form_that_lacks_something_is_refused() {
    let fakes = Fakes::start().await.unwrap();
    let format = answer(&fakes, &[("response_format", "srt")]).await;
    assert!(format.head.contains(" 400 ") && format.body.contains("invalid_request_error"));
}
