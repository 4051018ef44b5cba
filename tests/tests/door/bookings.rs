//! Bookings by voice: recorded callers against the real recogniser, flow and voice. What is in Postgres afterwards
//! is what was said.
//!
//! The three orders are called at once, in real time, when the first test asks for one of them.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use jiff::civil::{Date, Weekday, time};
use parlance_media::wav;
use parlance_proto::v1;
use parlance_store::appointments::{Appointment, AppointmentState};
use parlance_tests::caller::{Said, start};
use parlance_tests::house::TIME_ZONE;
use parlance_tests::{Caller, House, agents};

/// A finished call and all it left.
pub struct Booked {
    /// The call as the API has it.
    pub call: v1::Call,
    /// Its rows, read from the database.
    pub appointments: Vec<Appointment>,
    /// What was said and decided.
    pub transcript: v1::GetTranscriptResponse,
    /// Its recording.
    pub recording: wav::Clip,
    /// What the caller said, and when.
    pub said: Vec<Said>,
    /// The samples of each reply, in order, as they were sent.
    pub replies: Vec<Vec<i16>>,
    /// Why the call ended, as the caller was told.
    pub ended: v1::CallEnded,
    /// What came, for people.
    pub history: String,
}

/// What a caller does when the agent has finished.
#[derive(Clone, Copy)]
enum Does {
    /// Says a clip.
    Says(&'static str),
    /// Says a clip when so many milliseconds of the agent's next words were heard.
    CutsIn(u64, &'static str),
}
use Does::{CutsIn, Says};

const ORDERS: [&[Does]; 3] = [
    // "… a table for four on Friday at seven p m", "My name is John Smith", "… five five five, zero one nine
    // eight", "That's correct".
    &[Says("u01_slt.wav"), Says("u04_slt.wav"), Says("u08_slt.wav"), Says("u17_slt.wav")],
    // The same by another voice, then "No wait, not Friday, Saturday" into the read-back, "Yes please".
    &[
        Says("u01_rms.wav"),
        Says("u04_rms.wav"),
        Says("u08_rms.wav"),
        CutsIn(1_000, "bargein_no_wait_rms.wav"),
        Says("u02_slt.wav"),
    ],
    // "… a table <700 ms> for four on Friday", asked for the time: "Tomorrow at half past eight", "… Maria Garcia",
    // the number, "That's correct".
    &[
        Says("pause700_book_slt.wav"),
        Says("u06_slt.wav"),
        Says("u14_slt.wav"),
        Says("u08_slt.wav"),
        Says("u17_slt.wav"),
    ],
];

type Slot = Arc<OnceLock<Result<Arc<Booked>, String>>>;

static CALLS: LazyLock<[Slot; 3]> = LazyLock::new(|| {
    let slots: [Slot; 3] = Default::default();
    let filled = slots.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(call_all(&filled));
        for slot in &filled {
            // Only a call that never began leaves its slot empty.
            slot.set(Err("the engine of the bookings did not start; see above".to_owned())).ok();
        }
    });
    slots
});

/// The call of an order, from 0, once it is over.
pub fn booked(order: usize) -> Arc<Booked> {
    match CALLS[order].wait() {
        Ok(booked) => booked.clone(),
        Err(why) => panic!("order {order} was not booked: {why}"),
    }
}

async fn call_all(slots: &[Slot; 3]) {
    let opened = tokio::spawn(async {
        let house = House::offline().await;
        (house.hires(agents::restaurant()).await, Arc::new(house))
    });
    let Ok((agent, house)) = opened.await else { return };
    // Three guests on one evening: the orders must not clash.
    let capacity = parlance_store::organisations::set_appointment_capacity(&house.scope, 3).await;
    capacity.expect("three tables are a valid capacity");
    let running: Vec<_> = ORDERS
        .iter()
        .map(|order| {
            let (house, agent) = (house.clone(), agent.clone());
            tokio::spawn(async move { call(&house, &agent, order).await })
        })
        .collect();
    for (slot, call) in slots.iter().zip(running) {
        let outcome = call.await.map(Arc::new).map_err(|error| panic_message(error.into_panic()));
        slot.set(outcome).ok();
    }
}

fn panic_message(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast::<&str>().map_or("a panic".to_owned(), |message| (*message).to_owned()),
    }
}

