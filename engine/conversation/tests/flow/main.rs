//! Flows, spoken and typed: one file for each promise.

mod answers;
mod calls;
mod drift;
mod faults;
mod jsgf;
mod segments;
mod spoken;
mod support;
mod typed;
