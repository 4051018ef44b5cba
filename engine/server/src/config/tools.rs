//! Settings of what agents' tools may reach. Closed by default: who writes agents need not be who runs the engine.

use clap::builder::BoolishValueParser;

use crate::tools::addresses::PrivateAddresses;
use crate::tools::secrets::OperatorSecrets;

/// What agents' tools may reach.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Tools {
    /// Private networks that agents' HTTP tools and MCP servers may lie in: networks such as `10.1.0.0/16, fd00::/8`, or
    /// `all`. By default only the open internet is reached.
    #[arg(
        id = "tool_private_addresses",
        long = "tool-private-addresses",
        env = "PARLANCE_TOOL_PRIVATE_ADDRESSES",
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS"
    )]
    pub private_addresses: PrivateAddresses,
    /// Let agents' HTTP tools and MCP servers be reached by http:// too.
    #[arg(
        id = "tool_plain_http",
        long = "tool-plain-http",
        env = "PARLANCE_TOOL_PLAIN_HTTP",
        value_parser = BoolishValueParser::new()
    )]
    pub plain_http: bool,
    /// Secrets that tools of the operator's own organisation may name: `NAME=value, NAME=value`.
    #[arg(
        id = "tool_secrets",
        long = "tool-secrets",
        env = "PARLANCE_TOOL_SECRETS",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true,
        value_name = "TABLE"
    )]
    pub secrets: OperatorSecrets,
}
