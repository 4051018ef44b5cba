//! The study: decides the whole conversation and does nothing else.
//!
//! Facts and time go in, actions come out. There is no clock, no task, no lock and no I/O here, so
//! a whole call runs in a test in microseconds and any real call can be replayed from its journal
//! with the same decisions. Enter at [`Conversation::handle`].
//!
//! The vocabulary is four pages: [`Input`] (facts), [`Action`] (commands), [`Deadline`] (every
//! wait), [`Policy`] (the agent's settings). What the words mean is in the project's
//! `ARCHITECTURE.md`; the rules E, B, H and A are named where they are kept.

mod action;
pub mod flow;
mod ids;
mod input;
mod policy;
mod timer;

pub use action::*;
pub use ids::*;
pub use input::*;
pub use policy::*;
pub use timer::Deadline;
