//! Parlance's server: the hall, the front desk and the tools, put together behind one port.
//!
//! [`serve`] starts it; [`session`] holds a live call; [`rpc`] is the front desk, one file per service;
//! [`http`] what operators ask; [`settings`] where settings come from; [`metrics`] what is counted; [`leases`] how a
//! node keeps its calls, [`bus`] how nodes reach one another's; [`prices`] what calls cost; [`providers`] who
//! listens, thinks and speaks in them; [`recordings`] how one is
//! removed; [`tools`] what agents can do; [`convert`] the contract's words for ours; [`status`] how failures leave.
//! [`tls`] is the port's certificate, [`outgoing`] the requests that go out, [`traces`] what collectors are sent.
//! [`cli`] is the program's client side and knows only the contract; [`output`] is where both halves write.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod bus;
pub mod cli;
pub mod config;
pub mod convert;
pub mod engine;
pub mod http;
mod key_file;
pub mod leases;
pub mod metrics;
pub mod outgoing;
pub mod output;
pub mod prices;
pub mod providers;
pub mod recordings;
pub mod rpc;
pub mod run;
pub mod serve;
pub mod session;
pub mod settings;
pub mod status;
pub mod tls;
pub mod tools;
pub mod traces;
mod unjoined;
pub mod vault;