async fn call(house: &House, agent: &str, order: &[Does]) -> Booked {
    let mut caller = Caller::dials(house, start(agent)).await;
    for does in order {
        match does {
            Says(clip) => {
                caller.agent_finishes().await;
                caller.says(clip).await;
            }
            CutsIn(after_ms, clip) => {
                caller.hears(Duration::from_millis(*after_ms)).await;
                caller.says(clip).await;
            }
        }
    }
    let (ended, status) = caller.ends(Duration::from_secs(40)).await;
    status.expect("a call that the agent ends ends well");
    let call = house.ended_call(&caller.ready.call).await;
    let recording = call.recording_uri.strip_prefix("file://").expect("the call was recorded in a file");
    Booked {
        appointments: house.appointments(&call.name).await,
        transcript: house.transcript(&call.name).await,
        recording: wav::read(recording.as_ref()).expect("the recording is a WAV file"),
        history: caller.history(),
        replies: replies(&caller),
        said: caller.said,
        call,
        ended,
    }
}

/// What was sent of each reply.
fn replies(caller: &Caller) -> Vec<Vec<i16>> {
    let mut replies: std::collections::BTreeMap<u32, Vec<i16>> = Default::default();
    for (_, frame) in &caller.frames {
        let samples = frame.data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        replies.entry(frame.reply_id).or_default().extend(samples);
    }
    replies.into_values().collect()
}

/// Checks that the one appointment is this, on the day that is meant on the day of the call.
#[track_caller]
fn assert_booked(order: usize, day: fn(Date) -> Date, at: jiff::civil::Time, name: &str) {
    let booked = booked(order);
    let Booked { appointments, history, call, .. } = &*booked;
    let [appointment] = appointments.as_slice() else {
        panic!("{} appointments\n{history}", appointments.len());
    };
    let began = call.start_time.expect("the call began");
    let began = jiff::Timestamp::new(began.seconds, began.nanos).expect("a time of our age");
    let today = began.in_tz(TIME_ZONE).expect("the zone is known").date();
    let start = day(today).to_datetime(at).in_tz(TIME_ZONE).expect("the zone is known").timestamp();
    let said = (start, 4, name, Some("5550198"), AppointmentState::Booked);
    let Appointment { start_time, party_size, customer_name, customer_phone, state, .. } = appointment;
    let stored = (*start_time, *party_size, customer_name.as_str(), customer_phone.as_deref(), *state);
    assert_eq!(stored, said, "{history}");
    assert_eq!(booked.ended.reason(), v1::EndReason::AgentEnded, "{history}");
}

/// A weekday alone is the next one after today.
fn coming(today: Date, weekday: Weekday) -> Date {
    today.nth_weekday(1, weekday).expect("there is a next week")
}

#[test]
fn a_table_ordered_by_voice_is_in_the_database_as_it_was_said() {
    assert_booked(0, |today| coming(today, Weekday::Friday), time(19, 0, 0, 0), "John Smith");
}

#[test]
fn a_correction_said_into_the_read_back_is_what_gets_booked() {
    assert_booked(1, |today| coming(today, Weekday::Saturday), time(19, 0, 0, 0), "John Smith");
}

#[test]
fn an_order_with_a_pause_and_without_a_time_is_heard_whole_and_the_time_is_asked_for() {
    assert_booked(2, |today| today.tomorrow().expect("there is one"), time(20, 30, 0, 0), "Maria Garcia");
    let booked = booked(2);
    let of_the_caller = |entry: &&v1::TranscriptEntry| entry.speaker() == v1::Speaker::Caller;
    let first = booked.transcript.entries.iter().find(of_the_caller).expect("the caller said something");
    let words = first.text.to_lowercase();
    assert!(words.contains("table for four on friday"), "one message of the caller, not two: {first:?}");
}

#[test]
fn the_tool_run_stands_in_the_call_with_what_it_was_given_and_gave() {
    let booked = booked(0);
    let [run] = booked.call.tool_invocations.as_slice() else {
        panic!("{:?}", booked.call.tool_invocations);
    };
    assert_eq!((run.tool.as_str(), run.state()), ("book_appointment", v1::ToolState::Succeeded));
    let arguments = run.arguments.as_ref().expect("it was given something");
    assert!(arguments.fields.contains_key("customer_name"), "{arguments:?}");
    assert!(run.result.is_some() && run.end_offset.is_some(), "{run:?}");
}

#[test]
fn every_spoken_turn_has_a_waterfall_whose_times_go_forward() {
    let booked = booked(0);
    let falls = booked.transcript.events.iter().filter_map(|event| match &event.event {
        Some(v1::call_event::Event::Waterfall(fall)) => Some(fall),
        _ => None,
    });
    let mut count = 0;
    for fall in falls.filter(|fall| fall.heard.is_some() && fall.last_voice.is_some()) {
        count += 1;
        let times = [
            fall.last_voice,
            fall.decided,
            fall.first_segment,
            fall.first_audio,
            fall.first_frame,
            fall.heard,
        ];
        let times: Vec<_> = times.iter().flatten().map(|time| (time.seconds, time.nanos)).collect();
        assert!(times.is_sorted(), "{fall:?}");
    }
    assert_eq!(count, 4, "four turns were spoken\n{}", booked.history);
}
