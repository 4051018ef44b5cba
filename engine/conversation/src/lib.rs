//! The study: decides the whole conversation and does nothing else.
//!
//! Facts and time go in, actions come out. There is no clock, no task, no lock and no I/O here, so
//! a whole call runs in a test in microseconds and any real call can be replayed from its journal
//! with the same decisions. Enter at [`Conversation::handle`].
//!
//! The vocabulary is five pages: [`Input`] (facts), [`Action`] (commands), [`Event`] (what is told),
//! [`Deadline`] (every wait), [`Policy`] (the agent's settings). What the words mean is in the project's
//! `ARCHITECTURE.md`; the rules E, B, H and A are named where they are kept.

mod action;
mod agent;
mod answer;
mod asked;
mod barge_in;
mod budgets;
mod caller;
mod context;
mod conversation;
mod deadlines;
mod echo;
mod endpointing;
mod event;
pub mod flow;
mod guide;
mod heard;
mod ids;
mod input;
mod listening;
mod past;
mod playout;
mod policy;
mod reply;
mod shortening;
mod silence;
mod speculation;
mod state;
mod timer;
mod tools;
mod typed;
mod words;

pub use action::*;
pub use conversation::Conversation;
pub use event::*;
pub use ids::*;
pub use input::*;
pub use past::{Past, PastRun};
pub use policy::*;
pub use state::{AgentState, CallState, CallerState, StateView};
pub use timer::Deadline;
