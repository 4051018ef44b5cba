//! The store against a real Postgres, in both set-ups it has to be safe in.
//!
//! One program, so that one private cluster serves all tests; see `setup`.

mod agents;
mod appointments;
mod call_details;
mod calls;
mod cluster;
mod commands;
mod journal;
mod keys;
mod migrations;
mod organisations;
mod outages;
mod ownership;
mod phone_numbers;
mod provider_keys;
mod quotas;
mod requests;
mod resources;
mod setup;
mod tenancy;
mod tls;
mod tool_secrets;
mod tools;
mod transcripts;
mod views;
