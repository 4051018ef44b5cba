//! Flows, spoken and typed: one file for each promise.

mod calls;
mod support;
