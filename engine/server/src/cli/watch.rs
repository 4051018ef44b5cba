//! `parlance calls watch`: a call's events as lines, as they come, from whichever engine answers.
//!
//! A stream that breaks is resumed behind the last event seen, so nothing is shown twice and nothing left out. The
//! lines are those of `parlance call`.

use std::error::Error as _;
use std::process::ExitCode;
use std::time::Duration;

use parlance_proto::v1::call_event::Event;
use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{CallEvent, TranscriptUpdate, WatchCallRequest};
use tonic::{Code, Status};

use super::Error;
use super::call::{Detail, Screen};
use super::connect::Engine;
use super::terminal::millis;
use crate::output::errln;

/// How often a broken stream is taken up again before it is given up; an event in between begins the count anew.
const TRIES: u32 = 30;
/// The pause before the next try; it grows with each.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Shows the call to its end.
pub(super) async fn watch(engine: &Engine, call: String) -> Result<ExitCode, Error> {
    let mut screen = Screen::new(Detail::All);
    let (mut after_offset, mut failures) = (0, 0);
    loop {
        let request = WatchCallRequest { name: call.clone(), after_offset };
        let before = after_offset;
        match follow(engine, request, &mut screen, &mut after_offset).await {
            Ok(()) => {
                screen.finish();
                return Ok(ExitCode::SUCCESS);
            }
            Err(status) if is_broken(&status) => {
                failures = if after_offset > before { 1 } else { failures + 1 };
                if failures > TRIES {
                    return Err(Error::Broken(status.message().to_owned()));
                }
                errln!("the stream broke ({}); going on behind event {after_offset}", status.message());
                tokio::time::sleep((PAUSE * failures).min(PAUSE_MAX)).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

async fn follow(
    engine: &Engine,
    request: WatchCallRequest,
    screen: &mut Screen,
    seen: &mut u64,
) -> Result<(), Status> {
    let mut events = engine.calls().watch_call(request).await?.into_inner();
    while let Some(message) = events.message().await? {
        let Some(event) = message.event else { continue };
        *seen = event.offset;
        let at_ms = millis(event.at.as_ref());
        if let Some(response) = response(event) {
            screen.show(&response, at_ms);
        }
    }
    Ok(())
}

/// Whether another try may go on where this one stopped: the engine said so, or said nothing.
fn is_broken(status: &Status) -> bool {
    status.code() == Code::Unavailable || status.source().is_some()
}

/// The event as the caller's own stream has it; `None` for one that is newer than this client.
fn response(event: CallEvent) -> Option<Response> {
    Some(match event.event? {
        Event::Turn(turn) => Response::Turn(turn),
        Event::Transcript(entry) => {
            Response::Transcript(TranscriptUpdate { r#final: true, entry: Some(entry) })
        }
        Event::Tool(tool) => Response::Tool(tool),
        Event::Waterfall(times) => Response::Waterfall(times),
        Event::Error(error) => Response::Error(error),
        Event::Provider(switch) => Response::Provider(switch),
        Event::Ended(ended) => Response::Ended(ended),
    })
}
