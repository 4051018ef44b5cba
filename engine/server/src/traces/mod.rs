//! Traces for operators (OTLP): a span tree for each call, made from what its conversation tells.
//!
//! [`call`] turns events into spans and knows no network; [`export`] sends them and knows no calls. A call is never
//! held up: what finds no place in the queue, or no collector, is counted and gone. No words of a caller or an agent
//! are in a trace, only names, reasons and times.

pub mod call;
pub mod export;
