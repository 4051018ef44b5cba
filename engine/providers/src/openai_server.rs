//! OpenAI and everything that speaks like it, for all three kinds: where a path of it is, and in which header it wants
//! the key.

use reqwest::Url;

use crate::account::Account;

/// Where OpenAI itself is.
pub(crate) const PUBLIC: &str = "https://api.openai.com/v1";

/// Who serves at an address, as far as requests differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// OpenAI itself.
    OpenAi,
    /// Microsoft's: the key has a header of its own.
    Azure,
    /// Google's Gemini behind OpenAI's paths: signatures of thoughts go back.
    Gemini,
    /// Any other: only what all of them take is sent.
    Other,
}

/// A server's address.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    base: String,
    /// With its question mark; Azure's deployments have one.
    query: String,
    /// Who it is.
    pub server: Server,
}

impl Endpoint {
    /// Where this account is.
    pub fn of(account: &Account) -> Self {
        let (base, query) = match account.base(PUBLIC).split_once('?') {
            Some((base, query)) => (base.trim_end_matches('/'), format!("?{query}")),
            None => (account.base(PUBLIC), String::new()),
        };
        let host =
            Url::parse(base).ok().and_then(|url| url.host_str().map(str::to_lowercase)).unwrap_or_default();
        let server = match host.as_str() {
            "api.openai.com" => Server::OpenAi,
            "generativelanguage.googleapis.com" => Server::Gemini,
            host if host.ends_with(".openai.azure.com") => Server::Azure,
            _ => Server::Other,
        };
        Self { base: base.to_owned(), query, server }
    }

    /// A path of it, before the query that the address has.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}{}", self.base, self.query)
    }

    /// The same for WebSockets: `http` becomes `ws`, `https` becomes `wss`.
    pub fn socket_at(&self, path: &str) -> String {
        let at = self.at(path);
        match at.strip_prefix("http") {
            Some(rest) => format!("ws{rest}"),
            None => at,
        }
    }

    /// The key as this server wants it; nothing without one.
    pub fn headers(&self, account: &Account) -> Vec<(&'static str, String)> {
        let key = account.key.reveal();
        match self.server {
            _ if key.is_empty() => Vec::new(),
            Server::Azure => vec![("api-key", key.to_owned())],
            _ => vec![("authorization", format!("Bearer {key}"))],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Secret;

    fn account(base: &str) -> Account {
        Account { key: Secret::new("k"), base_url: Some(base.to_owned()) }
    }

    #[test]
    fn a_server_is_known_by_its_host_and_a_query_stays_behind_the_path() {
        let azure = Endpoint::of(&account(
            "https://us.openai.azure.com/openai/deployments/d/?api-version=2024-10-21",
        ));
        assert_eq!(azure.server, Server::Azure);
        let expected =
            "https://us.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21";
        assert_eq!(azure.at("/chat/completions"), expected);
        assert_eq!(
            azure.socket_at("/realtime"),
            "wss://us.openai.azure.com/openai/deployments/d/realtime?api-version=2024-10-21"
        );
        let own = Endpoint::of(&account("http://localhost:11434/v1/"));
        assert_eq!(own.at("/models"), "http://localhost:11434/v1/models");
        assert_eq!(own.socket_at("/realtime"), "ws://localhost:11434/v1/realtime");
        let other = Endpoint::of(&account("https://openai.azure.com.example.org/v1"));
        assert_eq!(other.server, Server::Other);
        assert_eq!(Endpoint::of(&Account::default()).server, Server::OpenAi);
    }

    #[test]
    fn microsofts_servers_get_the_key_in_a_header_of_their_own() {
        let azure = account("https://us.openai.azure.com/openai/v1");
        assert_eq!(Endpoint::of(&azure).headers(&azure), [("api-key", "k".to_owned())]);
        let own = account("http://localhost:8000/v1");
        assert_eq!(Endpoint::of(&own).headers(&own), [("authorization", "Bearer k".to_owned())]);
        let none = Account::default();
        assert!(Endpoint::of(&none).headers(&none).is_empty());
    }
}
