//! The hall: one task a call. Feeds the conversation facts, obeys its actions, paces its voice.
//!
//! Decides nothing about turns: that is `parlance-conversation`. Enter at [`run::Session::run`], the loop;
//! [`carry_out`] obeys, [`caller_audio`] is the pipe from the caller's bytes to voice and words, [`playout`]
//! the one from the agent's voice to paced frames, [`inbox`] where everybody else answers, [`journal`]
//! what happened and why, written late but never waited for.

pub mod allowance;
pub mod caller_audio;
pub mod carry_out;
pub mod clock;
pub mod facts;
pub mod far_end;
pub mod inbox;
pub mod journal;
pub mod live;
mod log_line;
pub mod manner;
pub mod notes;
pub mod onlookers;
pub mod ownership;
pub mod past;
pub mod playout;
pub mod record;
pub mod rehearsal;
mod reply_audio;
pub mod requests;
pub mod run;
mod takeover;
pub mod telling;
pub mod usage;
pub mod voice;
