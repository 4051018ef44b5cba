//! Whether the world reaches this engine: `BASE_URL` asked from outside in, and a running ngrok.
//!
//! The engine at the endpoint tells which it is; what answers at `BASE_URL` must tell the same, and a nonce made for
//! this question, so that neither another engine nor a cache is taken for it. Nothing is changed, at ngrok neither.
//! Enter at [`findings`].

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::{Finding, Verdict};
use crate::config::outside::{BaseUrl, BaseWsUrl};
use crate::outgoing::Outgoing;

/// How long the way through the world may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How long ngrok's own page may take, which is on this machine.
const NGROK_WITHIN: Duration = Duration::from_secs(2);

/// Where the world is said to reach the engine.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OutsideArgs {
    /// Where the world reaches this engine: https://HOST.
    #[arg(long, env = "BASE_URL", value_name = "URL")]
    pub(super) base_url: Option<BaseUrl>,
    /// The same for WebSockets: wss://HOST. Default: made from BASE_URL.
    #[arg(long, env = "BASE_WS_URL", value_name = "URL")]
    pub(super) base_ws_url: Option<BaseWsUrl>,
    // Ngrok has one place for it; only tests need another.
    #[arg(long, hide = true, default_value = "http://127.0.0.1:4040")]
    pub(super) ngrok_api: String,
}

/// What is known of the way in.
pub(super) async fn findings(args: &OutsideArgs, endpoint: &str, ca_file: Option<&PathBuf>) -> Vec<Finding> {
    let outgoing = match Outgoing::new(ca_file.map(PathBuf::as_path)) {
        Ok(outgoing) => outgoing,
        Err(error) => {
            let fix = "give another --ca-file".to_owned();
            let verdict = Verdict::Missing { detail: format!("could not {error}"), fix };
            return vec![Finding { what: "authority", verdict }];
        }
    };
    let tunnel = tunnel(&outgoing, &args.ngrok_api, endpoint).await;
    let verdict = match &args.base_url {
        Some(base) => check(&outgoing, base, endpoint, tunnel.as_deref()).await,
        None => unset(endpoint, tunnel.as_deref()),
    };
    let reached = matches!(verdict, Verdict::Present(_));
    let mut findings = vec![Finding { what: "BASE_URL", verdict }];
    if let Some(base) = args.base_url.as_ref().filter(|_| reached) {
        findings.push(Finding { what: "carriers", verdict: carriers(base, args.base_ws_url.as_ref()) });
    }
    findings
}

fn unset(endpoint: &str, tunnel: Option<&str>) -> Verdict {
    match tunnel {
        Some(url) => Verdict::Absent {
            detail: "not set, and ngrok is running".to_owned(),
            fix: format!("export BASE_URL={url}"),
        },
        None => Verdict::Absent {
            detail: format!(
                "not set: nobody but this machine needs to reach the engine (to try one out: ngrok http {})",
                port(endpoint).unwrap_or(8080)
            ),
            fix: "export BASE_URL=https://HOST".to_owned(),
        },
    }
}

/// Asks the engine which it is, then the world.
async fn check(outgoing: &Outgoing, base: &BaseUrl, endpoint: &str, tunnel: Option<&str>) -> Verdict {
    let Ok(here) = identity(outgoing, endpoint.trim_end_matches('/')).await else {
        return Verdict::Absent {
            detail: format!("{base} was not asked, because no engine answers at {endpoint}"),
            fix: "parlance serve".to_owned(),
        };
    };
    let fix = match tunnel.filter(|url| *url != base.as_str()) {
        Some(url) => format!("export BASE_URL={url}"),
        None => "let it lead to this engine's port, or set another BASE_URL".to_owned(),
    };
    match identity(outgoing, base.as_str()).await {
        Ok(there) if there == here => Verdict::Present(format!("this engine answers at {base}")),
        Ok(_) => Verdict::Missing {
            detail: format!(
                "another engine answers at {base}, which is right only if it is one of several nodes"
            ),
            fix,
        },
        Err(why) => Verdict::Missing { detail: format!("{base} does not lead here: {why}"), fix },
    }
}

/// Which engine answers there, asked so that no cache can.
async fn identity(outgoing: &Outgoing, base: &str) -> Result<String, String> {
    let nonce = uuid::Uuid::new_v4().to_string();
    let asked = outgoing.get(&format!("{base}/health?nonce={nonce}"), WITHIN).await;
    let (status, text) = asked.map_err(|error| format!("could not {error}"))?;
    let told: Value = serde_json::from_str(&text).unwrap_or_default();
    let instance = told["instance"].as_str().filter(|_| told["nonce"] == nonce.as_str());
    instance.map(str::to_owned).ok_or_else(|| format!("what answers ({status}) is no engine of this version"))
}

/// The address that ngrok gave the engine's port; one over TLS if there are several.
async fn tunnel(outgoing: &Outgoing, api: &str, endpoint: &str) -> Option<String> {
    let (status, text) = outgoing.get(&format!("{api}/api/tunnels"), NGROK_WITHIN).await.ok()?;
    let told: Value = serde_json::from_str(&text).ok().filter(|_| status.is_success())?;
    let ours = told["tunnels"].as_array()?.iter().filter(|tunnel| {
        let to = tunnel["config"]["addr"].as_str().unwrap_or_default();
        port(to).is_some() && port(to) == port(endpoint)
    });
    let mut urls: Vec<&str> = ours.filter_map(|tunnel| tunnel["public_url"].as_str()).collect();
    urls.sort_by_key(|url| !url.starts_with("https://"));
    urls.first().filter(|url| url.starts_with("http")).map(|url| url.trim_end_matches('/').to_owned())
}

