//! The cellar: rows of Postgres to plain Rust types and back. Only this crate knows SQL.
//!
//! It decides how tenants are kept apart, what is written in one transaction and which bookings are
//! refused. It knows nothing of the wire, of live calls or of providers. Enter at [`Store::open`]; take a
//! [`Scope`] for an organisation with [`Store::scope`] and hand it to the functions of an aggregate:
//! [`organisations`], [`keys`], [`agents`], [`calls`], [`journal`], [`transcripts`], [`invocations`],
//! [`appointments`], [`phone_numbers`], [`requests`], [`resources`], [`provider_keys`], [`tool_secrets`],
//! [`audit_log`], [`commands`]. Which node holds a
//! live call is [`ownership`]'s business, how much an organisation may use that of [`quotas`]; what other nodes did is
//! heard by [`Store::listen`]. Without a scope there are no rows:
//! row-level security sees to it, not our queries.

pub mod agent_stats;
pub mod agents;
pub mod appointments;
pub mod audit_log;
pub mod calls;
pub mod commands;
pub mod invocations;
pub mod journal;
pub mod keys;
pub mod notices;
pub mod organisations;
pub mod ownership;
pub mod phone_numbers;
pub mod private_cluster;
pub mod provider_keys;
pub mod quotas;
pub mod requests;
pub mod resources;
pub mod tool_secrets;
pub mod transcripts;

mod audit;
mod booking;
mod connect;
mod error;
mod etag;
mod ids;
mod lists;
mod migrate;
mod opening_hours;
mod page;
mod pool;
mod schema;
mod store;
mod tenancy;
mod text_enum;
mod time;

pub use audit::{TableAudit, TenancyAudit, ViewAudit};
pub use booking::{OpenPeriod, Refusal};
pub use connect::DatabaseUrl;
pub use error::Error;
pub use ids::{
    AgentId, AppointmentId, AuditEntryId, CallId, CommandId, InvocationId, KeyId, NodeId, OrganisationId,
    PhoneNumberId, ProviderKeyId, ResourceId, ToolSecretId,
};
pub use lists::Range;
pub use migrate::Migrated;
pub use page::{Page, PageRequest};
pub use store::{Database, Store, StoreConfig};
pub use tenancy::{Scope, Work};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
