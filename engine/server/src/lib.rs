//! Parlance: the engine's rooms that the binary puts together.

pub mod cli;