/// The port at the end of an address, however it is written: `http://localhost:8080`, `localhost:8080`, `8080`.
fn port(address: &str) -> Option<u16> {
    address.trim_end_matches('/').rsplit([':', '/']).next()?.parse().ok()
}

fn carriers(base: &BaseUrl, sockets: Option<&BaseWsUrl>) -> Verdict {
    let sockets = sockets.cloned().unwrap_or_else(|| base.web_sockets());
    let text =
        format!("would get webhooks below {base} and media streams below {sockets}; none is built yet");
    let is_secret = base.as_str().starts_with("https://") && sockets.to_string().starts_with("wss://");
    if is_secret {
        Verdict::Present(text)
    } else {
        let detail = format!("{text}; they refuse addresses without TLS");
        Verdict::Absent { detail, fix: "export BASE_URL=https://HOST".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::Router;
    use axum::extract::Query;
    use axum::routing::get;

    use super::*;

    /// A page of the web, gone with the test's runtime.
    async fn serve(routes: Router) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        address
    }

    async fn engine(instance: &'static str) -> SocketAddr {
        serve(Router::new().route(
            "/health",
            get(move |Query(asked): Query<std::collections::HashMap<String, String>>| async move {
                serde_json::json!({ "instance": instance, "nonce": asked["nonce"] }).to_string()
            }),
        ))
        .await
    }

    /// ngrok's own page, with a tunnel to that port.
    async fn ngrok(port: u16) -> String {
        let tunnel = |url: &str, port: u16| serde_json::json!({ "public_url": url, "config": { "addr": format!("http://localhost:{port}") } });
        let other = tunnel("https://other.ngrok.app", 1);
        let told = serde_json::json!({
            "tunnels": [other, tunnel("http://here.ngrok.app", port), tunnel("https://here.ngrok.app", port)]
        });
        let page = told.to_string();
        let routes = Router::new().route("/api/tunnels", get(move || async move { page }));
        format!("http://{}", serve(routes).await)
    }

    async fn told(base: Option<&str>, endpoint: SocketAddr, ngrok_api: &str) -> Vec<String> {
        let base_url = base.map(|base| base.parse().expect("it is an address"));
        let args = OutsideArgs { base_url, base_ws_url: None, ngrok_api: ngrok_api.to_owned() };
        let found = findings(&args, &format!("http://{endpoint}"), None).await;
        let mark = |verdict: &Verdict| match verdict {
            Verdict::Present(_) => "ok",
            Verdict::Missing { .. } => "missing",
            Verdict::Absent { .. } | Verdict::Unused(_) => "absent",
            Verdict::Doubtful(_) => "check",
        };
        found.iter().map(|it| format!("{} {}: {}", mark(&it.verdict), it.what, it.verdict)).collect()
    }

    const NO_NGROK: &str = "http://127.0.0.1:1";

    #[tokio::test]
    async fn the_engine_itself_behind_base_url_is_recognised_and_carriers_addresses_are_told() {
        let here = engine("one").await;
        let base = format!("http://{here}/");
        let told = told(Some(&base), here, NO_NGROK).await;
        assert_eq!(told[0], format!("ok BASE_URL: this engine answers at http://{here}"));
        assert!(
            told[1].contains(&format!("below ws://{here}")) && told[1].contains("without TLS"),
            "{told:?}"
        );
    }

    #[tokio::test]
    async fn the_engine_is_recognised_through_a_proxy_too() {
        let here = engine("one").await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((mut outside, _)) = listener.accept().await {
                let mut inside = tokio::net::TcpStream::connect(here).await.expect("the engine listens");
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut outside, &mut inside).await });
            }
        });
        let told = told(Some(&format!("http://{proxy}")), here, NO_NGROK).await;
        assert_eq!(told[0], format!("ok BASE_URL: this engine answers at http://{proxy}"));
    }

    #[tokio::test]
    async fn another_engine_or_something_else_or_nothing_behind_base_url_is_missing() {
        let (here, other) = (engine("one").await, engine("two").await);
        let shop = serve(Router::new().fallback(|| async { "Welcome to our shop" })).await;
        for (base, why) in [
            (other, "another engine"),
            (shop, "is no engine"),
            (([127, 0, 0, 1], 1).into(), "could not reach"),
        ] {
            let told = told(Some(&format!("http://{base}")), here, NO_NGROK).await;
            assert!(told[0].starts_with("missing BASE_URL: ") && told[0].contains(why), "{told:?}");
        }
    }

    #[tokio::test]
    async fn a_running_ngrok_says_which_base_url_to_set() {
        let here = engine("one").await;
        let api = ngrok(here.port()).await;
        let unset = told(None, here, &api).await;
        assert_eq!(
            unset,
            ["absent BASE_URL: not set, and ngrok is running: export BASE_URL=https://here.ngrok.app"]
        );
        let stale = told(Some("http://127.0.0.1:1"), here, &api).await;
        assert!(stale[0].ends_with(": export BASE_URL=https://here.ngrok.app"), "{stale:?}");
        let elsewhere = told(None, here, &ngrok(2).await).await;
        assert!(elsewhere[0].ends_with(": export BASE_URL=https://HOST"), "{elsewhere:?}");
    }

    #[tokio::test]
    async fn without_a_running_engine_nobody_is_asked() {
        let told = told(Some("https://voice.example.com"), ([127, 0, 0, 1], 1).into(), NO_NGROK).await;
        assert!(told[0].starts_with("absent BASE_URL: https://voice.example.com was not asked"), "{told:?}");
    }
}
