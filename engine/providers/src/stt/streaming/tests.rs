//! What the driver promises whatever the vendor: with a dialect that hardly says anything and a peer of our own.

use std::sync::atomic::AtomicU32;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use super::*;

/// Far more than any of it takes.
const SOON: Duration = Duration::from_secs(30);

/// Takes a stream when told `go`, tells the text it is sent, and wants a fresh stream when it is told to.
struct Plain {
    line: Line,
    stale: bool,
    silent_after: Option<Duration>,
}

impl Dialect for Plain {
    fn line(&self) -> &Line {
        &self.line
    }

    fn upgraded(&mut self, _headers: &HeaderMap, out: &mut Out) {
        (self.line.accepted, self.stale) = (false, false);
        out.text("hello");
    }

    fn audio(&mut self, bytes: Vec<u8>, out: &mut Out) {
        out.binary(bytes);
    }

    fn control(&mut self, control: Control, out: &mut Out) {
        out.text(if control == Control::Finalize { "grow old" } else { "noted" });
    }

    fn message(&mut self, message: &Value, _out: &mut Out) -> Result<(), Error> {
        match message["say"].as_str() {
            Some("go") => self.line.accepted = true,
            Some("old") => self.stale = true,
            _ => {}
        }
        Ok(())
    }

    fn refused(&self, refused: &Refused) -> Error {
        Error::of_status("plain", refused.status, "")
    }

    fn goodbye(&self) -> Option<Outgoing> {
        Some(Outgoing::Text("bye".to_owned()))
    }

    fn is_stale(&self, _age: Duration) -> bool {
        self.stale
    }

    fn silent_after(&self) -> Option<Duration> {
        self.silent_after
    }
}

/// A peer that tells what it is sent, by connection, and says these things at once on every connection.
async fn peer(says: &'static [&'static str]) -> (String, UnboundedReceiver<(u32, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ws://{}", listener.local_addr().unwrap());
    let (came, coming) = unbounded_channel();
    let connections = Arc::new(AtomicU32::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (came, number) = (came.clone(), connections.fetch_add(1, Ordering::Relaxed));
            tokio::spawn(async move {
                let mut socket = accept_async(stream).await.unwrap();
                for text in says {
                    socket.send(Message::text(*text)).await.unwrap();
                }
                while let Some(Ok(message)) = socket.next().await {
                    let what = match message {
                        Message::Text(text) if text == "grow old" => {
                            socket.send(Message::text(r#"{"say":"old"}"#)).await.unwrap();
                            text.to_string()
                        }
                        Message::Text(text) => text.to_string(),
                        Message::Binary(bytes) => bytes.len().to_string(),
                        Message::Close(_) => "close".to_owned(),
                        _ => continue,
                    };
                    let _ = came.send((number, what));
                }
            });
        }
    });
    (address, coming)
}

fn open(address: String) -> (Box<dyn Listener>, UnboundedReceiver<Event>) {
    let (told, events) = unbounded_channel();
    let sink: Sink = Arc::new(move |event| drop(told.send(event)));
    let dialect = Plain {
        line: Line { request_id: Some("r-1".to_owned()), ..Line::new("plain", address, Vec::new()) },
        stale: false,
        silent_after: None,
    };
    (listen(dialect, AudioFormat::PCM_16K, sink).unwrap(), events)
}

async fn next<T>(receiver: &mut UnboundedReceiver<T>) -> T {
    timeout(SOON, receiver.recv()).await.expect("it comes").expect("it is not over")
}

#[tokio::test]
async fn an_old_stream_is_replaced_by_a_fresh_one_and_nothing_is_lost_or_told() {
    let (address, mut came) = peer(&[r#"{"say":"go"}"#]).await;
    let (mut listener, mut events) = open(address);
    listener.hear(Audio::Pcm16(&[0; 320]));
    listener.control(Control::Finalize);
    assert_eq!(next(&mut events).await, Event::Opened);
    let mut first = Vec::new();
    while first.last().is_none_or(|what| what != "close") {
        let (number, what) = next(&mut came).await;
        if number == 0 {
            first.push(what);
        } else {
            assert_eq!(what, "hello");
        }
    }
    assert_eq!(first, ["hello", "640", "grow old", "bye", "close"]);
    listener.hear(Audio::Pcm16(&[0; 160]));
    loop {
        match next(&mut came).await {
            (1, what) if what == "320" => break,
            (number, what) => assert_eq!((number, what.as_str()), (1, "hello")),
        }
    }
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn a_stream_that_is_never_accepted_is_given_up() {
    let (address, _came) = peer(&[]).await;
    let (mut listener, mut events) = open(address);
    listener.hear(Audio::Pcm16(&[0; 320]));
    let Event::Failed(error) = next(&mut events).await else { panic!("it was not accepted") };
    assert_eq!((error.kind, error.request_id.as_deref()), (ErrorKind::TimedOut, Some("r-1")));
    assert!(timeout(SOON, events.recv()).await.unwrap().is_none(), "nothing comes behind it");
}

#[tokio::test]
async fn more_audio_than_can_wait_is_a_failure_and_not_a_gap() {
    let (address, mut came) = peer(&[]).await;
    let (mut listener, mut events) = open(address);
    for _ in 0..=WAITING_MAX {
        listener.hear(Audio::Pcm16(&[0; 320]));
    }
    let Event::Failed(error) = next(&mut events).await else { panic!("it was not accepted") };
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(timeout(SOON, events.recv()).await.unwrap().is_none(), "nothing comes behind it");
    drop(listener);
    while let Ok(Some((_, what))) = timeout(Duration::from_millis(500), came.recv()).await {
        assert!(["hello", "close"].contains(&what.as_str()), "{what}");
    }
}

#[tokio::test]
async fn audio_comes_before_what_is_asked_behind_it_and_after_the_stream_was_accepted() {
    let (address, mut came) = peer(&[r#"{"say":"maybe"}"#, r#"{"say":"go"}"#]).await;
    let (mut listener, _events) = open(address);
    listener.hear(Audio::Pcm16(&[0; 320]));
    listener.control(Control::VoiceStarted(0));
    listener.hear(Audio::Pcm16(&[0; 80]));
    for expected in ["hello", "640", "noted", "160"] {
        assert_eq!(next(&mut came).await.1, expected);
    }
    drop(listener);
    assert_eq!(next(&mut came).await.1, "bye");
    assert_eq!(next(&mut came).await.1, "close");
}

#[test]
fn nothing_is_put_into_a_callers_voice_while_its_audio_may_still_be_on_its_way() {
    let (_orders, waiting) = mpsc::channel(1);
    let (_overfull, ended) = oneshot::channel();
    let silent_after = Some(Duration::from_millis(500));
    let line = Line { accepted: true, ..Line::new("plain", String::new(), Vec::new()) };
    let dialect = Plain { line, stale: false, silent_after };
    let (sink, dropped): (Sink, _) = (Arc::new(drop), Arc::default());
    let mut stream = Stream {
        dialect,
        waiting,
        ended,
        sink,
        dropped,
        chunk: 0,
        pending: vec![],
        opened: true,
        is_voiced: false,
    };
    let mut told = |control| {
        stream.obey(Order::Control(control), &mut Out::default());
        stream.silent_after().expect("it wants something").as_millis()
    };
    assert_eq!(told(Control::NextTurn(Default::default())), 500);
    assert_eq!(told(Control::VoiceStarted(0)), 2_000);
    assert_eq!(told(Control::NextTurn(Default::default())), 2_000, "who speaks on is in mid-word still");
    assert_eq!(told(Control::VoiceEnded(1)), 500);
}
