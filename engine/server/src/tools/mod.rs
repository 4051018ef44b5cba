//! The tools agents can run: which there are, and how a run becomes durable before it happens.
//!
//! [`ToolSet`] says what there is for a call, [`Toolbox`] runs it: arguments are checked first and what does not fit is
//! told and not run; then the row is written; then the tool begins; then its end is stored. `docs/tools.md` is for users.

pub mod addresses;
mod book_appointment;
pub mod booking_backend;
pub mod built_in;
pub mod client;
mod current_time;
pub mod http;
pub mod mcp;
mod own_secrets;
mod run;
pub mod schema;
pub mod secrets;
mod set;
pub mod template;
mod toolbox;

use std::sync::Arc;

pub use own_secrets::OwnSecrets;
pub use run::{TestRuns, Worker};
pub use set::{Kind, Tool, ToolSet};
pub use toolbox::Toolbox;

use parlance_proto::v1;
use parlance_store::Scope;

use self::addresses::Addresses;
use self::booking_backend::BookingBackend;
use self::secrets::Secrets;

/// The tool that flows may name without the agent's having it.
pub const OF_FLOWS: built_in::BuiltIn = built_in::BuiltIn::BookAppointment;

/// What tools need beside the call: shared by all calls, cheap to clone.
#[derive(Clone)]
pub struct Reach {
    /// Where agents book, if not in our own table.
    pub booking: Option<BookingBackend>,
    /// Sends requests, and only where tools may reach.
    pub http: reqwest::Client,
    /// Where tools may reach.
    pub addresses: Addresses,
    /// The organisations' secrets.
    pub secrets: Arc<dyn Secrets>,
    /// Connections to MCP servers, and what tools they have.
    pub mcp: mcp::Servers,
}

impl Reach {
    /// What tools reach by these rules.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn open(
        booking: Option<BookingBackend>,
        addresses: Addresses,
        secrets: Arc<dyn Secrets>,
    ) -> Result<Self, reqwest::Error> {
        let http = http::client(addresses.clone())?;
        let mcp = mcp::Servers::new(http.clone(), addresses.clone(), secrets.clone());
        Ok(Self { booking, http, addresses, secrets, mcp })
    }
}

impl crate::engine::Engine {
    /// The tools of a call with this agent, those of its servers included.
    pub async fn tools_of(&self, scope: &Scope, agent: &v1::Agent) -> ToolSet {
        let mut set = crate::convert::tools::set(agent);
        let mut unread = crate::status::Violations::default();
        let servers = crate::convert::tools::servers(agent, &mut unread);
        set.add(self.reach.mcp.tools(scope, &servers).await);
        set
    }
}
