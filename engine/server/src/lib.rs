//! Parlance's server: the hall, the front desk and the tools, put together behind one port.
//!
//! [`serve`] starts it; [`session`] holds a live call; [`rpc`] is the front desk, one file per service;
//! [`http`] what operators ask; [`settings`] where settings come from; [`metrics`] what is counted;
//! [`prices`] what calls cost; [`recordings`] how one is removed; [`tools`] what agents can do; [`convert`] the contract's words for ours; [`status`] how failures leave.
//! [`cli`] is the program's client side and knows only the contract.

pub mod cli;
pub mod config;
pub mod convert;
pub mod engine;
pub mod http;
mod key_file;
pub mod metrics;
pub mod prices;
pub mod recordings;
pub mod rpc;
pub mod run;
pub mod serve;
pub mod session;
pub mod settings;
pub mod status;
pub mod tools;
mod unjoined;
