//! The transcribers: one table, and every case for each of its rows.
//!
//! What a client alone must show: the right words, each once, at their times; or exactly one typed failure within a
//! bound, and nothing behind it. A stream that is silent is the chain's to notice.

mod call;
mod cases;
mod of_their_own;
mod replaced;

use futures_util::future::join_all;
use parlance_fakes::Service;
use parlance_providers::ErrorKind;

/// A service and what is particular about it.
pub struct Row {
    /// Its registered name.
    pub name: &'static str,
    /// Its vendor's path at the stand-ins.
    pub vendor: &'static str,
    /// The stand-in.
    pub stand_in: Service,
    /// The model; `None` for the default.
    pub model: Option<&'static str>,
    /// Whether it tells when a word was said.
    pub timed: bool,
    /// Whether it takes mu-law.
    pub mu_law: bool,
    /// Whether there is a stream that stays open: it is opened, pinged and closed.
    pub stream: bool,
    /// Whether it decides turns.
    pub turns: bool,
    /// What a broken frame is taken for.
    pub malformed: ErrorKind,
}

const DEEPGRAM: Row = Row {
    name: "deepgram",
    vendor: "deepgram",
    stand_in: Service::DeepgramListen,
    model: None,
    timed: true,
    mu_law: true,
    stream: true,
    turns: false,
    malformed: ErrorKind::Protocol,
};

const FLUX: Row = Row { name: "deepgram-flux", stand_in: Service::DeepgramFlux, turns: true, ..DEEPGRAM };

const OPENAI: Row = Row {
    name: "openai",
    vendor: "openai/v1",
    stand_in: Service::OpenaiTranscribe,
    timed: false,
    mu_law: false,
    stream: false,
    // The body is cut behind it: the connection broke.
    malformed: ErrorKind::Unavailable,
    ..DEEPGRAM
};

const WHISPER: Row = Row { model: Some("whisper-1"), timed: true, ..OPENAI };

const REALTIME: Row = Row {
    name: "openai-realtime",
    stand_in: Service::OpenaiRealtime,
    mu_law: true,
    stream: true,
    malformed: ErrorKind::Protocol,
    ..OPENAI
};

const ELEVENLABS: Row =
    Row { name: "elevenlabs", vendor: "elevenlabs", stand_in: Service::ElevenlabsScribe, ..DEEPGRAM };

const CARTESIA: Row =
    Row { name: "cartesia", vendor: "cartesia", stand_in: Service::CartesiaStt, timed: false, ..DEEPGRAM };

/// A row's run through all cases. One line for each service.
macro_rules! conformance {
    ($($row:ident as $module:ident: $cases:tt;)*) => {
        $(mod $module { conformance!(@cases $row $cases); })*
    };
    (@cases $row:ident [$($case:ident),* $(,)?]) => {
        $(#[tokio::test]
        async fn $case() {
            super::cases::$case(&super::$row).await;
        })*
    };
}
macro_rules! every {
    ($($row:ident as $module:ident,)*) => {
        conformance! {
            $($row as $module: [
                words_are_told_once_each_at_their_times,
                a_second_turn_begins_where_the_first_ended,
                mu_law_goes_through_as_it_is,
                a_slow_first_word_is_no_failure,
                a_cut_in_mid_stream_is_one_failure,
                a_wrong_key_is_refused_and_never_shown,
                a_used_up_quota_is_told_from_too_many_requests,
                too_many_requests_come_with_the_wait,
                a_server_error_may_pass,
                a_broken_frame_is_one_failure,
                an_unknown_message_is_ignored,
                messages_in_pieces_are_put_together,
                dropping_it_closes_the_stream,
                twelve_seconds_of_words_are_all_there,
                an_empty_result_is_no_failure,
                an_error_inside_the_stream_is_one_failure,
                a_stream_that_is_closed_at_once_is_one_failure,
                a_vendor_that_is_not_there_is_one_failure,
            ];)*
        }
    };
}

every! {
    DEEPGRAM as deepgram,
    FLUX as deepgram_flux,
    OPENAI as openai,
    REALTIME as openai_realtime,
    ELEVENLABS as elevenlabs,
    CARTESIA as cartesia,
}

// The same service with a model that tells when a word was said.
conformance! {
    WHISPER as openai_whisper: [
        words_are_told_once_each_at_their_times,
        a_second_turn_begins_where_the_first_ended,
        twelve_seconds_of_words_are_all_there,
    ];
}

const ROWS: [&Row; 6] = [&DEEPGRAM, &FLUX, &OPENAI, &REALTIME, &ELEVENLABS, &CARTESIA];

// Cases that take seconds, for all at once.

#[tokio::test]
async fn silence_in_mid_stream_brings_at_most_one_failure() {
    join_all(ROWS.map(cases::silence_in_mid_stream_brings_at_most_one_failure)).await;
}

#[tokio::test]
async fn a_peer_that_is_gone_is_found_out() {
    join_all(ROWS.map(cases::a_peer_that_is_gone_is_found_out)).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_found_out() {
    join_all(ROWS.map(cases::a_peer_that_does_not_read_is_found_out)).await;
}

#[test]
fn every_transcriber_that_is_registered_has_a_row() {
    let registered: Vec<_> = parlance_providers::stt::SERVICES.iter().map(|service| service.name).collect();
    assert_eq!(registered, ROWS.map(|row| row.name));
}
