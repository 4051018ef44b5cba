//! The front desk: parse, authorise, call, wrap. A file per proto service, and who may come in.

pub mod agent;
pub mod api_key;
pub mod appointment;
pub mod audit;
pub mod auth;
pub mod call;
pub mod control;
pub mod filter;
pub mod known_keys;
pub mod name;
pub mod open;
pub mod order;
pub mod organisation;
pub mod page;
pub mod perform;
pub mod phone_number;
pub mod provider;
pub mod resource;
pub mod tool_secret;
pub mod voice;
pub mod watch;
