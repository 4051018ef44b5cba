//! Parlance through its public door: what a client, a caller and an operator can count on.
//!
//! Each test opens an engine of its own on a real socket (`parlance_tests::House`). A module is a theme; a test's
//! name is the promise. `tidy` is the exception: it reads the sources and keeps the house in order.

mod access;
mod agent_lists;
mod agent_settings;
mod agent_stats;
mod agent_tests;
mod agents;
mod appointments;
mod bad_input;
mod booking_backend;
mod bookings;
mod call_details;
mod call_lists;
mod calls;
mod containers;
mod contract;
mod flows;
mod formats;
mod from_json;
mod interruption;
mod keys;
mod killed;
mod nodes;
mod operate;
mod organisations;
mod outage;
mod phone_numbers;
mod provider_keys;
mod providers;
mod recording;
mod refusals;
mod resources;
mod taken;
mod templates;
mod tidy;
mod tls;
mod tool_secrets;
mod tools_built_in;
mod tools_client;
mod tools_http;
mod tools_mcp;
mod traces;
mod typed;
mod watching;
